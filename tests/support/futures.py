"""Futures of a server's chain, and what libpq says on a day that has yet to come."""

from __future__ import annotations

import datetime
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo_project.localpg import Authority
from demo_project.localpg.certificates import SERVER_AUTH, Profile, key_pem, new_key, pem
from tests.support import servers
from tests.support.settings import HOST

TODAY = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
OWN_HOST = "db.example.org"
FAKETIME = shutil.which("faketime")

# Each driver that is there connects once, and prints what its libpq says.
_PROGRAM = """
import sys
host, port, root_file = sys.argv[1:]
for name in ("psycopg2", "psycopg"):
    try:
        driver = __import__(name)
    except ImportError:
        continue
    try:
        driver.connect(host=host, hostaddr="127.0.0.1", port=port, user="app", password="x", dbname="app",
                       sslmode="verify-full", sslrootcert=root_file, gssencmode="disable", connect_timeout=20)
    except driver.OperationalError as error:
        print(name, " ".join(str(error).split()))
"""


def day(number: float) -> datetime.datetime:
    """Return midnight, so many days from today."""
    return TODAY + datetime.timedelta(days=number)


def authority(days: float = 3000) -> Profile:
    return Profile(not_before=day(-300), not_after=day(days), ca=True)


@dataclass
class World:
    """A server that changes its chain, and the file that its client trusts.

    chains: by the day from which on they are served, each with who issues the leaf and what is sent above it.
    trusted: the CA file as PEM, by the day from which on it is there.
    changes: rows of a list of announcements.
    life: days that a leaf lives; the first one began ten days ago.
    renewed: whether it is replaced before it ends.
    """

    chains: Mapping[float, tuple[Authority, Sequence[Authority]]]
    trusted: Mapping[float, str]
    changes: list[dict[str, Any]] = field(default_factory=list)
    host: str = HOST
    life: float = 90
    renewed: bool = True

    def sent(self, number: float) -> tuple[str, str]:
        """Return what the server sends on a day, with its key."""
        issuer, above = self.chains[max(each for each in self.chains if each <= number)]
        began = day(number - 10 if self.renewed else -10)
        profile = Profile(not_before=began, not_after=began + datetime.timedelta(days=self.life), names=(self.host,))
        key = new_key()
        leaf = issuer.issue(self.host, key, profile, purposes=SERVER_AUTH)
        return pem(leaf, *[each.certificate for each in above]), key_pem(key)

    def file(self, number: float) -> str:
        return self.trusted[max(each for each in self.trusted if each <= number)]

    def announced(self, folder: Path) -> str:
        """Write the list of changes, as somebody looked it up today."""
        path = folder / "announcements.json"
        path.write_text(json.dumps({"version": 1, "as_of": str(TODAY.date()), "changes": self.changes}))
        return str(path)


def change(kind: str, number: float, **more: Any) -> dict[str, Any]:
    source = {"title": "A page", "date": "2026-01-01"}
    return {"kind": kind, "date": str(day(number).date()), "what": f"something of kind {kind} comes", **more} | {
        "source": source
    }


def accepted(world: World, number: float, hour: int = 12) -> dict[str, bool]:
    """Return by driver whether libpq trusts the server on a day to come."""
    sent, key = world.sent(number)
    answer = servers.logging_in(servers.error_response("you got through", "28000"))
    moment = (day(number) + datetime.timedelta(hours=hour)).strftime("%Y-%m-%d %H:%M:%S")
    with servers.listening(servers.TLSServer(sent, key, then=answer)) as port, tempfile.TemporaryDirectory() as folder:
        root_file = Path(folder, "root.pem")
        root_file.write_text(world.file(number))
        done = subprocess.run(
            [str(FAKETIME), "-f", f"@{moment}", sys.executable, "-c", _PROGRAM, world.host, str(port), root_file],
            env={"DONT_FAKE_MONOTONIC": "1", "TZ": "UTC", "HOME": folder, "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=90,
            check=True,
        )
    said = {line.partition(" ")[0]: line for line in done.stdout.splitlines()}
    assert said
    for line in said.values():
        assert "you got through" in line or "certificate verify failed" in line, line
    return {driver: "you got through" in line for driver, line in said.items()}


Make = Callable[[], World]
