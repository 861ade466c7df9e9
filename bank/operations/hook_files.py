"""The hooks beside slurm.conf: put there, looked at, taken away.

slurm.conf itself is the admin's: the lines that it needs are said, and never written. Each file
appears whole, the script that the controller calls last, so what was begun and not ended is done by
the next `install` or undone by the next `remove`.
"""

import os
import time
from contextlib import suppress
from typing import Any, NamedTuple

import bank as package
from bank.errors import BankError, InputError, Refusal
from bank.operations import spool
from bank.operations.bank import Bank
from bank.operations.hook_needs import Controller, ask_controller, look_for_needs
from bank.operations.service_calls import ask_service
from bank.policy.hook_setup import (
    MARK,
    lines_to_add,
    lines_to_take_out,
    read_settings,
    set_to,
    settings_text,
)

_SHIPPED = os.path.join(os.path.dirname(package.__file__), "plugins")
_FOR_ALL, _TO_RUN, _ONLY_THEIRS = 0o644, 0o755, 0o700
_COUNTED = "bank_hook_decisions_total{"


class _File(NamedTuple):
    path: str
    text: str
    mode: int


def install(bank: Bank, *, dry_run: bool) -> dict[str, Any]:
    """Put the hooks beside slurm.conf, or bring them up to date.

    Args:
        bank: see `Bank`.
        dry_run: say what would be done.

    Returns:
        `done`, sentences; `lines`, what slurm.conf still needs.

    Raises:
        Refusal: something that they need is missing; all of it is said.
        SlurmError: the controller does not answer.
    """
    controller = ask_controller(bank)
    needs = look_for_needs(bank, controller)
    if needs.problems:
        raise Refusal("hooks_not_ready", "the hooks need: " + "; ".join(needs.problems))
    places = controller.places
    done = []
    files = _files(bank, controller, needs.lua_cpath)
    if bank.settings.end_hook != "none":
        done += _make_spool(bank.settings.spool, controller, dry_run=dry_run)
    done += _keep_site_script(controller, dry_run=dry_run)
    for file in files:
        if _text_of(file.path) == file.text:
            continue
        done.append(f"wrote {file.path}")
        if not dry_run:
            _write(file)
    if done and not dry_run:
        _have_read_again(places.script)
    lines = lines_to_add(controller.config, places, bank.settings.end_hook)
    return {"done": done, "lines": lines, "slurm_conf": set_to(controller.config, "SLURM_CONF")}


def _files(bank: Bank, controller: Controller, lua_cpath: str) -> list[_File]:
    """Return the files that the hooks are made of, in the order in which they are written."""
    places, settings = controller.places, bank.settings
    before = read_settings(_text_of(places.settings) or "")
    values: dict[str, str | int | bool] = {
        "socket": settings.service_socket,
        "wait_ms": settings.hook_wait_ms,
        "fail_open": settings.fail_open,
        "mode": settings.hooks,
        "lua_cpath": lua_cpath,
        "slurm_conf": set_to(controller.config, "SLURM_CONF"),
        "scontrol": os.path.join(settings.slurm_bin, "scontrol"),
        "spool": settings.spool if settings.end_hook != "none" else "",
        "site_prolog": _sites(controller, "PrologSlurmctld", places.prolog, before),
        "site_epilog": _sites(controller, "EpilogSlurmctld", places.end, before),
    }
    return [
        _File(places.settings, settings_text(values), _FOR_ALL),
        _File(places.prolog, _shipped("prolog"), _TO_RUN),
        _File(places.end, _shipped("end"), _TO_RUN),
        _File(places.script, _shipped("job_submit.lua"), _FOR_ALL),
    ]


def _sites(controller: Controller, name: str, ours: str, before: dict[str, str]) -> str:
    """Return the site's own program, which ours goes on to run."""
    found = set_to(controller.config, name)
    kept = "site_prolog" if name == "PrologSlurmctld" else "site_epilog"
    return before.get(kept, "") if found == ours else found


def _shipped(name: str) -> str:
    with open(os.path.join(_SHIPPED, name), encoding="utf-8") as file:
        return file.read()


def _text_of(path: str) -> str | None:
    """Return what stands in a file, None where there is none."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return None


def _is_ours(path: str) -> bool:
    return (_text_of(path) or "").startswith(MARK)


def _keep_site_script(controller: Controller, *, dry_run: bool) -> list[str]:
    """Give the site's own script its other name; it has both until ours takes its place.

    Raises:
        InputError: there is another one of that name.
    """
    script, site = controller.places.script, controller.places.site_script
    text = _text_of(script)
    if text is None or _is_ours(script):
        return []
    if os.path.lexists(site):
        if os.path.samefile(script, site):
            return []
        raise InputError(
            f"{script} is not the bank's, and {site} is there too: leave the one that is the"
            " site's own as job_submit.lua, and move the other away"
        )
    if not dry_run:
        os.link(script, site)
    return [f"kept the site's {script} as {site}; it is called first"]


def _make_spool(spool: str, controller: Controller, *, dry_run: bool) -> list[str]:
    """Make the directory of the end hook, for SlurmUser alone."""
    if os.path.isdir(spool):
        found = os.stat(spool)
        if (found.st_uid, found.st_mode & 0o777) == (controller.uid, _ONLY_THEIRS):
            return []
    elif not dry_run:
        os.makedirs(spool, _ONLY_THEIRS)
    if not dry_run:
        os.chown(spool, controller.uid, -1)
        os.chmod(spool, _ONLY_THEIRS)
    return [f"made {spool} for {controller.user}"]


def _write(file: _File) -> None:
    """Let a file appear whole."""
    part = _part(file.path)
    with open(part, "w", encoding="utf-8", errors="surrogateescape") as out:
        os.fchmod(out.fileno(), file.mode)
        out.write(file.text)
        out.flush()
        os.fsync(out.fileno())
    os.replace(part, file.path)


def _have_read_again(script: str) -> None:
    """Let the controller read its script again, which it does when that has changed since.

    It counts in seconds, so what changes in the second in which it was read must be later.
    """
    if os.path.exists(script):
        later = int(time.time()) + 1
        os.utime(script, (later, later))


def _part(path: str) -> str:
    return os.path.join(os.path.dirname(path), f".{os.path.basename(path)}.slurm_bank")


def remove(bank: Bank, *, dry_run: bool) -> dict[str, Any]:
    """Take the hooks away, and give the site its own script back.

    While the controller still runs with them, they only stop refusing: were they taken away then,
    no job could start any more.

    Args:
        bank: see `Bank`.
        dry_run: say what would be done.

    Returns:
        `done`, sentences; `lines`, what slurm.conf must say before the rest can be done.

    Raises:
        SlurmError: the controller does not answer.
    """
    controller = ask_controller(bank)
    places = controller.places
    text = _text_of(places.settings) or ""
    settings = read_settings(text)
    has_site = os.path.lexists(places.site_script) or not _is_ours(places.script)
    lines = lines_to_take_out(controller.config, places, has_site_script=has_site, site=settings)
    done = []
    if lines:
        quiet = text.replace('  mode = "enforce",', '  mode = "report",')
        if quiet != text:
            done.append("they refuse nothing any more")
            if not dry_run:
                _write(_File(places.settings, quiet, _FOR_ALL))
                _have_read_again(places.script)
    else:
        done += _take_away(controller, dry_run=dry_run)
        if not dry_run:
            _remove_empty(bank.settings.spool)
    return {"done": done, "lines": lines, "slurm_conf": set_to(controller.config, "SLURM_CONF")}


def _take_away(controller: Controller, *, dry_run: bool) -> list[str]:
    places = controller.places
    done = []
    if _is_ours(places.script) and os.path.lexists(places.site_script):
        done.append(f"gave the site's {places.script} back")
        if not dry_run:
            os.replace(places.site_script, places.script)
    for path in (places.script, places.site_script, places.prolog, places.end, places.settings):
        is_theirs = path == places.script and not _is_ours(path)
        if path == places.site_script:
            # What is left of a move that was broken off.
            is_theirs = not os.path.exists(path) or not os.path.samefile(path, places.script)
        if os.path.lexists(path) and not is_theirs:
            done.append(f"removed {path}")
            if not dry_run:
                os.unlink(path)
        if os.path.lexists(_part(path)) and not dry_run:
            os.unlink(_part(path))
    return done


def _remove_empty(spool: str) -> None:
    """Remove the directory of the end hook, unless something in it still waits."""
    with suppress(OSError):
        os.rmdir(spool)


def show(bank: Bank) -> dict[str, Any]:
    """Tell what is installed, what the controller runs with, and what was decided.

    Raises:
        SlurmError: the controller does not answer.
    """
    controller = ask_controller(bank)
    places, settings = controller.places, bank.settings
    shipped = {
        places.script: "job_submit.lua",
        places.prolog: "prolog",
        places.end: "end",
    }
    files = {path: _state(path, _shipped(name)) for path, name in shipped.items()}
    installed = read_settings(_text_of(places.settings) or "")
    missing = lines_to_add(controller.config, places, settings.end_hook)
    told: dict[str, Any] = {
        "directory": places.directory,
        "files": files,
        "site_script": places.site_script if os.path.exists(places.site_script) else None,
        "installed": installed,
        "is_as_set": _as_set(bank, installed),
        "runs_with": not missing,
        "is_older": _is_older(controller),
        "lines": missing,
        "spool_waiting": spool.waiting(bank)[0],
        "spool_broken": spool.waiting(bank)[1],
    }
    try:
        metrics = ask_service(bank, "/metrics")
    except BankError as error:
        return {**told, "service": str(error), "decisions": {}}
    return {**told, "service": "answers", "decisions": _decisions(metrics)}


def _is_older(controller: Controller) -> bool:
    """Tell whether the controller was started before slurm.conf was changed."""
    started = set_to(controller.config, "BOOT_TIME")
    path = set_to(controller.config, "SLURM_CONF")
    if not (started.isdecimal() and os.path.exists(path)):
        return False
    return int(os.stat(path).st_mtime) > int(started)


def _state(path: str, shipped: str) -> str:
    text = _text_of(path)
    if text is None:
        return "not there"
    if path.endswith(".lua") and not _is_ours(path):
        return "the site's own"
    return "installed" if text == shipped else "of another version: run 'hooks install'"


def _as_set(bank: Bank, installed: dict[str, str]) -> bool:
    """Tell whether the hooks run with what the settings say now."""
    settings = bank.settings
    wanted = {
        "socket": settings.service_socket,
        "wait_ms": str(settings.hook_wait_ms),
        "fail_open": str(settings.fail_open).lower(),
        "mode": settings.hooks,
        "spool": settings.spool if settings.end_hook != "none" else "",
    }
    return {name: installed.get(name) for name in wanted} == wanted


def _decisions(metrics: str) -> dict[str, int]:
    """Return what the service has decided since it was started: 'submit yes' and how often."""
    found = {}
    for line in metrics.splitlines():
        if line.startswith(_COUNTED):
            labels, _, count = line.removeprefix(_COUNTED).partition("} ")
            pairs = dict(part.split("=", 1) for part in labels.split(","))
            name = f"{pairs['hook']} {pairs['answer']}".replace('"', "").replace("_", " ")
            found[name] = int(float(count))
    return found
