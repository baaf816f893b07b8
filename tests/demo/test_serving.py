"""``--serve``: it fails early, listens where it is told to, and leaves nothing behind."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

import azpg_backend
from demo_project.page.serving import Address, address
from tests.support.demo import ROOT, demo, url_of
from tests.support.leftovers import assert_nothing_is_left, working_in

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@pytest.fixture
def base() -> Iterator[Path]:
    """A TMPDIR like /tmp: the server's account may enter it, which pytest's own folders don't allow."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("127.0.0.1:8000", Address("127.0.0.1", 8000)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:80", Address("::1", 80)),
    ],
)
def test_address(text: str, read: Address) -> None:
    assert address(text) == read
    assert str(read) == text
    assert read.local


@pytest.mark.parametrize("text", ["", "8000", ":8000", "host:", "host:http", "host:65536", "host:-1", "host:\u0661"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is not HOST:PORT"):
        address(text)


def test_a_port_that_is_taken_is_said_before_anything_starts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo("--serve", "--address", f"127.0.0.1:{port}") as process:
            said, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert said == (
        f"CommandError: Another program already listens on 127.0.0.1:{port}: stop it, or choose another port, "
        f"say --address 127.0.0.1:{port + 1}.\n"
    )


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["--serve", "--address", "192.0.2.1:8000"], 1, "This machine has no address 192.0.2.1"),
        (["--serve", "--address", "a..b:8000"], 1, "This machine has no address a..b"),
        (["--serve", "--address", "8000"], 2, "'8000' is not HOST:PORT"),
        (["--address", "127.0.0.1:8000"], 2, "add --serve"),
        (["--serve", "--faults"], 2, "not allowed with argument"),
    ],
)
def test_misuse(arguments: list[str], status: int, words: str) -> None:
    with demo(*arguments) as process:
        said, _ = process.communicate(timeout=60)
    assert process.returncode == status
    assert words in said and "Traceback" not in said and "PostgreSQL" not in said


@linux_only
@pytest.mark.server
@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "status"),
    [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGKILL, -signal.SIGKILL)],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else "",
)
def test_nothing_is_left(base: Path, how: signal.Signals, status: int) -> None:
    with demo("--serve", "--address", "127.0.0.1:0", env={"TMPDIR": str(base)}) as process:
        url = url_of(process)
        assert urlopen(url, timeout=30).status == 200
        assert any("postgres" in each for each in working_in(base))
        process.send_signal(how)
        said, _ = process.communicate(timeout=60)
    assert process.returncode == status
    assert "Traceback" not in said
    assert ("The server is stopped and its files are gone." in said) == (how == signal.SIGINT)
    assert_nothing_is_left(base)
    with pytest.raises(OSError, match="refused"):
        urlopen(url, timeout=30)


@linux_only
@pytest.mark.server
@pytest.mark.slow
def test_an_ordinary_user_in_a_folder_with_a_space(base: Path) -> None:
    """Root's own way is what the other tests take, if they are run as root."""
    user: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    try:
        subprocess.run([sys.executable, "-c", "import django"], check=True, capture_output=True, cwd="/", **user)
    except (OSError, LookupError, subprocess.CalledProcessError):
        pytest.skip("no ordinary account that can run this Python")
    folder = base / "my project"
    folder.mkdir()
    for each in (Path(azpg_backend.__file__).parent, ROOT / "demo_project"):
        shutil.copytree(each, folder / each.name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "manage.py", folder)
    env = {"TMPDIR": str(base), "HOME": str(base), "PYTHONDONTWRITEBYTECODE": "1"}
    with demo("--serve", "--address", "127.0.0.1:0", folder=folder, env=env, **user) as process:
        assert urlopen(url_of(process), timeout=30).status == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    shutil.rmtree(folder)
    assert_nothing_is_left(base)
