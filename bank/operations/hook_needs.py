"""What the hooks need of the site before they can be installed."""

import os
import pwd
import stat
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from bank.errors import BankError, SlurmError
from bank.operations.bank import Bank
from bank.operations.lua_sockets import find_cpath
from bank.operations.service_calls import ask_service
from bank.operations.slurm_user import find_slurm_user
from bank.policy.hook_setup import Places, end_hook_problem, set_to
from bank.slurm import scontrol
from bank.slurm.command import run
from bank.store import meters
from bank.store.connect import reading

# The system's own Python, as the prolog begins with it.
_PYTHON = "/usr/bin/python3"
# sockaddr_un of Linux, less the zero at its end.
_LONGEST_SOCKET = 107


class Controller(NamedTuple):
    """What the controller runs with.

    Attributes:
        config: what `scontrol show config` says, by name.
        places: where its hooks lie, or would.
        uid, user: SlurmUser.
    """

    config: Mapping[str, str]
    places: Places
    uid: int
    user: str


class Needs(NamedTuple):
    """What was found.

    Attributes:
        problems: what is missing, each with what to do; none where the hooks can be installed.
        lua_cpath: where Lua finds its sockets.
    """

    problems: list[str]
    lua_cpath: str


def ask_controller(bank: Bank) -> Controller:
    """Ask the controller what it runs with.

    Raises:
        SlurmError: it does not answer, or does not say.
    """
    config = scontrol.config_values(run(bank.slurm, scontrol.config_arguments(None)))
    path = config.get("SLURM_CONF", "")
    if not path.startswith("/"):
        raise SlurmError("scontrol show config does not say where slurm.conf is")
    uid, user = find_slurm_user(bank)
    return Controller(config, Places(os.path.dirname(path)), uid, user)


def look_for_needs(bank: Bank, controller: Controller) -> Needs:
    """Look for all that the hooks need, and say all that is missing."""
    problems = [*_of_settings(bank, controller), *_of_files(controller)]
    cpath = ""
    for directory in set_to(controller.config, "PluginDir").split(":"):
        try:
            cpath = find_cpath(f"{directory}/job_submit_lua.so")
            break
        except BankError as error:
            problem = str(error)
    else:
        problems.append(problem)
    problems += _of_service(bank, controller)
    return Needs(problems, cpath)


def _of_settings(bank: Bank, controller: Controller) -> Iterator[str]:
    settings = bank.settings
    cluster = set_to(controller.config, "ClusterName")
    if settings.usage_source != "jobs":
        yield "USAGE_SOURCE is 'meters': the hooks need 'jobs', and 'slurm_bank.py change_source'"
    else:
        with reading(bank.database) as reader:
            source = meters.find_sources(reader).get(cluster)
        if source != "jobs":
            yield f"meters charge {cluster}: 'slurm_bank.py change_source' lets jobs do it"
    problem = end_hook_problem(controller.config, controller.places, settings.end_hook)
    if problem:
        yield problem
    if settings.end_hook != "none":
        owner = os.stat(bank.database.path).st_uid
        if owner not in (0, controller.uid):
            yield (
                f"the bank belongs to user {owner}, who cannot read what {controller.user} writes"
                " into SPOOL: END_HOOK = 'none', or run the bank as SlurmUser"
            )


def _of_files(controller: Controller) -> Iterator[str]:
    places = controller.places
    if not os.access(places.directory, os.W_OK):
        yield f"{places.directory} cannot be written: run this as root on the controller's machine"
    if not os.access(_PYTHON, os.X_OK):
        yield f"there is no {_PYTHON}, which the prolog runs with: install Python 3.6 or newer"


def _of_service(bank: Bank, controller: Controller) -> Iterator[str]:
    path = bank.settings.service_socket
    if len(path.encode()) > _LONGEST_SOCKET:
        yield f"SERVICE_SOCKET has more than {_LONGEST_SOCKET} characters: no socket can be there"
        return
    try:
        ask_service(bank, "/health")
    except BankError as error:
        yield str(error)
        return
    stop = _stops(path, controller)
    if stop:
        yield f"{controller.user} (SlurmUser) cannot reach {path}: {stop} does not let others pass"


def _stops(path: str, controller: Controller) -> str:
    """Return the directory on the way to a file that SlurmUser cannot pass, "" for none."""
    groups = set(os.getgrouplist(controller.user, pwd.getpwuid(controller.uid).pw_gid))
    directory = os.path.dirname(os.path.abspath(path))
    while True:
        found = os.stat(directory)
        if found.st_uid == controller.uid:
            bit = stat.S_IXUSR
        else:
            bit = stat.S_IXGRP if found.st_gid in groups else stat.S_IXOTH
        if controller.uid != 0 and not found.st_mode & bit:
            return directory
        if directory == "/":
            return ""
        directory = os.path.dirname(directory)
