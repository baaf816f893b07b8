"""Keys of OPTIONS that belong elsewhere: refused with the remedy that works."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils.functional import SimpleLazyObject, lazystr

from azpg_backend.plan import foreign, libpq
from tests.support.plans import ids, only, planned


@pytest.mark.parametrize(
    ("key", "value", "part"),
    [
        ("statement_timeout", 30000, '"options": "-c statement_timeout=30000"'),
        ("idle_in_transaction_session_timeout", "5min", '"-c idle_in_transaction_session_timeout=5min"'),
        ("search_path", "a,b", '"-c search_path=a,b"'),
        ("jit", False, '"-c jit=off"'),
        ("statement-timeout", 5, '"-c statement_timeout=5"'),
        ("-c lock_timeout", 5, '"-c lock_timeout=5"'),
        ("app.tenant", 5, '"-c app.tenant=5"'),
        ("statment_timeout", 5, "server parameter 'statement_timeout'"),
        ("ssl", True, "TLS with verification is always on"),
        ("ssl", {"ca": "/x"}, "TLS with verification is always on"),
        ("ssl_disabled", True, "TLS with verification is always on"),
        ("ssl_ca", "/x.pem", "'sslrootcert'"),
        ("ssl_cert", "/x.pem", "'sslcert'"),
        ("ssl-mode", "require", "Did you mean 'sslmode'?"),
        ("SSLMODE", "require", "Did you mean 'sslmode'?"),
        ("sslmdoe", "require", "Did you mean 'sslmode'?"),
        ("ssl_root_cert", "/x.pem", "Did you mean 'sslrootcert'?"),
        ("charset", "utf8mb4", "always uses UTF-8"),
        ("init_command", "SET x", "connection_created"),
        ("read_timeout", 5, "statement_timeout"),
        ("timeout", 20, "'connect_timeout'"),
        ("conn_max_age", 60, "one level up, beside HOST: 'CONN_MAX_AGE'"),
        ("CONN_MAX_AGE", 60, "one level up, beside HOST: 'CONN_MAX_AGE'"),
        ("conn_health_checks", True, "one level up, beside HOST: 'CONN_HEALTH_CHECKS'"),
        ("database", "app", "Write it as NAME"),
        ("passwd", "x1y2", "Write it as PASSWORD"),
        ("unix_socket", "/run", "Write it as HOST"),
        ("schema", "a", '"-c search_path=..."'),
        ("role", "a", "'assume_role'"),
        ("min_size", 4, "'pool': {'min_size': ...}"),
        ("plaintext_on_loopback", True, "'azpg': {'plaintext_on_loopback': ...}"),
        ("socketTimeout", 5, "statement_timeout"),
        ("targetServerType", "primary", "'target_session_attrs'"),
        ("sslfactory", "x", "TLS with verification is always on"),
        ("compression", "zstd", "belongs to another database"),
        ("maxPoolSize", 5, "'pool': {'min_size': ..., 'max_size': ...}"),
        ("pool_pre_ping", True, "'pool': {'min_size': ..., 'max_size': ...}"),
        ("quantum", 5, "Parameter Key Words"),
    ],
)
def test_the_remedy_works(key: str, value: Any, part: str) -> None:
    plan = planned({key: value})
    assert ids(plan) == ["azpg.E002"]
    assert f"DATABASES['default']['OPTIONS'][{key!r}]" in only(plan)
    assert part in only(plan)
    assert "x1y2" not in only(plan)


@pytest.mark.parametrize("key", sorted(foreign.OF_ONE_DRIVER))
def test_an_argument_of_the_other_driver(key: str) -> None:
    plan = planned({key: dict if key.endswith("_factory") else 1})
    if foreign.OF_ONE_DRIVER[key] == libpq.driver():
        assert plan.problems == ()
    else:
        assert ids(plan) == ["azpg.E002"]
        assert f"the driver is {libpq.driver()}" in only(plan)
    assert planned({key: None}).problems == ()


@pytest.mark.parametrize(
    ("key", "meant"), [("Auth", "auth"), ("connect_retry_second", "connect_retry_seconds"), ("creds", ""), (5, "")]
)
def test_the_option_of_azpg_that_was_meant(key: Any, meant: str) -> None:
    assert ("Did you mean" in only(planned({"azpg": {key: 5}}))) == bool(meant)
    assert f"{meant!r}? Valid keys: 'auth'" in only(planned({"azpg": {key: 5}})) or not meant


@pytest.mark.parametrize("key", ["client_id", "client_secret", "tenant_id", "managed_identity_client_id"])
def test_an_argument_of_a_credential(key: str) -> None:
    assert f"'credential_kwargs': {{{key!r}: ...}}" in only(planned({"azpg": {key: "x1y2"}}))


@pytest.mark.parametrize("key", ["sslmode", "hostaddr", "connect_timeout", "pool", "password"])
def test_a_key_that_stands_one_level_too_deep(key: str) -> None:
    assert f"Write it one level up, beside 'azpg': {key!r}" in only(planned({"azpg": {key: "x1y2"}}))


def test_lazy_options() -> None:
    assert planned({"azpg": {"auth": lazystr("entra")}}, PASSWORD="").problems == ()
    missing: dict[str, str] = {}
    lazy = SimpleLazyObject(lambda: missing["X"])
    for key in ("auth", "scope", "credential", "credential_kwargs"):
        assert "a value that raises KeyError when it is read" in only(planned({"azpg": {key: lazy}}))


def test_what_the_remedy_says_is_accepted() -> None:
    assert planned({"options": "-c statement_timeout=30000"}).problems == ()


@pytest.mark.parametrize("key", ["MAX_CONNS", "REUSE_CONNS", "POOL_OPTIONS"])
def test_settings_of_other_pools_are_left_to_them(key: str) -> None:
    plan = planned({key: 20})
    assert ids(plan) == ["azpg.W022"]
    assert not plan.errors
    assert key not in plan.params
    assert plan.withheld == {"azpg", key}


def test_django_db_connection_pool_s_own_key_is_none_of_our_business() -> None:
    assert planned(POOL_OPTIONS={"POOL_SIZE": 10}).problems == ()


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("USERNAME", "'USER'"),
        ("DATABASE", "'NAME'"),
        ("password", "'PASSWORD'"),
        ("OPTION", "'OPTIONS'"),
        ("sslmode", "'OPTIONS': {'sslmode': ...}"),
        ("pool", "'OPTIONS': {'pool': ...}"),
        ("CONN_MAXAGE", "'CONN_MAX_AGE'"),
    ],
)
def test_keys_that_nothing_reads(key: str, part: str) -> None:
    plan = planned(**{key: "x1y2"})
    assert ids(plan) == ["azpg.W023"]
    assert f"DATABASES['default'][{key!r}] has no effect" in only(plan)
    assert part in only(plan)
    assert "x1y2" not in only(plan)


@pytest.mark.parametrize("key", ["SCHEMA", "TENANT_ID", "ROUTER", "DEPENDS_ON"])
def test_keys_of_other_packages_are_none_of_our_business(key: str) -> None:
    assert planned(**{key: "x"}).problems == ()
