"""sslmode, and the names that can be verified: raised, refused, warned about or known."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest

from azpg_backend.client import DatabaseClient, shown_command
from azpg_backend.errors.problem import Severity
from azpg_backend.plan import hosts, libpq
from azpg_backend.trust import manifest
from tests.support.plans import HOST, ids, only, planned

LOCAL = {"azpg": {"plaintext_on_loopback": True}}


@pytest.mark.parametrize("mode", ["require", "prefer", "allow", "REQUIRE", " Prefer ", "require\n", "Verify-Full"])
def test_a_weak_sslmode_is_raised_everywhere(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned({"sslmode": mode})
    assert ids(plan) == ["azpg.W015"]
    assert plan.problems[0].code == "settings.raised_sslmode"
    assert not plan.errors
    assert plan.params["sslmode"] == "verify-full"
    assert "sslmode=verify-full" in shown_command(plan)
    monkeypatch.setattr(libpq, "psql_version", lambda executable: 17)
    given = {"NAME": "app", "USER": "me", "PASSWORD": "", "HOST": HOST, "PORT": "", "OPTIONS": {"sslmode": mode}}
    arguments, environment = DatabaseClient.settings_to_cmd_args_env(given, [])
    assert "sslmode=verify-full" in arguments[2].split()
    assert environment is not None
    assert environment["PGSSLMODE"] == "verify-full"


@pytest.mark.parametrize("mode", ["disable", "Disable", " disable"])
def test_no_tls_stays_refused(mode: str) -> None:
    plan = planned({"sslmode": mode})
    assert ids(plan) == ["azpg.E001"]
    assert "plaintext_on_loopback" in only(plan)
    assert plan.params["sslmode"] == "verify-full"


@pytest.mark.parametrize("mode", ["verify_full", "required", "VERIFY_CA", "", True, 1])
def test_another_sslmode_is_refused(mode: Any) -> None:
    assert ids(planned({"sslmode": mode})) == ["azpg.E002"]


@pytest.mark.parametrize(("least", "most"), [("TLSv1.3", "TLSv1.2"), ("tlsv1.3", "TLSV1.2")])
def test_limits_that_leave_no_version_of_tls_are_refused(least: str, most: str) -> None:
    plan = planned({"ssl_min_protocol_version": least, "ssl_max_protocol_version": most})
    assert ids(plan) == ["azpg.E002"]
    assert f"is {most!r}, older than ssl_min_protocol_version, which is {least!r}" in only(plan)
    assert "ssl_max_protocol_version" not in plan.params
    for fits in ({"ssl_max_protocol_version": least}, {"ssl_max_protocol_version": ""}):
        assert planned({"ssl_min_protocol_version": least, **fits}).problems == ()


def test_entra_raises_too() -> None:
    plan = planned({"sslmode": "require", "azpg": {"auth": "entra"}}, PASSWORD="")
    assert ids(plan) == ["azpg.W015"]
    assert plan.params["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    ("mode", "sent"), [("disable", "disable"), ("prefer", "prefer"), ("Require ", "require"), ("allow", "allow")]
)
def test_a_local_server_gets_the_mode_that_is_asked_for(mode: str, sent: str) -> None:
    plan = planned({**LOCAL, "sslmode": mode}, HOST="localhost")
    assert plan.problems == ()
    assert plan.plaintext
    assert plan.params["sslmode"] == sent


@pytest.mark.parametrize("mode", ["verify-full", "verify-ca"])
def test_a_local_server_that_is_to_be_verified_is(mode: str) -> None:
    plan = planned({**LOCAL, "sslmode": mode, "sslrootcert": "/own.pem"}, HOST="localhost")
    assert not plan.plaintext
    assert not plan.errors
    assert plan.params["sslmode"] == mode
    assert plan.params["ssl_min_protocol_version"] == "TLSv1.2"
    assert "azpg.W002" not in ids(plan)


@pytest.mark.parametrize(
    ("key", "value"), [("sslmode", "nope"), ("sslmode", 5), ("sslrootcert", 5), ("ssl_min_protocol_version", [1])]
)
def test_a_local_server_s_settings_are_judged_too(key: str, value: Any) -> None:
    plan = planned({**LOCAL, key: value}, HOST="localhost")
    assert ids(plan) == ["azpg.E002"]


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_a_local_host_is_told_of_plaintext_first(host: str) -> None:
    plan = planned(HOST=host)
    assert ids(plan) == ["azpg.W002"]
    assert plan.problems[0].hint.startswith("To work with a local server, set 'azpg': {'plaintext_on_loopback': True}")
    assert "portal" not in only(plan)


@pytest.mark.parametrize("host", ["db", "postgres", "mydemoserver", "host.docker.internal"])
def test_a_container_or_a_short_name(host: str) -> None:
    plan = planned(HOST=host)
    assert ids(plan) == ["azpg.W002"]
    assert "container" in only(plan)
    assert "the server's full name" in only(plan)


@pytest.mark.parametrize("host", ["c.id.eastus.horizondb.azure.com", "C.ID.EASTUS.HORIZONDB.AZURE.COM"])
def test_horizondb_is_known(host: str) -> None:
    assert planned(HOST=host).problems == ()
    cloud = hosts.cloud_of(host)
    assert cloud is not None
    assert cloud.name == "AzureCloud"


def test_horizondb_s_private_zone_is_warned_about_as_flexible_server_s() -> None:
    assert ids(planned(HOST="c.privatelink.horizondb.azure.com")) == ["azpg.W002"]


@pytest.mark.parametrize(
    ("host", "cloud"),
    [
        ("s.postgres.database.sovcloud-api.fr", "Bleu"),
        ("s.postgres.database.sovcloud-api.de", "Delos"),
        ("s.postgres.database.sovcloud-api.sg", "Singapore"),
    ],
)
def test_a_cloud_without_published_roots_says_so(host: str, cloud: str) -> None:
    plan = planned(HOST=host)
    assert ids(plan) == ["azpg.W021"]
    assert cloud in only(plan)
    assert "sslrootcert" in only(plan)
    assert not plan.errors
    assert planned({"sslrootcert": "/own.pem"}, HOST=host).problems == ()


def test_a_cloud_is_proven_or_not_as_the_manifest_says() -> None:
    """A row for a sovereign cloud in the manifest ends its warning, and the other way round."""
    for cloud in hosts.CLOUDS:
        assert bool(manifest.current(cloud.name)) is not bool(hosts.unproven_cloud(f"s{cloud.suffix}")), cloud.name


def test_a_service_file_can_not_log_the_session_s_keys(tmp_path: Any) -> None:
    file = tmp_path / "services"
    file.write_text("[x]\nsslkeylogfile=/tmp/keys\n")
    plan = planned({"service": "x"}, {"PGSERVICEFILE": str(file)})
    assert plan.params.get("sslkeylogfile") == ("" if libpq.knows("sslkeylogfile") else None)


SHELLS = ["a!b", "a\nb", "a\x1b[31mb", "a\u202eb", 'a"b', "a$b`c", "a\\b", "a b", "it's", "\u00fc"]


@pytest.mark.parametrize("name", SHELLS)
@pytest.mark.parametrize("system", ["posix", "nt"])
def test_the_shown_command_can_be_pasted(name: str, system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = planned()
    plan = dataclasses.replace(plan, params={**plan.params, "dbname": name})
    monkeypatch.setattr("azpg_backend.client.os.name", system)
    command = shown_command(plan)
    assert command.isprintable()
    assert "!" not in command
    assert re.fullmatch(r'psql ".*"', command)
    inner = command.removeprefix('psql "').removesuffix('"')
    if system == "nt":
        assert not set('"$`%') & set(re.sub(r"%[0-9A-F]{2}", "", inner))
    else:
        inner = re.sub(r'\\(["$`\\])', r"\1", inner)
    assert parsed(inner)["dbname"] == name
    assert parsed(inner)["sslmode"] == "verify-full"


def parsed(conninfo: str) -> dict[str, str]:
    """Return what libpq makes of a conninfo string or URI."""
    from django.db.backends.postgresql.psycopg_any import is_psycopg3

    if is_psycopg3:
        from psycopg.conninfo import conninfo_to_dict as parse
    else:
        from psycopg2.extensions import parse_dsn as parse
    return dict(parse(conninfo))


def test_missing_values_have_the_severity_of_whoever_asks() -> None:
    (problem,) = planned(HOST="").problems
    assert problem.severity is Severity.ERROR
