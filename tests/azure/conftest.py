"""The real client of Azure's management API against a stand-in, and a network that does as a test says."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from azpg_backend.azure.places import VARIABLE
from azpg_backend.diagnosis.ca_files import Roots
from azpg_backend.diagnosis.report import DatabaseReport, StepResult
from azpg_backend.diagnosis.runner import diagnose
from azpg_backend.diagnosis.selection import Selection
from azpg_backend.diagnosis.steps import dns, tcp
from tests.support import arm as stand_in
from tests.support import azure_document as document
from tests.support.arm import Arm
from tests.support.https import certified
from tests.support.standins import Issuer

PUBLIC = "20.61.1.2"
MISSING = "the extra [azure] is not installed"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    try:
        import azure.identity
        import azure.mgmt.postgresqlflexibleservers  # noqa: F401
    except ImportError:
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents and "arm" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.skip(reason=MISSING))


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, str]:
    """A TLS context for https://localhost, and the file of its root."""
    context, root = certified("localhost")
    path = tmp_path_factory.mktemp("site") / "root.pem"
    path.write_text(root)
    return context, str(path)


@pytest.fixture
def arm(issuer: Issuer, site: tuple[Any, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Arm]:
    """Azure's management API, with one server that has nothing to complain about."""
    context, root = site
    with stand_in.serving(Arm(issuer), context) as running:
        monkeypatch.setenv(VARIABLE, running.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", root)
        yield running


class Network:
    """What this machine's network does. addresses: of HOST. connect: raises, or returns a socket."""

    def __init__(self) -> None:
        self.addresses: list[str] | Exception = [PUBLIC]
        self.error: Exception | None = TimeoutError()

    def lookup(self, endpoint: Any) -> list[str]:
        if isinstance(self.addresses, Exception):
            raise self.addresses
        return self.addresses

    def connect(self, target: Any, timeout: float) -> socket.socket:
        if self.error is not None:
            raise self.error
        return socket.create_connection(("127.0.0.1", target[0].port), timeout)


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network that answers names with a public address, and drops packets; the steps dns and tcp ask it."""
    made = Network()
    monkeypatch.setattr(dns, "addresses_of", made.lookup)
    monkeypatch.setattr(tcp, "_connect", made.connect)
    return made


@pytest.fixture
def azure_report(connect: Callable[..., Any]) -> Callable[..., DatabaseReport]:
    """Return a function that diagnoses settings with --azure."""

    def run(settings: dict[str, Any], timeout: float = 20, **selection: Any) -> DatabaseReport:
        roots = Roots(offline=True, timeout=timeout, update=False, export=None)
        chosen = Selection(azure=True, **selection)
        (result,) = diagnose([connect(settings)], roots, timeout, lambda alias, step: None, chosen)
        return result

    return run


@pytest.fixture
def azure_step(azure_report: Callable[..., DatabaseReport]) -> Callable[..., StepResult]:
    """The same, as the step azure alone."""

    def run(settings: dict[str, Any], **options: Any) -> StepResult:
        return azure_report(settings, **options).steps[-1]

    return run


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> Iterator[dict[str, tuple[str, str, str]]]:
    """The rows of the table of faults, written into docs/azure.md at the end if that is asked for."""
    met: dict[str, tuple[str, str, str]] = {}
    yield met
    if met and request.config.getoption("--write-scenarios"):
        document.write(met)


@pytest.fixture
def record_row(rows: dict[str, tuple[str, str, str]]) -> Callable[[str, str, DatabaseReport], None]:
    """Return a function that notes a fault, what the rest of the check says of it, and what Azure does."""

    def record(name: str, before: str, report: DatabaseReport) -> None:
        step = report.steps[-1]
        rows[name] = (before, step.code, step.message)

    return record
