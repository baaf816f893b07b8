"""However the process that uses a local server ends, no process and no file of it stays behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from demo_project.localpg.processes import shielded
from tests.support.leftovers import assert_nothing_is_left, working_in

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
    pytest.mark.server,
    pytest.mark.slow,
]

ROOT = Path(__file__).parents[2]
HEAD = """
import os, signal, sys, time
from demo_project.localpg import LocalPostgres, azure_chain
# Let SIGINT interrupt as in a terminal: nohup and scripts' background jobs ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
server = LocalPostgres(azure_chain())
"""
BLOCK = "with server:\n    print('up', flush=True)\n    "

Begin = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def base() -> Iterator[Path]:
    """A TMPDIR like /tmp: the server's account may enter it, which pytest's own folders don't allow."""
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def begin(base: Path) -> Iterator[Begin]:
    begun = []

    def run(script: str) -> subprocess.Popen[str]:
        environment = {**os.environ, "TMPDIR": str(base), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
        process = subprocess.Popen(
            [sys.executable, "-c", HEAD + script], env=environment, cwd=base, stdout=subprocess.PIPE, text=True
        )
        begun.append(process)
        return process

    yield run
    for process in begun:
        with process:
            process.kill()


def test_it_is_seen_while_it_runs(begin: Begin, base: Path) -> None:
    process = begin(BLOCK + "time.sleep(600)")
    assert process.stdout and process.stdout.readline() == "up\n"
    assert any("postgres" in each for each in working_in(base))
    assert [each.name.startswith("azpg-") for each in base.iterdir()] == [True]
    process.send_signal(signal.SIGTERM)
    assert process.wait(90) == 143
    assert_nothing_is_left(base)


ENDINGS = {
    "the end of the block": (BLOCK + "pass", 0),
    "an exception": (BLOCK + "1 / 0", 1),
    "the end of the process only": ("server.__enter__()", 0),
    "a server that was killed": (BLOCK + "server.kill()", 0),
    "a server that was stopped": (BLOCK + "server.stop()", 0),
    "a forked child, which ends first": (BLOCK + "os.waitpid(os.fork() or sys.exit(0), 0); server.sql('SELECT 1')", 0),
    "SIGKILL": (BLOCK + "os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_endings(begin: Begin, base: Path, name: str) -> None:
    script, status = ENDINGS[name]
    assert begin("sys.stderr = open(os.devnull, 'w')\n" + script).wait(90) == status
    assert_nothing_is_left(base)


# A start takes most of a second: these moments fall into initdb, the server's start, and after it.
@pytest.mark.parametrize("moment", [0.0, 0.2, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_at_any_moment(begin: Begin, base: Path, moment: float, how: signal.Signals) -> None:
    # Ctrl-C twice, as impatient people do.
    script = f"""
import threading
def interrupt():
    time.sleep({moment})
    os.kill(os.getpid(), {int(how)})
    time.sleep(0.01)
    os.kill(os.getpid(), {int(how)})
threading.Thread(target=interrupt).start()
sys.stderr = open(os.devnull, 'w')
with server:
    time.sleep(600)
"""
    assert begin(script).wait(90) != 0
    assert_nothing_is_left(base)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT interrupt, although nohup and scripts' background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_shielded_work_is_done_before_the_interruption_counts() -> None:
    done = []

    def work() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        done.append(True)

    with pytest.raises(KeyboardInterrupt):
        shielded(work)
    assert done == [True]


def test_shielded_work_returns_and_raises() -> None:
    assert shielded(lambda: 7) == 7
    with pytest.raises(ZeroDivisionError):
        shielded(lambda: 1 // 0)
