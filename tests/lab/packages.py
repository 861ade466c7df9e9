"""Installs the Debian or Ubuntu packages that a lab needs, and starts none of their services."""

import contextlib
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import CommandFailed, LabError, Missing
from .processes import PLAIN_ENVIRONMENT, run, run_or_raise

# The -core packages hold MariaDB's programs without a service or a database of the machine's own.
PACKAGES = (
    "munge",
    "mariadb-server-core",
    "mariadb-client-core",
    "slurmctld",
    "slurmd",
    "slurmdbd",
    "slurm-client",
    "slurm-wlm-basic-plugins",
    "slurm-wlm-mysql-plugin",
    "iproute2",
    "sqlite3",
    # What the job_submit.lua of the bank speaks through, and every Lua that Slurm is built with.
    "lua-socket",
    "lua5.1",
    "lua5.2",
    "lua5.3",
    "lua5.4",
)
# What these packages would start now, or at the next boot of a machine with systemd.
SERVICES = ("munge", "slurmctld", "slurmd", "slurmdbd")
INSTALL_ENVIRONMENT = {
    **PLAIN_ENVIRONMENT,
    "DEBIAN_FRONTEND": "noninteractive",
    # Ubuntu would otherwise ask, or restart services that have nothing to do with this.
    "NEEDRESTART_MODE": "l",
}
POLICY = Path("/usr/sbin/policy-rc.d")
POLICY_TEXT = "#!/bin/sh\n# Put here while the packages of a Slurm lab are installed.\nexit 101\n"
MINUTES_10 = 600


def is_installed(package: str) -> bool:
    """Say whether a package is installed and set up."""
    argv = ["dpkg-query", "--show", "--showformat=${db:Status-Status}", package]
    return run(argv).stdout == "installed"


def missing_packages() -> list[str]:
    """Return those packages that are not installed yet."""
    if shutil.which("dpkg-query", path=PLAIN_ENVIRONMENT["PATH"]) is None:
        raise Missing(
            "this machine has no dpkg: the lab's packages are known for Debian and Ubuntu"
        )
    return [package for package in PACKAGES if not is_installed(package)]


@contextlib.contextmanager
def no_service_starts() -> Iterator[None]:
    """Forbid package scripts to start services, and put the machine's own rule back afterwards.

    Source:
        README.policy-rc.d.gz of init-system-helpers: status 101 means 'not allowed'.
    """
    kept = POLICY.with_name("policy-rc.d.before-slurm-lab")
    had_one = POLICY.exists() or POLICY.is_symlink()
    if had_one and not kept.exists():
        POLICY.rename(kept)
    POLICY.write_text(POLICY_TEXT)
    POLICY.chmod(stat.S_IRWXU | stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH)
    try:
        yield
    finally:
        if kept.exists() or kept.is_symlink():
            kept.rename(POLICY)
        else:
            POLICY.unlink()


def apt_get(*arguments: str) -> None:
    """Run apt-get; wait for another one that holds the lock."""
    run_or_raise(
        ["apt-get", "--quiet", "-o", "DPkg::Lock::Timeout=120", *arguments],
        environment={**INSTALL_ENVIRONMENT, **proxies()},
        timeout_seconds=MINUTES_10,
    )


def proxies() -> dict[str, str]:
    """Return the caller's proxy settings, which apt-get may need to reach its mirror."""
    names = ("http_proxy", "https_proxy", "no_proxy")
    return {name: os.environ[name] for name in names if name in os.environ}


def install(say: Callable[[str], None]) -> list[str]:
    """Install what is missing; return the names of what was installed.

    Raises:
        Missing: not root, no apt, or no such package in the machine's package sources.
        CommandFailed: apt-get failed for another reason.
    """
    wanted = missing_packages()
    if not wanted:
        say(f"all {len(PACKAGES)} packages are installed")
        return []
    if os.geteuid() != 0:
        raise Missing(f"only root can install packages; missing: {' '.join(wanted)}")
    if shutil.which("apt-get", path=PLAIN_ENVIRONMENT["PATH"]) is None:
        raise Missing(f"this machine has no apt-get; missing packages: {' '.join(wanted)}")
    say(f"missing: {' '.join(wanted)}")
    with no_service_starts():
        try:
            install_now(wanted, say)
        except CommandFailed as first:
            # Lists that are absent or too old: fetch them, then it must work.
            say("apt-get install did not work; getting new package lists (apt-get update)")
            apt_get("update")
            try:
                install_now(wanted, say)
            except CommandFailed as second:
                if "Unable to locate package" not in second.stderr:
                    raise
                raise Missing(
                    "a package is not in this machine's package sources"
                    f" (Ubuntu keeps them in 'universe'): {second.stderr.strip()}"
                ) from first
    still = missing_packages()
    if still:
        raise LabError(f"apt-get reported success, but these are not installed: {' '.join(still)}")
    disable_services(wanted, say)
    say(f"installed {len(wanted)} packages; none of their services was started")
    return wanted


def install_now(wanted: list[str], say: Callable[[str], None]) -> None:
    """Install packages from the lists that are there."""
    say("apt-get install (this takes a minute or so)")
    apt_get("install", "--yes", "--no-install-recommends", *wanted)


def disable_services(installed: list[str], say: Callable[[str], None]) -> None:
    """Keep services of packages installed just now from starting at the next boot."""
    if not Path("/run/systemd/system").is_dir():
        return
    units = [f"{name}.service" for name in SERVICES if name in installed]
    if units:
        say(f"systemctl disable {' '.join(units)}")
        run_or_raise(["systemctl", "--quiet", "disable", *units])
