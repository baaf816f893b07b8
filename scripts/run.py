"""Run the demo or the tests with nothing but Python 3.10 or newer: ``python3 scripts/run.py demo`` (or ``tests``).

A virtual environment is made below the checkout, with all that is needed (a PostgreSQL server too), and kept for the
next time. What follows the first word is handed on: ``demo --serve``, ``tests -k dbshell``. Tests run in parallel;
``tests -n 0`` runs them in one process.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARALLEL = ["-n", "auto", "--dist", "worksteal"]
TASKS = {
    "demo": ("demo", ["manage.py", "demo"]),
    "tests": ("test", ["-m", "pytest", *PARALLEL]),
}


def environment(extra: str) -> Path:
    """Return the Python of an environment with the project and one extra, made or brought up to date as needed."""
    folder = ROOT / f".venv-{extra}-{sys.version_info.major}.{sys.version_info.minor}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = folder / "installed"
    wanted = hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest()
    if stamp.exists() and stamp.read_text() == wanted and python.exists():
        return python
    print(f"Installing into {folder.name} (once) ...", flush=True)
    try:
        venv.create(folder, with_pip=True, clear=True)
    except subprocess.CalledProcessError:
        sys.exit("This Python can't make virtual environments. On Debian and Ubuntu: apt-get install python3-venv")
    install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", f".[{extra}]"]
    if subprocess.run(install, cwd=ROOT, check=False).returncode:
        sys.exit("The packages could not be installed; pip's message is above.")
    stamp.write_text(wanted)
    return python


def main() -> int:
    if sys.version_info < (3, 10):  # noqa: UP036 (it is run before anything checked which Python this is)
        sys.exit(f"Python 3.10 or newer is needed; this is {sys.version.split()[0]}.")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=list(TASKS))
    task, rest = parser.parse_known_args()
    extra, command = TASKS[task.task]
    if any("no:xdist" in each for each in rest):
        command = [each for each in command if each not in PARALLEL]
    return _become([str(environment(extra)), *command, *rest])


def _become(command: list[str]) -> int:
    """Run a command in this process's place, so that Ctrl-C and signals reach it, and it has the time to tidy up."""
    if os.name != "nt":
        os.chdir(ROOT)
        os.execv(command[0], command)  # noqa: S606 (no shell)
    # Windows would return to the prompt while the new process still runs.
    with subprocess.Popen(command, cwd=ROOT) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                continue


if __name__ == "__main__":
    sys.exit(main())
