"""What libpq is told: dicts in, a plan out. No server, no driver call beyond asking which keywords libpq knows."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from azpg_backend import trust
from azpg_backend.plan import decision, libpq
from azpg_backend.plan.decision import Plan

HOST = "mydemoserver.postgres.database.azure.com"


def settings(options: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    base = {
        "ENGINE": "azpg_backend",
        "NAME": "app",
        "USER": "myadmin",
        "PASSWORD": "sentinel",
        "HOST": HOST,
        "PORT": "",
    }
    return {**base, "OPTIONS": options or {}, **changes}


def decide(options: dict[str, Any] | None = None, environ: dict[str, str] | None = None, **changes: Any) -> Plan:
    return decision.decide("default", settings(options, **changes), environ=environ or {})


def codes(plan: decision.Plan) -> list[str]:
    return [finding.code for finding in plan.problems]


def test_minimal_settings_get_verified_tls_and_no_finding() -> None:
    plan = decide()
    assert plan.problems == ()
    assert plan.params == {
        "dbname": "app",
        "user": "myadmin",
        "host": HOST,
        "sslmode": "verify-full",
        "sslrootcert": trust.BUNDLE,
        "ssl_min_protocol_version": "TLSv1.2",
        "gssencmode": "disable",
        "sslcertmode": "disable",
        "connect_timeout": 10,
        "keepalives": 1,
        "keepalives_idle": 10,
        "keepalives_interval": 2,
        "keepalives_count": 5,
        "tcp_user_timeout": 18_000,
    }


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ssl_min_protocol_version", "TLSv1.3"),
        ("ssl_max_protocol_version", "TLSv1.2"),
        ("channel_binding", "require"),
        ("sslrootcert", "/etc/ssl/own.pem"),
        ("target_session_attrs", "read-write"),
        ("connect_timeout", 3),
        ("keepalives", 0),
        ("tcp_user_timeout", 5000),
        ("application_name", "shop"),
        ("hostaddr", "10.0.0.4"),
    ],
)
def test_the_user_s_own_keyword_wins(key: str, value: Any) -> None:
    plan = decide({key: value})
    assert plan.problems == ()
    assert plan.params[key] == value
    assert plan.params["sslmode"] == "verify-full"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sslmode", "disable"),
        ("ssl_min_protocol_version", "TLSv1"),
        ("ssl_min_protocol_version", "TLSv1.1"),
        ("ssl_min_protocol_version", "tlsv1.1"),
        ("ssl_min_protocol_version", ""),
        ("ssl_max_protocol_version", "TLSv1.1"),
        ("gssencmode", "prefer"),
        ("gssencmode", "require"),
    ],
)
def test_weaker_than_verified_tls_is_refused(key: str, value: str) -> None:
    plan = decide({key: value})
    assert codes(plan) == ["settings.weak_tls"]
    message = str(plan.problems[0])
    assert "DATABASES['default']" in message
    assert repr(key) in message
    assert repr(value) in message
    assert "Remove it" in message
    with pytest.raises(ImproperlyConfigured, match="azpg.E001"):
        plan.raise_errors()


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"sslmode": "verify-all"}, "verify-full"),
        ({"sslmode": True}, "is True"),
        ({"sslmode": ""}, "is ''"),
        ({"ssl_min_protocol_version": "1.2"}, "is '1.2'"),
        ({"sslrootcert": ""}, "not the path of a file"),
        ({"sslrootcert": True}, "not the path of a file"),
        ({"sslrootcert": "~/azure.pem"}, "expanduser"),
        ({"dsn": "sslmode=disable"}, "whole connection string"),
        ({"conninfo": "sslmode=disable"}, "whole connection string"),
        ({"requiressl": "0"}, "would replace sslmode"),
        ({"ssl_mode": "verify-full"}, "Did you mean 'sslmode'?"),
        ({"application_name": "a\0b"}, "NUL"),
        ({"azpg": {"plaintext": True}}, "'plaintext_on_loopback'"),
        ({"azpg": {"auth": "aad"}}, "'entra'"),
        ({"azpg": {"connect_retry_seconds": -1}}, "from 0"),
        ({"azpg": "entra"}, "not a dict"),
        ({"azpg": {"plaintext_on_loopback": "yes"}}, "True or False"),
    ],
)
def test_what_can_not_be_meant_is_refused_with_a_remedy(options: dict[str, Any], part: str) -> None:
    plan = decide(options)
    assert codes(plan) == ["settings.invalid"]
    assert plan.problems[0].is_error
    assert part in str(plan.problems[0])
    assert f"DATABASES['default']['OPTIONS'][{next(iter(options))!r}]" in str(plan.problems[0])


def test_an_invalid_address_is_refused_with_a_remedy() -> None:
    plan = decide({"hostaddr": "not-an-address"})
    assert codes(plan) == ["settings.invalid"]
    assert plan.problems[0].is_error
    assert "'not-an-address' is not an IP address" in str(plan.problems[0])
    assert "DATABASES['default']['OPTIONS']['hostaddr'] does not fit" in str(plan.problems[0])


@pytest.mark.parametrize("port", ["0", "65536", "abc", "5432,6432", 70000])
def test_a_port_that_can_not_be_is_refused(port: object) -> None:
    plan = decide(PORT=port)
    assert codes(plan) == ["settings.invalid"]
    assert "DATABASES['default']['PORT']" in str(plan.problems[0])


def test_verify_ca_works_with_a_warning() -> None:
    plan = decide({"sslmode": "verify-ca"})
    assert codes(plan) == ["settings.verify_ca"]
    assert not plan.errors
    assert plan.params["sslmode"] == "verify-ca"


def test_a_url_in_name_is_refused_and_not_shown() -> None:
    plan = decide(NAME=f"postgres://me:sentinel@{HOST}/app?sslmode=disable")
    assert codes(plan) == ["settings.invalid"]
    assert "sentinel" not in str(plan.problems[0])


def test_a_conninfo_in_name_stays_a_name() -> None:
    assert decide(NAME="app sslmode=disable").params["dbname"] == "app sslmode=disable"


def test_no_secret_enters_the_plan() -> None:
    plan = decide({"sslpassword": "sentinel", "password": "sentinel"})
    assert "sentinel" not in repr(plan)


@pytest.mark.parametrize(
    "environ",
    [
        {"PGSSLMODE": "disable"},
        {"PGSSLROOTCERT": "/tmp/other.pem"},
        {"PGSSLMINPROTOCOLVERSION": "TLSv1"},
        {"PGGSSENCMODE": "require"},
        {"PGSSLCERTMODE": "require"},
        {"PGREQUIRESSL": "0"},
    ],
)
def test_the_environment_changes_nothing(environ: dict[str, str]) -> None:
    assert decide(environ=environ) == decide()


def test_a_maximum_protocol_of_the_environment_is_taken_back() -> None:
    plan = decide(environ={"PGSSLMAXPROTOCOLVERSION": "TLSv1.1"})
    assert plan.params["ssl_max_protocol_version"] == ""


def test_a_service_file_can_not_weaken(tmp_path: Path) -> None:
    service_file = tmp_path / "services.conf"
    service_file.write_text("[weak]\nsslmode=disable\nssl_max_protocol_version=TLSv1.1\nhost=db.example.org\n")
    environ = {"PGSERVICEFILE": str(service_file)}
    for plan in (decide({"service": "weak"}, environ), decide(environ={**environ, "PGSERVICE": "weak"})):
        assert plan.params["sslmode"] == "verify-full"
        assert plan.params["ssl_max_protocol_version"] == ""
        assert plan.endpoints[0].host == HOST


def test_host_may_come_from_a_service_file(tmp_path: Path) -> None:
    service_file = tmp_path / "services.conf"
    service_file.write_text(f"[other]\nhost=x\n\n# mine\n[azure]\nhost={HOST}\nport=6432\n")
    plan = decide({"service": "azure"}, {"PGSERVICEFILE": str(service_file)}, HOST="", NAME="")
    assert [(each.host, each.port) for each in plan.endpoints] == [(HOST, 6432)]
    assert "settings.missing_host" not in codes(plan)
    plan = decide({"service": "unknown"}, {"PGSERVICEFILE": str(service_file)}, HOST="", NAME="")
    assert "settings.missing_host" in codes(plan)


def test_missing_host() -> None:
    assert codes(decide(HOST="")) == ["settings.missing_host"]
    assert codes(decide({"hostaddr": "10.0.0.4"}, HOST="")) == ["settings.missing_host"]
    assert codes(decide(HOST="", environ={"PGHOST": HOST})) == []


def test_a_socket_directory_is_refused_without_plaintext_on_loopback() -> None:
    assert codes(decide(HOST="/var/run/postgresql")) == ["settings.weak_tls"]
    assert codes(decide(HOST=f"{HOST},/var/run/postgresql", PORT="5432")) == ["settings.weak_tls"]


@pytest.mark.parametrize(
    "host", ["10.0.0.4", "db.internal", "mydemoserver", "mydemoserver.privatelink.postgres.database.azure.com"]
)
def test_other_names_than_azure_s_are_warned_about(host: str) -> None:
    plan = decide(HOST=host)
    assert codes(plan) == ["settings.not_azure_host"]
    assert not plan.errors


@pytest.mark.parametrize(
    "suffix",
    [
        "postgres.database.azure.com",
        "writer.postgres.database.azure.com",
        "postgres.database.usgovcloudapi.net",
        "postgres.database.chinacloudapi.cn",
        "eastus.horizondb.azure.com",
    ],
)
def test_every_cloud_is_azure(suffix: str) -> None:
    assert codes(decide(HOST=f"my.{suffix}")) == []


PLAINTEXT = {"azpg": {"plaintext_on_loopback": True}}


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.8.8.8", "::1", "/run/postgresql", "@x", ""]
)
def test_plaintext_on_loopback(host: str) -> None:
    plan = decide(PLAINTEXT, HOST=host)
    assert plan.problems == ()
    assert plan.plaintext
    assert plan.params["sslmode"] == "disable"


@pytest.mark.parametrize(
    ("options", "changes", "environ"),
    [
        ({}, {"HOST": HOST}, {}),
        ({}, {"HOST": "0.0.0.0"}, {}),
        ({}, {"HOST": "localhost.example.org"}, {}),
        ({}, {"HOST": f"localhost,{HOST}"}, {}),
        ({"hostaddr": "203.0.113.9"}, {"HOST": "localhost"}, {}),
        ({"hostaddr": "127.0.0.1"}, {"HOST": HOST}, {}),
        ({}, {"HOST": "localhost"}, {"PGHOSTADDR": "203.0.113.9"}),
        ({}, {"HOST": ""}, {"PGHOST": HOST}),
    ],
)
def test_plaintext_anywhere_else_is_refused(
    options: dict[str, Any], changes: dict[str, Any], environ: dict[str, str]
) -> None:
    plan = decide({**PLAINTEXT, **options}, environ, **changes)
    assert not plan.plaintext
    assert "azpg.E004" in [finding.id for finding in plan.problems]
    assert plan.params["sslmode"] == "verify-full"


def test_plaintext_and_a_service_do_not_go_together() -> None:
    plan = decide(PLAINTEXT, {"PGSERVICE": "x"}, HOST="localhost")
    assert not plan.plaintext
    assert "settings.invalid" in codes(plan)


def test_a_client_certificate_of_one_s_own_is_used() -> None:
    plan = decide({"sslcert": "/c.pem", "sslkey": "/k.pem"})
    assert "sslcertmode" not in plan.params


def test_keywords_of_a_newer_libpq_are_not_sent() -> None:
    plan = decision.decide(
        "default", settings(), environ={}, knows=lambda keyword: keyword not in {"sslcertmode", "tcp_user_timeout"}
    )
    assert plan.problems == ()
    assert "sslcertmode" not in plan.params
    assert "tcp_user_timeout" not in plan.params
    # The only other way to keep an old libpq from a stray ~/.postgresql/postgresql.crt.
    assert not Path(plan.params["sslcert"]).exists()


def test_where_libpq_lacks_a_keyword_of_many_it_is_asked_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libpq, "KEYWORDS", (*libpq.KEYWORDS, "of_the_year_2100"))
    for answers in (libpq.knows, libpq._common):
        monkeypatch.setattr(libpq, answers.__name__, lru_cache(answers.__wrapped__))
    assert libpq.knows("sslmode")
    assert not libpq.knows("of_the_year_2100")


def test_what_is_given_is_not_changed() -> None:
    given = settings({"azpg": {"auth": "password"}, "sslrootcert": Path("/ca.pem"), "pool": True})
    before = repr(given)
    plan = decision.decide("default", given, environ={})
    assert repr(given) == before
    assert plan.params["sslrootcert"] == str(Path("/ca.pem"))
    assert "pool" not in plan.params


@pytest.mark.parametrize(
    ("changes", "identifier"),
    [
        ({"USER": "myadmin@mydemoserver"}, "azpg.W003"),
        ({"PORT": "6432"}, "azpg.W004"),
        ({"PORT": 6432, "DISABLE_SERVER_SIDE_CURSORS": True, "OPTIONS": {"options": "-c x=y"}}, "azpg.W005"),
        (
            {"PORT": 6432, "DISABLE_SERVER_SIDE_CURSORS": True, "OPTIONS": {"assume_role": "owner"}},
            "azpg.W012",
        ),
        ({"CONN_MAX_AGE": 600}, "azpg.W006"),
        ({"CONN_MAX_AGE": None}, "azpg.W006"),
        ({"OPTIONS": {"sslrootcert": "system"}}, "azpg.W007"),
    ],
)
def test_traps_are_warned_about(changes: dict[str, Any], identifier: str) -> None:
    plan = (
        decide(**changes)
        if "OPTIONS" not in changes
        else decision.decide("default", {**settings(), **changes}, environ={})
    )
    assert [finding.id for finding in plan.problems] == [identifier]


def test_several_hosts_are_paired_with_addresses_and_ports() -> None:
    plan = decide(
        {"hostaddr": "10.0.0.4,10.0.0.5"}, HOST=f"{HOST},b{HOST}", PORT="5432,6432", DISABLE_SERVER_SIDE_CURSORS=True
    )
    assert [(each.host, each.hostaddr, each.port) for each in plan.endpoints] == [
        (HOST, "10.0.0.4", 5432),
        (f"b{HOST}", "10.0.0.5", 6432),
    ]
