"""Whatever settings hold: a Plan comes out, no text that can't be meant reaches libpq, and no secret is shown."""

from __future__ import annotations

import copy
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import SimpleLazyObject
from hypothesis import given, settings
from hypothesis import strategies as st

from azpg_backend import checks, client
from azpg_backend.plan import libpq
from azpg_backend.plan.decision import Plan, decide

HOST = "mydemoserver.postgres.database.azure.com"
GOOD = {"ENGINE": "azpg_backend", "NAME": "app", "USER": "me", "PASSWORD": "gfa7Kq!z", "HOST": HOST, "PORT": ""}
DJANGO_KEYS = ["NAME", "USER", "PASSWORD", "HOST", "PORT", "CONN_MAX_AGE", "CONN_HEALTH_CHECKS", "ATOMIC_REQUESTS"] + [
    "AUTOCOMMIT",
    "TIME_ZONE",
    "DISABLE_SERVER_SIDE_CURSORS",
    "OPTIONS",
    "TEST",
]
KEYWORDS = [*libpq.KEYWORDS, "sslpassword", "password", "krbsrvname", "replication"]
OTHER_KEYS = ["azpg", "pool", "isolation_level", "assume_role", "ssl", "statement_timeout", "dsn", "MAX_CONNS", "x y"]
SECRET = "S3cr3tW0rd"
many = settings(max_examples=300)


def outputs(plan: Plan) -> Iterator[str]:
    """Yield all that anybody is shown of a plan."""
    yield repr(plan)
    yield client.shown_command(plan)
    for problem in plan.problems:
        yield str(problem)
        yield repr(problem)
        yield str(checks.message(problem))
    try:
        plan.raise_errors()
    except ImproperlyConfigured as error:
        yield str(error)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.binary(max_size=10)
    | st.sampled_from([Path("/x"), HOST, "require", "::1", "localhost", "5432", object(), len, "-----BEGIN X"])
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYWORDS + OTHER_KEYS) | st.text(max_size=8) | st.integers(), inner, max_size=3
        )
    ),
    max_leaves=6,
)
options = st.dictionaries(
    st.sampled_from(KEYWORDS + OTHER_KEYS) | st.text(max_size=12) | st.integers() | st.none() | st.binary(max_size=4),
    anything,
    max_size=5,
)
aliases = st.dictionaries(st.sampled_from(DJANGO_KEYS) | st.text(max_size=8), anything, max_size=8)
environments = st.dictionaries(
    st.sampled_from([*libpq.ENVIRONMENT.values(), "PGPASSWORD", "HOME"]), st.text(max_size=20), max_size=4
)


@many
@given(aliases, options, environments)
def test_a_plan_comes_out_of_anything(alias: dict[Any, Any], options: dict[Any, Any], environ: dict[str, str]) -> None:
    given_settings = {**GOOD, **alias}
    if isinstance(given_settings.get("OPTIONS", {}), dict):
        given_settings["OPTIONS"] = options
    before = repr(given_settings)
    shallow = copy.copy(given_settings)
    plan = decide("default", given_settings, environ=environ)
    assert repr(given_settings) == before
    assert given_settings.keys() == shallow.keys()
    list(outputs(plan))
    if plan.errors:
        with pytest.raises(ImproperlyConfigured):
            plan.raise_errors()


class Number(int):
    def __repr__(self) -> str:
        raise RuntimeError


class Hostile:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise KeyError(SECRET)

    def __eq__(self, other: object) -> bool:
        raise KeyError(SECRET)

    def __bool__(self) -> bool:
        raise KeyError(SECRET)

    def __str__(self) -> str:
        raise KeyError(SECRET)

    __repr__ = __str__
    __hash__ = None  # type: ignore[assignment]


HOSTILE: dict[str, Any] = {
    "raises": Hostile,
    "number without repr": lambda: Number(5),
    "lazy": lambda: SimpleLazyObject(lambda: {}[SECRET]),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_plan_comes_out_of_objects_that_raise(kind: str) -> None:
    value = HOSTILE[kind]()
    for key in EVERYWHERE:
        for output in outputs(decide("default", placed(key, value), environ={})):
            assert SECRET not in output


@pytest.mark.parametrize("settings_dict", [None, [], "x", 5, {}])
def test_a_plan_comes_out_of_what_is_no_dict(settings_dict: Any) -> None:
    assert decide("default", settings_dict, environ={}).errors


def is_clean(text: str) -> bool:
    return text == text.strip() and not any(
        unicodedata.category(each) in {"Cc", "Cf", "Zl", "Zp", "Cs"} for each in text
    )


unseen = st.sampled_from(
    [" ", "\n", "\r\n", "\t", "\0", "\x1b", "\x7f", "\x85", "\u200b", "\ufeff", "\u2028", "\udc80"]
)
words = st.sampled_from([HOST, "app", "5432", "require", "-c a=b", "/ca.pem", "10.0.0.4", "read-write", "10", ""])


@many
@given(st.sampled_from(["NAME", "USER", "HOST", "PORT", *KEYWORDS]), words, unseen, words, st.booleans())
def test_no_text_that_has_something_invisible_reaches_libpq(
    key: str, before: str, character: str, after: str, in_a_list: bool
) -> None:
    text = before + character + after
    if in_a_list:
        text = f"{HOST},{text},{HOST}"
    plan = decide("default", with_value(key, text), environ={})
    for value in plan.params.values():
        assert not isinstance(value, str) or is_clean(value)
        assert not isinstance(value, bytes)
    for endpoint in plan.endpoints:
        assert is_clean(endpoint.host)
    if not is_clean(text) and key not in ("sslmode", "password", "sslpassword"):
        assert plan.errors
    if not is_clean(text) and key in ("HOST", "PORT", "USER", "NAME"):
        assert f"DATABASES['default'][{key!r}]" in str(plan.errors[0])


def with_value(key: str, value: Any) -> dict[str, Any]:
    """Return settings with a value, and without what would overrule it."""
    if key.isupper():
        return {**GOOD, key: value}
    overruling = {"host": "HOST", "port": "PORT", "user": "USER", "password": "PASSWORD"}
    return {**GOOD, **({overruling[key]: ""} if key in overruling else {}), "OPTIONS": {key: value}}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PGHOST", HOST),
        ("PGUSER", "me"),
        ("PGPORT", "5432"),
        ("PGHOSTADDR", "10.0.0.4"),
        ("PGTARGETSESSIONATTRS", "primary"),
        ("PGOPTIONS", "-c a=b"),
        ("PGSERVICE", "azure"),
    ],
)
def test_the_same_holds_for_the_environment(variable: str, value: str) -> None:
    plan = decide("default", {**GOOD, "HOST": "", "USER": "", "PORT": ""}, environ={variable: f"{value}\n"})
    found = [each for each in plan.errors if variable in each.message]
    assert [each.id for each in found] == ["azpg.E002"]
    assert f"'{value}\\n'" in found[0].message
    assert "DATABASES['default']" in found[0].message


def test_the_same_holds_for_a_service_file(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text(f"[azure]\nhost= {HOST}\nuser=me\n")
    plan = decide(
        "default",
        {**GOOD, "HOST": "", "USER": "", "OPTIONS": {"service": "azure"}},
        environ={"PGSERVICEFILE": str(file)},
    )
    (error,) = plan.errors
    assert error.id == "azpg.E002"
    assert "host in the connection service 'azure'" in error.message
    assert plan.endpoints == ()


def test_a_value_that_is_overruled_is_not_judged(tmp_path: Path) -> None:
    file = tmp_path / "services"
    file.write_text("[azure]\nhost= x\nsslmode=disable\nport=abc\n")
    environ = {"PGSERVICEFILE": str(file), "PGSERVICE": "azure", "PGHOST": " y", "PGUSER": "\n"}
    assert decide("default", {**GOOD, "PORT": "5432"}, environ=environ).problems == ()


SHAPES = [
    "postgres://app:{}@host/app",
    "postgresql://{}@host",
    "https://user:{}@host.example.org/path?x=y",
    "jdbc:postgresql://host/app?user=me&password={}",
    "host=h user=u password={}",
    "host=h user=u password='{}' dbname=app",
    "Server=h;Database=app;User Id=me;Password={};",
    "Server=h;Pwd={}",
    "psql postgres://app:{}@host",
    "postgres://app:{}@host\n",
    "\n\tpostgres://app:{}@host",
    "postgres:\n//app:{}@host",
    "redis://:{}@host:6379",
    "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
    '"postgres://app:{}@host"',
]
# Only where a name is expected: elsewhere, "a:b@c" is as good a text as any other.
NAMES_ONLY = ["app:{}@host", "app:{}@host:5432/app", "app:{}@host\n", '"app:{}@host"', "me:{}@"]
WRAPPINGS = {
    "text": lambda text: text,
    "bytes": lambda text: text.encode(),
    "list": lambda text: [text],
    "tuple": lambda text: (text, 5),
    "dict": lambda text: {"password": text, "x": {"url": text}},
    "path": lambda text: Path(text),
}
EVERYWHERE = [
    *DJANGO_KEYS,
    *KEYWORDS,
    *OTHER_KEYS,
    *(f"azpg.{key}" for key in ("auth", "credential", "credential_kwargs", "scope", "connect_retry_seconds", "no")),
    *(f"pool.{key}" for key in ("min_size", "timeout", "name", "check", "kwargs", "conninfo", "no")),
    *(f"TEST.{key}" for key in ("NAME", "MIRROR", "DEPENDENCIES", "MIGRATE", "no")),
    *("password_file", "SSLMODE", "sslmod", "search_path", "app.secret", "ssl_ca"),
]


def placed(key: str, value: Any) -> dict[str, Any]:
    name, _, below = key.partition(".")
    if below and name in ("azpg", "pool"):
        return {**GOOD, "OPTIONS": {name: {below: value}}}
    if below and name == "TEST":
        return {**GOOD, "TEST": {below: value}}
    return with_value(key, value)


@pytest.mark.parametrize("wrapping", WRAPPINGS)
@pytest.mark.parametrize("key", EVERYWHERE)
def test_a_secret_in_any_key_is_never_shown(key: str, wrapping: str) -> None:
    names = key in ("HOST", "PORT", "USER", "NAME", "host", "port", "user", "dbname", "hostaddr")
    for shape in SHAPES + (NAMES_ONLY if names else []):
        value = WRAPPINGS[wrapping](shape.format(SECRET))
        plan = decide("default", placed(key, value), environ={})
        for output in outputs(plan):
            assert SECRET not in output, shape


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("where", ["OPTIONS", "azpg", "pool"])
def test_a_secret_in_the_name_of_a_key_is_never_shown(shape: str, where: str) -> None:
    inner: dict[str, Any] = {shape.format(SECRET): 1}
    plan = decide("default", {**GOOD, "OPTIONS": inner if where == "OPTIONS" else {where: inner}}, environ={})
    assert plan.errors
    for output in outputs(plan):
        assert SECRET not in output


@pytest.mark.parametrize("key", ["PASSWORD", "password", "sslpassword"])
@many
@given(data=st.data())
def test_no_shape_of_a_password_is_shown(key: str, data: st.DataObject) -> None:
    shape = data.draw(
        st.sampled_from(
            ["{}\n", '"{}"', "${{{}}}", "{}", "<{}>", "@Microsoft.KeyVault({})", "{{{{ {} }}}}", "a\0{}", "%{}%"]
        )
        | st.text(max_size=5).map(lambda text: text.replace("{", "").replace("}", "") + "{}")
    )
    wrapped = data.draw(
        st.sampled_from([str, lambda text: text.encode("utf-8", "surrogateescape"), lambda text: [text]])
    )
    plan = decide("default", with_value(key, wrapped(shape.format(SECRET))), environ={})
    for output in outputs(plan):
        assert SECRET not in output


@pytest.mark.parametrize("shape", SHAPES + NAMES_ONLY)
@pytest.mark.parametrize("variable", ["PGHOST", "PGUSER", "PGPORT", "PGHOSTADDR", "PGSERVICE", "PGPASSWORD"])
def test_a_secret_in_the_environment_is_never_shown(shape: str, variable: str) -> None:
    given_settings = {**GOOD, "HOST": "", "USER": "", "PORT": "", "PASSWORD": ""}
    for output in outputs(decide("default", given_settings, environ={variable: shape.format(SECRET)})):
        assert SECRET not in output


def test_a_secret_in_a_service_file_is_never_shown() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "services")
        for keyword in ("host", "user", "port", "password", "sslcert", "application_name", f"x{SECRET}://y@z"):
            for shape in SHAPES:
                file.write_text(f"[azure]\n{keyword}={shape.format(SECRET)}\n")
                given_settings = {**GOOD, "HOST": "", "USER": "", "PASSWORD": "", "OPTIONS": {"service": "azure"}}
                plan = decide("default", given_settings, environ={"PGSERVICEFILE": str(file)})
                for output in outputs(plan):
                    assert SECRET not in output


def test_settings_are_not_changed_where_values_are_mended() -> None:
    given_settings: Mapping[str, Any] = {
        **GOOD,
        "HOST": HOST.encode(),
        "OPTIONS": {"sslmode": "Require ", "sslrootcert": Path("/ca.pem"), "pool": {"min_size": 1}},
    }
    before = copy.deepcopy(given_settings)
    decide("default", given_settings, environ={})
    assert given_settings == before
