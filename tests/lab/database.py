"""The files of a fresh MariaDB, made once for a machine and copied for each lab."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from .processes import find_user, run_or_raise


def template_directory(home: Path) -> Path:
    """Return where the fresh database for the installed MariaDB is kept."""
    words = run_or_raise(["mariadbd", "--no-defaults", "--version"]).split()
    version = words[words.index("Ver") + 1]
    return home / ".template" / f"mariadb-{version}"


def make_database(directory: Path, home: Path, say: Callable[[str], None]) -> None:
    """Make a lab's data directory, owned by the user ``slurm``."""
    template = template_directory(home)
    if not template.is_dir():
        say("making an empty MariaDB database, once for this machine")
        make_template(template)
    shutil.copytree(template, directory, copy_function=shutil.copyfile)
    owner = find_user("slurm")
    for path in (directory, *directory.rglob("*")):
        os.chown(path, owner.pw_uid, owner.pw_gid)


def make_template(template: Path) -> None:
    """Make the fresh database aside, then rename it, so that nobody copies half of it.

    The user ``slurm`` is known to MariaDB by the kernel's word (unix_socket): no password.
    """
    template.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=template.parent, prefix="making-"))
    try:
        owner = find_user("slurm")
        os.chown(aside, owner.pw_uid, owner.pw_gid)
        argv = [
            "mariadb-install-db",
            "--no-defaults",
            "--user=slurm",
            f"--datadir={aside / 'data'}",
            # A starting MariaDB removes what others have in a directory that they share.
            f"--tmpdir={aside}",
        ]
        argv += ["--auth-root-authentication-method=socket", "--auth-root-socket-user=slurm"]
        argv += ["--skip-test-db", "--skip-name-resolve", "--innodb-log-file-size=64M"]
        run_or_raise(argv, timeout_seconds=120)
        try:
            (aside / "data").rename(template)
        except OSError:
            # Somebody else was faster; theirs is as good.
            if not template.is_dir():
                raise
    finally:
        shutil.rmtree(aside)
