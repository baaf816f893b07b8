"""A data folder made by initdb once, and copied for each server: initdb is most of what a server costs."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from demo_project.localpg import LocalPostgres
from demo_project.localpg.programs import Programs

_initdb = LocalPostgres._make_data


@contextlib.contextmanager
def copied(folder: Path) -> Iterator[None]:
    """While the block lasts, servers begin with a copy. folder: for what is copied."""
    made: dict[Path, tuple[Path, str]] = {}

    def make_data(server: LocalPostgres, programs: Programs) -> None:
        if programs.folder not in made:
            _initdb(server, programs)
            made[programs.folder] = folder / str(len(made)), server.superuser_password
            _copy(server._data, made[programs.folder][0])
            return
        template, server.superuser_password = made[programs.folder]
        _copy(template, server._data)

    with _replaced(make_data if shutil.which("cp") else _initdb):
        yield


def initdb() -> contextlib.AbstractContextManager[None]:
    """While the block lasts, each server runs initdb, as it does outside of the tests."""
    return _replaced(_initdb)


@contextlib.contextmanager
def _replaced(make_data: object) -> Iterator[None]:
    before = LocalPostgres._make_data
    LocalPostgres._make_data = make_data
    try:
        yield
    finally:
        LocalPostgres._make_data = before


def _copy(source: Path, target: Path) -> None:
    """Copy with owners and modes, on which PostgreSQL insists."""
    subprocess.run(["cp", "-a", source, target], check=True)
