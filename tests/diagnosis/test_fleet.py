"""Many aliases at once: bounded threads and connections, results as they come, and nobody hides anybody."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from azpg_backend.diagnosis import runner
from azpg_backend.diagnosis.ca_files import Roots
from azpg_backend.diagnosis.report import DatabaseReport
from azpg_backend.diagnosis.runner import Diagnosis
from azpg_backend.trust import ca_file
from demo_project.localpg import Authority
from tests.support import fleet, servers


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_fleet_with_every_tenth_broken(tmp_path: Path) -> None:
    with fleet.fleet(150, 15, tmp_path) as made:
        run = fleet.check(made, tmp_path, "--timeout", "5")
    assert fleet.differences(made, run.document) == []
    assert len(set(made.expected.values())) == 10
    assert list(made.aliases) == [row["alias"] for row in run.document["databases"]]
    assert run.status == 1
    # Each alias has its own thread, one for the step that runs, and one for each of its hosts.
    assert run.threads <= 3 * runner.WORKERS + 10
    assert run.sockets <= 2 * runner.WORKERS
    assert run.mebibytes < 300
    # The silent servers take 5 seconds, and the others are not waited for until then.
    assert run.first < run.seconds - 2


def diagnosis(connect: Callable[..., Any], settings: list[dict[str, Any]]) -> Diagnosis:
    wrappers = [connect(each, f"alias_{number}") for number, each in enumerate(settings)]
    roots = Roots(offline=True, timeout=2, update=False, export=None)
    made = Diagnosis(wrappers, roots, 2, lambda alias, step: None)
    made.start()
    return made


def aliases(reports: list[DatabaseReport]) -> list[str]:
    return [report.alias for report in reports]


def test_few_come_in_order_and_many_as_they_come(
    connect: Callable[..., Any], at_port: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = at_port(servers.closed_port())
    with servers.listening(servers.silent) as port:
        slow_first = [at_port(port), refused, refused]
        assert aliases(list(diagnosis(connect, slow_first).reports())) == ["alias_0", "alias_1", "alias_2"]
        monkeypatch.setattr(runner, "WORKERS", 2)
        made = diagnosis(connect, slow_first)
        reports = list(made.reports())
    assert aliases(reports) == ["alias_1", "alias_2", "alias_0"]
    assert aliases(made.in_order(reports)) == ["alias_0", "alias_1", "alias_2"]


def test_no_more_than_so_many_at_once(
    connect: Callable[..., Any], at_port: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "WORKERS", 3)
    now: list[float] = []
    most: list[int] = []

    def visit(visitor: Any) -> None:
        now.append(time.monotonic())
        most.append(len(now))
        time.sleep(0.1)
        now.pop()

    with servers.listening(visit) as port:
        reports = list(diagnosis(connect, [at_port(port)] * 12).reports())
    assert len(reports) == 12
    assert 1 < max(most) <= 3


def test_nobody_is_asked_before_the_start(connect: Callable[..., Any], at_port: Callable[..., Any]) -> None:
    roots = Roots(offline=True, timeout=2, update=False, export=None)
    made = Diagnosis([connect(at_port(servers.closed_port()))], roots, 2, lambda alias, step: None)
    (report,) = made.known_so_far()
    assert {step.message for step in report.steps} == {"not reached"}


def test_a_shared_ca_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "root.pem"
    path.write_text(Authority.root("One").pem)
    real, read = ca_file.read, []
    monkeypatch.setattr(ca_file, "read", lambda path: (read.append(path), real(path))[1])
    roots = Roots(offline=True, timeout=2, update=False, export=None)
    first, _ = roots.provide(str(path))
    again, _ = roots.provide(str(path))
    assert first is again
    assert len(read) == 1
    path.write_text(Authority.root("Two").pem)
    changed, _ = roots.provide(str(path))
    assert changed.data != first.data
