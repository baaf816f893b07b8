"""dbshell: psql gets the engine's TLS, whatever the environment says and however old psql is."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management.base import CommandError

from azpg_backend import trust
from azpg_backend.client import DatabaseClient
from azpg_backend.plan import libpq
from demo_project.localpg import LocalPostgres
from demo_project.localpg.server import find_binaries
from tests.support.settings import HOST, PASSWORD, SettingsFor

Connect = Callable[..., Any]
QUESTION = "SELECT ssl, version, current_database() FROM pg_stat_ssl WHERE pid = pg_backend_pid()"

PSQLS = [find_binaries() / "psql"]
if Path("/usr/lib/postgresql/15/bin/psql").exists():
    PSQLS.append(Path("/usr/lib/postgresql/15/bin/psql"))


@pytest.fixture(params=PSQLS, ids=lambda path: str(libpq.psql_version(str(path))))
def psql(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run the test with this psql, put first on PATH as the user's would be."""
    monkeypatch.setenv("PATH", f"{request.param.parent}{os.pathsep}{os.environ['PATH']}")
    return str(request.param)


def shell(wrapper: Any, capfd: pytest.CaptureFixture[str], *parameters: str) -> str:
    wrapper.client.runshell(["-X", "-A", "-t", *parameters])
    return capfd.readouterr().out.strip()


def test_psql_gets_verified_tls(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, capfd: pytest.CaptureFixture[str], psql: str
) -> None:
    assert shell(connect(settings_for(server)), capfd, "-c", QUESTION) == "t|TLSv1.3|app"


@pytest.mark.parametrize(
    "changes",
    [
        {"HOST": "other.postgres.database.azure.com"},
        {"OPTIONS": {"hostaddr": "127.0.0.1"}},
    ],
    ids=["another name", "another root"],
)
def test_psql_refuses_what_the_engine_refuses(
    server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    capfd: pytest.CaptureFixture[str],
    psql: str,
    changes: dict[str, Any],
) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        shell(connect(settings_for(server, **changes)), capfd, "-c", QUESTION)
    said = capfd.readouterr().err
    assert "does not match host name" in said or "certificate verify failed" in said


@pytest.mark.parametrize("name", ["app sslmode=disable", f"postgresql://{HOST}/app?sslmode=disable&ssl_min_protocol="])
def test_a_conninfo_in_name_can_not_weaken_psql(
    server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    capfd: pytest.CaptureFixture[str],
    psql: str,
    name: str,
) -> None:
    with pytest.raises((subprocess.CalledProcessError, CommandError)) as caught:
        shell(connect(settings_for(server, NAME=name)), capfd, "-c", QUESTION)
    if caught.type is subprocess.CalledProcessError:
        assert f'database "{name}" does not exist' in capfd.readouterr().err


def test_a_service_and_the_environment_can_not_weaken_psql(
    server: LocalPostgres,
    settings_for: SettingsFor,
    connect: Connect,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    psql: str,
) -> None:
    services = tmp_path / "services.conf"
    services.write_text("[weak]\nsslmode=disable\nssl_max_protocol_version=TLSv1.1\n")
    monkeypatch.setenv("PGSERVICEFILE", str(services))
    monkeypatch.setenv("PGSERVICE", "weak")
    monkeypatch.setenv("PGSSLMODE", "disable")
    monkeypatch.setenv("PGGSSENCMODE", "require")
    monkeypatch.setenv("PGSSLMAXPROTOCOLVERSION", "TLSv1.1")
    assert shell(connect(settings_for(server)), capfd, "-c", QUESTION) == "t|TLSv1.3|app"


def test_what_is_started_from_psql_inherits_tls(
    server: LocalPostgres, settings_for: SettingsFor, connect: Connect, capfd: pytest.CaptureFixture[str], psql: str
) -> None:
    """A second connection by \\connect takes what its conninfo does not say from the environment."""
    conninfo = f"host={HOST} hostaddr=127.0.0.1 port={server.port} dbname=postgres user=app"
    answer = shell(connect(settings_for(server)), capfd, "-q", "-c", f'\\connect "{conninfo}"', "-c", QUESTION)
    assert answer.endswith("t|TLSv1.3|postgres")


def test_the_password_is_not_an_argument(settings_for: SettingsFor, server: LocalPostgres) -> None:
    arguments, environment = DatabaseClient.settings_to_cmd_args_env(settings_for(server), [])
    assert not any(PASSWORD in argument for argument in arguments)
    assert environment is not None
    assert environment["PGPASSWORD"] == PASSWORD


def test_an_old_psql_is_not_given_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {
        "NAME": "app",
        "USER": "me",
        "PASSWORD": "",
        "HOST": HOST,
        "PORT": "",
        "OPTIONS": {"hostaddr": "10.0.0.4", "target_session_attrs": "read-write", "require_auth": "scram-sha-256"},
    }
    for version, known in ((15, False), (17, True)):
        monkeypatch.setattr(libpq, "psql_version", lambda executable, version=version: version)
        (_, _, conninfo, extra), environment = DatabaseClient.settings_to_cmd_args_env(settings, ["-q"])
        assert extra == "-q"
        words = shlex.split(conninfo)
        assert {"host=" + HOST, "hostaddr=10.0.0.4", "sslmode=verify-full", f"sslrootcert={trust.BUNDLE}"} <= set(words)
        assert "target_session_attrs=read-write" in words
        assert ("sslcertmode=disable" in words) is known
        assert ("require_auth=scram-sha-256" in words) is known
        # An old psql ignores these variables, and a new one that is started from it obeys them.
        assert environment is not None
        assert environment["PGSSLCERTMODE"] == "disable"
        assert environment["PGREQUIREAUTH"] == "scram-sha-256"


def test_wrong_settings_are_refused_under_their_own_alias(connect: Connect, settings_for: SettingsFor) -> None:
    wrapper = connect(
        {"ENGINE": "azpg_backend", "NAME": "app", "HOST": HOST, "OPTIONS": {"sslmode": "disable"}}, "shop"
    )
    # Shown by manage.py without a traceback.
    with pytest.raises(CommandError, match=r"DATABASES\['shop'\]"):
        wrapper.client.runshell([])
