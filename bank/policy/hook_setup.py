"""What the hooks need beside slurm.conf and in it: names, settings, lines."""

import re
from collections.abc import Mapping
from typing import NamedTuple

from bank.errors import InputError

# How scontrol shows what is not set.
_NOTHING = {"", "(null)", "N/A"}
_NONE_OF_JOBCOMP = {*_NOTHING, "jobcomp/none"}
# What stands between quotes in Lua, in sh and in Python alike.
_PLAIN = re.compile(r"[ !#-\[\]-~]*")
_LINE = re.compile(r'  ([a-z_]+) = (?:"([^"]*)"|([a-z0-9]+)),')
# How the script of the bank begins, whatever its version.
MARK = "-- The Slurm bank asks here"


class Places(NamedTuple):
    """Where the hooks lie: all in the directory of slurm.conf.

    Attributes:
        directory: that directory.
    """

    directory: str

    def _at(self, name: str) -> str:
        return f"{self.directory}/{name}"

    @property
    def script(self) -> str:
        """What the controller calls at a submission."""
        return self._at("job_submit.lua")

    @property
    def site_script(self) -> str:
        """The site's own script, which is called before."""
        return self._at("job_submit.site.lua")

    @property
    def settings(self) -> str:
        """What all hooks read."""
        return self._at("slurm_bank_hooks.lua")

    @property
    def prolog(self) -> str:
        """What the controller runs before a job starts."""
        return self._at("slurm_bank_prolog")

    @property
    def end(self) -> str:
        """What the controller runs when a job has ended."""
        return self._at("slurm_bank_end")


def settings_text(values: Mapping[str, str | int | bool]) -> str:
    """Return the file that all hooks read: a table of Lua, a line for each value.

    Raises:
        InputError: a value is not one that each of them can read.
    """
    lines = [
        "-- Written by 'slurm_bank.py hooks install': what is changed here is lost.",
        "return {",
    ]
    for name, value in values.items():
        if isinstance(value, bool):
            lines.append(f"  {name} = {str(value).lower()},")
        elif isinstance(value, int):
            lines.append(f"  {name} = {value},")
        elif _PLAIN.fullmatch(value):
            lines.append(f'  {name} = "{value}",')
        else:
            raise InputError(
                f"{name} {value!r} cannot be given to the hooks: only plain characters without"
                " quotes and backslashes"
            )
    return "\n".join([*lines, "}", ""])


def read_settings(text: str) -> dict[str, str]:
    """Return what stands in that file, by name; what was not written by the bank is left out."""
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match:
            found[match.group(1)] = match.group(3) if match.group(2) is None else match.group(2)
    return found


def set_to(config: Mapping[str, str], name: str) -> str:
    """Return what the controller runs with, "" for nothing."""
    value = config.get(name, "")
    return "" if value in _NOTHING else value


def lines_to_add(config: Mapping[str, str], places: Places, end_hook: str) -> list[str]:
    """Return the lines of slurm.conf that the hooks need and the controller does not run with.

    Args:
        config: what `scontrol show config` says.
        places: where the hooks lie.
        end_hook: END_HOOK of the settings.
    """
    plugins = [name for name in set_to(config, "JobSubmitPlugins").split(",") if name]
    # With the word job_submit/ before it, it is the same plugin.
    wanted = {"PrologSlurmctld": places.prolog}
    if not _has_lua(plugins):
        wanted["JobSubmitPlugins"] = ",".join([*plugins, "lua"])
    if end_hook == "epilogslurmctld":
        wanted["EpilogSlurmctld"] = places.end
    if end_hook == "jobcomp":
        wanted |= {"JobCompType": "jobcomp/script", "JobCompLoc": places.end}
    return [f"{name}={value}" for name, value in wanted.items() if set_to(config, name) != value]


def _has_lua(plugins: list[str]) -> bool:
    return any(name.removeprefix("job_submit/") == "lua" for name in plugins)


def lines_to_take_out(
    config: Mapping[str, str], places: Places, *, has_site_script: bool, site: Mapping[str, str]
) -> list[str]:
    """Return the lines of slurm.conf that must be as they were before the hooks can go.

    Args:
        config: what `scontrol show config` says.
        places: where the hooks lie.
        has_site_script: whether the site has a job_submit.lua of its own.
        site: what was kept of it: `site_prolog`, `site_epilog`.
    """
    lines = []
    if set_to(config, "PrologSlurmctld") == places.prolog:
        lines.append(f"PrologSlurmctld={site.get('site_prolog', '')}")
    if set_to(config, "EpilogSlurmctld") == places.end:
        lines.append(f"EpilogSlurmctld={site.get('site_epilog', '')}")
    if set_to(config, "JobCompLoc") == places.end:
        lines += ["JobCompType=jobcomp/none", "JobCompLoc="]
    plugins = [name for name in set_to(config, "JobSubmitPlugins").split(",") if name]
    if _has_lua(plugins) and not has_site_script:
        rest = [name for name in plugins if name.removeprefix("job_submit/") != "lua"]
        lines.append(f"JobSubmitPlugins={','.join(rest)}")
    return lines


def end_hook_problem(config: Mapping[str, str], places: Places, end_hook: str) -> str:
    """Say why the site's job completion plugin does not let the end hook be, "" where it does."""
    kind, place = set_to(config, "JobCompType"), set_to(config, "JobCompLoc")
    if end_hook != "jobcomp" or kind in _NONE_OF_JOBCOMP or place == places.end:
        return ""
    return (
        f"JobCompType is {kind}, and there can be only one: END_HOOK = 'epilogslurmctld' or 'none'"
    )
