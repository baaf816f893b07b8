"""No secret is in an error, a repr, a warning or the variables of a frame."""

from __future__ import annotations

import copy
import pickle
import traceback
import warnings
from collections.abc import Callable

import pytest
from django.core.exceptions import ImproperlyConfigured

from azpg_backend.settings import choice, entry, from_environment, sources
from tests.support.outputs import outputs
from tests.support.settings import HOST

SENTINEL = "s3ntinel-9f2c"
LOGIN = {"HOST": HOST, "NAME": "app", "USER": "me"}
TEXTS = [
    SENTINEL,
    f"azpg://me:{SENTINEL}@{HOST}/app",
    f"azpg://me:{SENTINEL}/x@{HOST}/app",
    f"azpg://me:x@{HOST}:{SENTINEL}/app",
    f"azpg://me:%FF{SENTINEL}@{HOST}/app",
    f"azpg://me:x@{HOST}/app?{SENTINEL}",
    f"{SENTINEL}://me",
    f"host={HOST} password={SENTINEL} {SENTINEL}",
    f"host={HOST} dbname=app user=me password='{SENTINEL}",
    f"Server={HOST};{SENTINEL}",
    f"Server={HOST};User Id=me@demo;Password={SENTINEL};{SENTINEL}=x",
]
VARIABLES = [
    *(f"AZURE_POSTGRESQL_{suffix}" for suffixes in sources.SUFFIXES.values() for suffix in suffixes),
    "POSTGRESQLCONNSTR_main",
    "CUSTOMCONNSTR_main",
    "DATABASE_URL",
    *sources.DB,
    *sources.LIBPQ,
]


def shown(run: Callable[[], object]) -> str:
    """Return what is printed, and what a reporter that sends the variables of every frame would send."""
    text = outputs(run)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            run()
    except Exception as error:
        assert error.__context__ is None
        for frame, _ in traceback.walk_tb(error.__traceback__):
            if "azpg_backend" in frame.f_code.co_filename:
                text += repr(frame.f_locals)
    return text


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("variable", VARIABLES)
def test_nothing_shows_it(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    known = {f"AZURE_POSTGRESQL_{part}": value for part, value in LOGIN.items()}
    for environ in ({variable: text}, {**known, variable: text}):
        with monkeypatch.context() as patch:
            for name, value in environ.items():
                patch.setenv(name, value)
            assert SENTINEL not in shown(lambda: print(repr(from_environment())) if secret(variable) else read())


def read() -> None:
    """Make an entry without showing it: a sentinel that is a name is shown, and no secret."""
    from_environment()


def secret(variable: str) -> bool:
    return variable.endswith(("PASS", "PASSWORD", "SECRET"))


def test_a_default_is_a_secret_too() -> None:
    for default in (f"azpg://me:{SENTINEL}@{HOST}/", f"azpg://me:{SENTINEL}@{HOST}/app"):
        assert SENTINEL not in shown(lambda: print(repr(from_environment(default=default, environ={}))))  # noqa: B023


def test_what_is_between_does_not_show_it_either() -> None:
    environ = {"POSTGRESQLCONNSTR_main": f"azpg://me:{SENTINEL}@{HOST}/app?sslpassword={SENTINEL}"}
    found = choice.of(environ)
    assert found.login is not None
    made = entry.made(found.login, entry.Wishes(), environ)
    assert SENTINEL not in repr((found, found.login, found.login.source, made, entry.resolved(made)))


def test_a_hidden_password_is_an_ordinary_text() -> None:
    made = from_environment(environ={"DATABASE_URL": f"azpg://me:{SENTINEL}@{HOST}/app"})
    for each in (copy.deepcopy(made), pickle.loads(pickle.dumps(made)), {**made}):
        assert each["PASSWORD"] == SENTINEL
        assert f"{each['PASSWORD']}" == SENTINEL
        assert SENTINEL not in repr(each)


def test_the_error_is_djangos() -> None:
    with pytest.raises(ImproperlyConfigured):
        from_environment(environ={"DBHOST": "demo"})
