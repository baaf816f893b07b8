"""Types and ranges: what Django, libpq or the pool can't use is refused; what works goes on working."""

from __future__ import annotations

import datetime
import decimal
import os
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.support.plans import ids, only, planned, planned_settings


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("CONN_MAX_AGE", "600", "is '600', not a number of seconds or None"),
        ("CONN_MAX_AGE", datetime.timedelta(1), "type timedelta"),
        ("CONN_MAX_AGE", decimal.Decimal(5), "type Decimal"),
        ("CONN_MAX_AGE", float("nan"), "is nan"),
        ("CONN_MAX_AGE", "None", "is 'None'"),
        ("CONN_HEALTH_CHECKS", "False", "is 'False', which Django takes for True"),
        ("CONN_HEALTH_CHECKS", [], "type list"),
        ("ATOMIC_REQUESTS", "no", "takes for True"),
        ("AUTOCOMMIT", "off", "takes for True"),
        ("DISABLE_SERVER_SIDE_CURSORS", "0", "takes for True"),
        ("TIME_ZONE", "Mars/Base", "not the name of a time zone"),
        ("TIME_ZONE", 5, "not the name of a time zone"),
        ("OPTIONS", None, "is None, not a dict"),
        ("OPTIONS", "sslmode=require", "not a dict"),
        ("OPTIONS", ["x"], "type list"),
        ("TEST", None, "is None, not a dict"),
        ("TEST", {"NAME": "postgres://u@h"}, "['TEST']['NAME'] is a URL"),
        ("TEST", {"NAME": "test\n"}, "a line break"),
        ("TEST", {"MIRROR": True}, "not an alias"),
        ("TEST", {"DEPENDENCIES": "default"}, "not a list of aliases"),
    ],
)
def test_django_s_own_keys(key: str, value: Any, part: str) -> None:
    plan = planned(value) if key == "OPTIONS" and value is not None else planned(**{key: value})
    assert ids(plan) == ["azpg.E002"]
    assert f"DATABASES['default'][{key!r}]" in only(plan)
    assert part in only(plan)


@pytest.mark.parametrize("value", [None, "sslmode=require", ["x"], 5])
def test_options_that_are_no_dict_fail_in_these_words_too(connect: Any, value: Any) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"\['OPTIONS'\] is .* not a dict"):
        connect({**planned_settings(), "OPTIONS": value}).ensure_connection()


@pytest.mark.parametrize(
    "changes",
    [
        {"CONN_MAX_AGE": 0.0},
        {"CONN_MAX_AGE": None, "CONN_HEALTH_CHECKS": True},
        {"CONN_MAX_AGE": 2.5, "CONN_HEALTH_CHECKS": 1},
        {"CONN_HEALTH_CHECKS": None},
        {"ATOMIC_REQUESTS": True, "AUTOCOMMIT": False, "DISABLE_SERVER_SIDE_CURSORS": ""},
        {"TIME_ZONE": "Europe/Paris"},
        {"TEST": {"NAME": None, "MIRROR": None, "CHARSET": None, "MIGRATE": True, "DEPENDENCIES": []}},
    ],
)
def test_what_works_in_django_goes_on_working(changes: dict[str, Any]) -> None:
    assert planned(**changes).problems == ()


def test_text_for_true_works_with_a_warning() -> None:
    plan = planned(CONN_HEALTH_CHECKS="True")
    assert ids(plan) == ["azpg.W024"]
    assert not plan.errors


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("connect_timeout", "ten"),
        ("connect_timeout", "2.5"),
        ("connect_timeout", 2.5),
        ("connect_timeout", True),
        ("connect_timeout", ""),
        ("connect_timeout", 10**10),
        ("connect_timeout", "9" * 5000),
        ("keepalives", "true"),
        ("keepalives", True),
        ("keepalives_idle", "60s"),
        ("keepalives_count", None.__class__),
        ("tcp_user_timeout", "18s"),
        ("sslsni", "on"),
        ("target_session_attrs", "readwrite"),
        ("target_session_attrs", "READ-WRITE"),
        ("load_balance_hosts", True),
        ("sslnegotiation", "Direct"),
        ("channel_binding", "required"),
        ("sslcertmode", "no"),
        ("application_name", True),
        ("application_name", ["x"]),
        ("options", {"statement_timeout": 5}),
        ("options", "statement_timeout=5"),
        ("options", "'-c statement_timeout=5'"),
        ("assume_role", "owner\n"),
        ("assume_role", 5),
        ("isolation_level", "serializable"),
        ("isolation_level", "3"),
        ("isolation_level", True),
        ("prepare_threshold", "5"),
        ("server_side_binding", "False"),
        ("gssencmode", "off"),
        ("sslmode", ["require"]),
        ("ssl_min_protocol_version", 1.2),
        ("hostaddr", 5),
    ],
)
def test_libpq_s_keywords(key: str, value: Any) -> None:
    plan = planned({key: value})
    assert ids(plan) == ["azpg.E002"]
    assert f"DATABASES['default']['OPTIONS'][{key!r}]" in only(plan)
    assert plan.problems[0].hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("connect_timeout", "10"),
        ("connect_timeout", 10),
        ("connect_timeout", -1),
        ("keepalives", "0"),
        ("keepalives_idle", 30),
        ("application_name", 5),
        ("application_name", "a b"),
        ("options", "-c search_path=a,b -c statement_timeout=5"),
        ("sslcert", "/c.pem"),
        ("connect_timeout", b"10"),
    ],
)
def test_what_works_in_libpq_goes_on_working(key: str, value: Any) -> None:
    plan = planned({key: value})
    assert plan.problems == ()
    assert plan.params[key] == (value.decode() if isinstance(value, bytes) else value)


def test_django_s_keys_in_options_go_on_working() -> None:
    from django.db.backends.postgresql.psycopg_any import IsolationLevel

    options = {"isolation_level": IsolationLevel.SERIALIZABLE, "assume_role": "owner", "prepare_threshold": None}
    assert planned({**options, "server_side_binding": True}).problems == ()


@pytest.mark.parametrize("key", ["sslrootcert", "sslcert", "sslkey", "sslcrl"])
def test_a_pipe_that_libpq_would_wait_for(tmp_path: Path, key: str) -> None:
    path = tmp_path / "file"
    path.write_text("")
    assert planned({key: str(path)}).problems == ()
    assert planned({key: "/dev/null"}).problems == ()
    path.unlink()
    os.mkfifo(path)
    for each in (str(path), "/dev/zero"):
        assert "a pipe or a device" in only(planned({key: each}))


@pytest.mark.parametrize("key", [1, None, b"sslmode", ("a",)])
def test_a_key_that_is_no_text(key: Any) -> None:
    plan = planned({key: 2})
    assert ids(plan) == ["azpg.E002"]
    assert f"has a key of type {type(key).__name__}" in only(plan)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("-----BEGIN CERTIFICATE-----\nMIIDjjCCAnagAw\n-----END CERTIFICATE-----\n", "holds a certificate"),
        ("MIIDjjCCAnag" + "A" * 400, "holds a certificate"),
        ("~/azure.pem", "expanduser"),
        ("$HOME/azure.pem", "expandvars"),
        ("%APPDATA%\\azure.pem", "expandvars"),
        ("https://cacerts.digicert.com/DigiCertGlobalRootG2.crt.pem", "is a URL"),
        ("file:///etc/azure.pem", "is a URL"),
        ("/", "a folder"),
        ("/no/such/folder/", "a folder"),
        ("BEGIN CERTIFICATE MIIDjj", "holds a certificate"),
        ("/azure.pem\n", "a line break"),
        (5, "is 5, not the path of a file"),
    ],
)
def test_sslrootcert(value: Any, part: str) -> None:
    plan = planned({"sslrootcert": value})
    assert ids(plan) == ["azpg.E002"]
    assert part in only(plan)
    assert "MII" not in repr(plan)
    assert "digicert" not in repr(plan.problems)
    assert plan.params["sslrootcert"].endswith("bundle.pem")


@pytest.mark.parametrize("value", ["azure.pem", "./certs/azure.pem", "../azure.pem"])
def test_a_relative_sslrootcert_is_warned_about_and_left_as_it_is(value: str) -> None:
    plan = planned({"sslrootcert": value})
    assert ids(plan) == ["azpg.W018"]
    assert "BASE_DIR" in only(plan)
    assert plan.params["sslrootcert"] == value


def test_a_key_s_text_is_never_shown() -> None:
    plan = planned({"sslkey": "-----BEGIN PRIVATE KEY-----\nx1y2\n", "sslcert": "/c.pem"})
    assert ids(plan) == ["azpg.E002"]
    assert "x1y2" not in repr(plan)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("keepalives_idle", 0),
        ("keepalives_idle", "-5"),
        ("keepalives_interval", 32_768),
        ("keepalives_count", 0),
        ("keepalives_count", 128),
        ("require_auth", "scram"),
        ("require_auth", "SCRAM-SHA-256"),
        ("require_auth", "md5,scram_sha_256"),
        ("require_auth", "md5,"),
        ("require_auth", "md5,!none"),
        ("require_auth", "md5,md5"),
        ("require_auth", 5),
        ("connection_factory", "psycopg2.extras.LoggingConnection"),
        ("cursor_factory", "DictCursor"),
    ],
)
def test_what_would_fail_in_every_connection_is_refused_before_one(key: str, value: Any) -> None:
    plan = planned({key: value})
    # An argument of the other driver is refused for that too.
    assert set(ids(plan)) == {"azpg.E002"}
    assert all(f"DATABASES['default']['OPTIONS'][{key!r}]" in str(each) for each in plan.problems)


@pytest.mark.parametrize("value", ["scram-sha-256", "!password,!md5", "scram-sha-256,none", ""])
def test_a_list_of_ways_to_log_in_that_libpq_knows(value: str) -> None:
    assert "azpg.E002" not in ids(planned({"require_auth": value}))
