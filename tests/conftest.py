"""Fixtures for every test: Django set up once, and an environment in which nothing of this machine's own counts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django
import hypothesis
import pytest

from azpg_backend.diagnosis.ca_files import Roots
from azpg_backend.diagnosis.report import DatabaseReport, StepResult
from azpg_backend.diagnosis.runner import diagnose
from azpg_backend.process import memory
from demo_project.localpg import Chain, LocalPostgres, azure_chain
from tests.support import official as official_sites
from tests.support import templates
from tests.support.diagnosis import Check, Report
from tests.support.official import Official
from tests.support.settings import HOST, PASSWORD, Settings, SettingsFor, settings_at
from tests.support.standins import HEADER, Issuer, serving

# Variables by which libpq, OpenSSL, requests and azure-identity would bring this machine's configuration into a test.
_PREFIXES = ("PG", "SSL_CERT_", "AZURE_", "IDENTITY_", "MSI_", "IMDS_")
_NAMES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


# Fixtures that start a PostgreSQL: one for all tests, or one for a few, which costs them a second.
_SHARED_SERVERS = {"server", "token_server"}
_OWN_SERVERS = {"own_server", "durable", "local", "azure_server", "first", "second"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-scenarios", action="store_true", help="write docs/scenarios.md from what the tests met")


def pytest_configure(config: pytest.Config) -> None:
    # No example depends on being fast, and each sets what it needs of a fixture anew.
    allowed = [hypothesis.HealthCheck.too_slow, hypothesis.HealthCheck.function_scoped_fixture]
    hypothesis.settings.register_profile("unhurried", deadline=None, suppress_health_check=allowed)
    hypothesis.settings.load_profile("unhurried")
    if config.getoption("--write-scenarios") and config.getoption("numprocesses", None):
        raise pytest.UsageError("--write-scenarios needs all tests in one process: add -n 0")
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    django.setup()


def pytest_report_header() -> list[str]:
    import azpg_backend
    from azpg_backend.plan import libpq

    package = Path(azpg_backend.__file__).parent
    return [f"Django {django.__version__}, {libpq.driver()}, libpq {libpq.version_text()}, azpg_backend in {package}"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Three workers a core, as tests mostly wait; but each has its own servers."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(3 * cores, 8)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & (_SHARED_SERVERS | _OWN_SERVERS):
            item.add_marker("server")
        if fixtures & _OWN_SERVERS:
            item.add_marker("slow")
    _spread(items, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))


def _spread(items: list[pytest.Item], workers: int) -> None:
    """Let each worker begin with its share of what waits, so that none is left alone with it at the end."""
    slow = [each for each in items if each.get_closest_marker("slow")]
    quick = [each for each in items if not each.get_closest_marker("slow")]
    items[:] = [each for number in range(workers) for each in slow[number::workers] + quick[number::workers]]


@pytest.fixture(autouse=True)
def no_unmarked_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the promise of ``-m "not server"``: a test that starts PostgreSQL itself has to carry the marker."""

    def refuse(server: LocalPostgres) -> None:
        pytest.fail("this test starts PostgreSQL and needs @pytest.mark.server")

    if request.node.get_closest_marker("server") is None:
        monkeypatch.setattr(LocalPostgres, "_spawn", refuse)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    for name in list(os.environ):
        if name.startswith(_PREFIXES) or name.upper() in _NAMES:
            monkeypatch.delenv(name)
    # What the process has learned of a port belongs to the server that had it before.
    memory.forget()
    # libpq looks into the home folder, for ~/.postgresql, ~/.pgpass and ~/.pg_service.conf.
    monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
    yield
    # No token is renewed after its test: msal would ask the next test's endpoint.
    memory.forget()


@pytest.fixture(scope="session", autouse=True)
def quick_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with templates.copied(tmp_path_factory.mktemp("initdb")):
        yield


@pytest.fixture
def issuer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Issuer]:
    """App Service's identity endpoint, which the real azure-identity finds."""
    with serving(Issuer()) as running:
        monkeypatch.setenv("IDENTITY_ENDPOINT", f"{running.url}/msi/token")
        monkeypatch.setenv("IDENTITY_HEADER", HEADER)
        yield running


@pytest.fixture
def record_property(request: pytest.FixtureRequest) -> Callable[[str, object], None]:
    """Return a function that notes a figure for the report. pytest's own fixture warns under --junitxml."""

    def record(name: str, value: object) -> None:
        request.node.user_properties.append((name, value))

    return record


@pytest.fixture(scope="session")
def chain() -> Chain:
    return azure_chain(HOST)


@pytest.fixture(scope="session")
def server(chain: Chain) -> Iterator[LocalPostgres]:
    """A server that every test may log in to, and none may change."""
    with LocalPostgres(chain) as running:
        running.create("app", PASSWORD.replace("'", "''"), "app", "CREATEDB")
        yield running


@pytest.fixture
def own_server(chain: Chain) -> Iterator[LocalPostgres]:
    """A server for one test, which may change or stop it."""
    with LocalPostgres(chain) as running:
        running.create("app", PASSWORD.replace("'", "''"), "app", "CREATEDB")
        yield running


@pytest.fixture(scope="session")
def root_file(chain: Chain, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "root.pem"
    path.write_text(chain.root_pem)
    return str(path)


@pytest.fixture(scope="session")
def settings_for(root_file: str) -> SettingsFor:
    """Return settings that reach a local server under its Azure name; a keyword changes one of them."""

    def make(server: LocalPostgres, options: Settings | None = None, **changes: Any) -> Settings:
        return {**settings_at(server.port, root_file, **(options or {})), **changes}

    return make


@pytest.fixture
def at_port(root_file: str) -> SettingsFor:
    """Return a function that makes settings for a port of this machine under the demo's name."""

    def make(port: int, **options: Any) -> Settings:
        return settings_at(port, root_file, **options)

    return make


@pytest.fixture
def connect() -> Iterator[Callable[[Settings], Any]]:
    """Return a function that makes a connection wrapper from settings; it and its pool are closed at the end."""
    from django.db import ConnectionHandler

    made: list[Any] = []

    def make(settings: Settings, alias: str = "default") -> Any:
        wrapper = ConnectionHandler({"default": settings, alias: settings})[alias]
        made.append(wrapper)
        return wrapper

    yield make
    for wrapper in made:
        wrapper.close()
        if wrapper.alias in wrapper._connection_pools:
            wrapper._connection_pools.pop(wrapper.alias).close()


@pytest.fixture
def databases(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Return a function that replaces DATABASES for one test, for commands that look at django.db.connections."""
    from django.db import ConnectionHandler, connections

    def use(**aliases: Settings) -> None:
        default = next(iter(aliases.values()))
        handler = ConnectionHandler({"default": default, **aliases})
        configured = {alias: handler.settings[alias] for alias in aliases}
        monkeypatch.setitem(connections.__dict__, "settings", configured)
        for alias in aliases:
            if hasattr(connections._connections, alias):
                delattr(connections._connections, alias)
        used.extend(aliases)

    used: list[str] = []
    yield use
    for alias in used:
        if hasattr(connections._connections, alias):
            connections[alias].close()
            delattr(connections._connections, alias)


@pytest.fixture
def report(connect: Callable[..., Any]) -> Report:
    """Return a function that diagnoses settings, offline unless told otherwise."""

    def run(settings: dict[str, Any], timeout: float = 30, alias: str = "default", **options: Any) -> DatabaseReport:
        roots = Roots(**{"offline": True, "timeout": timeout, "update": False, "export": None, **options})
        (result,) = diagnose([connect(settings, alias)], roots, timeout, lambda alias, step: None)
        return result

    return run


@pytest.fixture
def check(report: Report) -> Check:
    """The same, as a dict of steps."""

    def run(settings: dict[str, Any], **options: Any) -> dict[str, StepResult]:
        return {step.step: step for step in report(settings, **options).steps}

    return run


@pytest.fixture
def official(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Official]:
    """The official sites, reachable as a machine behind a proxy reaches them."""
    with official_sites.serving(tmp_path) as (sites, environ):
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        yield sites
