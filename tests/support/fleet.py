"""A fleet of aliases on this machine, some of them broken in ten ways: ``python -m tests.support.fleet 1000 50``."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from azpg_backend import trust
from demo_project.localpg import Authority, LocalPostgres, azure_chain
from tests.support import servers
from tests.support.settings import HOST, PASSWORD, settings_at

ROOT = Path(__file__).parents[2]


@dataclass
class Fleet:
    """aliases: their settings by name; expected: the code that each broken one should get."""

    aliases: dict[str, dict[str, Any]] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)


@contextlib.contextmanager
def broken(folder: Path, port: int, root_file: str) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """Serve ten broken servers, each with the code that it should get."""

    def on(port: int, host: str = HOST, **changes: Any) -> dict[str, Any]:
        return {**settings_at(port, root_file), "HOST": host, **changes}

    def tls(host: str, **changes: Any) -> servers.TLSServer:
        chain = azure_chain(host, root, **changes)
        return servers.TLSServer(chain.server_pem, chain.key_pem)

    root = Authority.root("Fleet Root")
    trusting = folder / "fleet.pem"
    trusting.write_text(root.pem)
    options = {"OPTIONS": {"hostaddr": "127.0.0.1", "sslrootcert": str(trusting)}}
    behaviours = {
        "tls.not_offered": servers.answering(b"N"),
        "tls.closed": servers.closing,
        "tls.timeout": servers.silent,
        "certificate.expired": tls(HOST, days=(-90, -1)),
        "certificate.host_mismatch": tls("other.example.org"),
        "certificate.untrusted_root": tls(HOST),
    }
    with contextlib.ExitStack() as stack:
        ports = {code: stack.enter_context(servers.listening(each)) for code, each in behaviours.items()}
        found = [(code, on(each, **({} if code.startswith("tls") else options))) for code, each in ports.items()]
        found[-1] = (found[-1][0], on(ports["certificate.untrusted_root"]))
        nowhere = {"OPTIONS": {"sslrootcert": root_file}}
        yield [
            *found,
            ("tcp.refused", on(servers.closed_port())),
            ("dns.not_found", on(port, "nowhere.invalid", **nowhere)),
            ("login.wrong_password", on(port, PASSWORD="wrong")),
            ("login.unknown_database", on(port, NAME="nothing")),
        ]


@contextlib.contextmanager
def fleet(count: int, bad: int, folder: Path) -> Iterator[Fleet]:
    """Serve a fleet in which every so-manyth alias is broken, in ten ways by turns."""
    chain = azure_chain(HOST)
    root_file = folder / "root.pem"
    root_file.write_text(chain.root_pem + Path(trust.BUNDLE).read_text())
    with LocalPostgres(chain, settings={"max_connections": 200}) as server:
        server.create("app", PASSWORD.replace("'", "''"), "app", "CREATEDB")
        with broken(folder, server.port, str(root_file)) as ways:
            made = Fleet()
            for number in range(count):
                alias = "default" if number == 0 else f"tenant_{number:04}"
                made.aliases[alias] = settings_at(server.port, str(root_file))
                if bad and number % (count // bad) == 1:
                    code, settings = ways[len(made.expected) % len(ways)]
                    made.expected[alias], made.aliases[alias] = code, settings
            yield made


@dataclass
class Run:
    """What a run of the command took; threads and sockets are the most that were seen."""

    status: int
    seconds: float
    mebibytes: float
    threads: int
    sockets: int
    first: float
    document: Mapping[str, Any]


def check(made: Fleet, folder: Path, *arguments: str) -> Run:
    """Run azpg_check as a program over a fleet, and measure it from outside."""
    (folder / "fleet_settings.py").write_text(
        f"import json\nDATABASES = json.loads({json.dumps(made.aliases)!r})\n"
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['azpg_backend']\nUSE_TZ = True\n"
    )
    report = folder / "fleet.json"
    command = [sys.executable, "-m", "django", "azpg_check", "--offline", "--verbosity", "0"]
    environ = {**os.environ, "DJANGO_SETTINGS_MODULE": "fleet_settings", "HOME": str(folder)}
    environ["PYTHONPATH"] = os.pathsep.join([str(folder), str(ROOT)])
    started = time.monotonic()
    with subprocess.Popen(
        [*command, "--format", "json", "--output", str(report), *arguments],
        env=environ,
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        watch = _Watch(running.pid)
        assert running.stdout is not None
        running.stdout.readline()
        first = time.monotonic() - started
        running.stdout.read()
        status = running.wait()
        seconds = time.monotonic() - started
        watch.end()
    document = json.loads(report.read_text())
    return Run(status, seconds, watch.mebibytes, watch.threads, watch.sockets, first, document)


class _Watch:
    """Looks at a process every few hundredths of a second (Linux)."""

    def __init__(self, pid: int) -> None:
        self.threads = self.sockets = 0
        self.mebibytes = 0.0
        self._folder = Path("/proc", str(pid))
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(0.05):
            with contextlib.suppress(OSError, KeyError):
                status = dict(line.split(":\t", 1) for line in (self._folder / "status").read_text().splitlines())
                self.threads = max(self.threads, int(status["Threads"]))
                self.mebibytes = max(self.mebibytes, int(status["VmHWM"].split()[0]) / 1024)
                self.sockets = max(self.sockets, sum(map(_is_socket, (self._folder / "fd").iterdir())))

    def end(self) -> None:
        self._over.set()
        self._thread.join()


def _is_socket(path: Path) -> bool:
    try:
        return os.readlink(path).startswith("socket:")
    except OSError:
        return False


def differences(made: Fleet, document: Mapping[str, Any]) -> list[str]:
    """Return the aliases that the report does not describe as they are."""
    wrong = []
    for row in document["databases"]:
        failed = [step["code"] for step in row["steps"] if step["status"] == "fail"]
        expected = [made.expected[row["alias"]]] if row["alias"] in made.expected else []
        if failed != expected:
            wrong.append(f"{row['alias']}: {failed} instead of {expected}")
    return wrong


def main(count: int, bad: int) -> None:
    with tempfile.TemporaryDirectory() as name, fleet(count, bad, Path(name)) as made:
        run = check(made, Path(name), "--timeout", "5")
        for line in differences(made, run.document):
            print(line)
        print(
            f"{count} aliases, {len(made.expected)} broken: {run.seconds:.1f} s, first line after {run.first:.1f} s, "
            f"{run.mebibytes:.0f} MiB, at most {run.threads} threads, {run.sockets} sockets, status {run.status}"
        )


if __name__ == "__main__":
    import django
    from django.conf import settings as django_settings

    django_settings.configure()
    django.setup()
    main(*map(int, sys.argv[1:3]))
