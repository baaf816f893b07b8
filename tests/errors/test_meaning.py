"""What an error's text means, told without a server: one server or several, one problem or several."""

from __future__ import annotations

from dataclasses import replace

import pytest

from azpg_backend.errors import causes, explain
from azpg_backend.errors.problem import Problem, Severity, combine

REFUSED = 'connection to server at "{}", port {} failed: Connection refused'
WRONG = 'connection to server at "{}", port {} failed: FATAL:  password authentication failed for user "app"'
STARTING = 'connection to server at "{}", port {} failed: FATAL:  the database system is starting up'
NOTED = Problem("login.failed", "one thing.", "Do this.", Severity.WARNING, "azpg.W001", "HOST", transient=True)


def test_one_server_that_may_come_back_is_enough() -> None:
    assert transient(WRONG.format("a", 5432)) is False
    assert transient(STARTING.format("a", 5432)) is True
    assert transient(WRONG.format("a", 5432), STARTING.format("b", 5432)) is True
    assert transient(STARTING.format("a", 5432), WRONG.format("b", 5432)) is True
    assert transient(WRONG.format("a", 5432), WRONG.format("b", 5432)) is False


def test_two_ports_are_two_servers_but_two_addresses_are_one() -> None:
    two_addresses = [
        'connection to server at "a" (10.0.0.1), port 5432 failed: Connection refused',
        WRONG.format("a", 5432),
    ]
    assert transient(*two_addresses) is False
    assert transient(REFUSED.format("a", 6432), WRONG.format("a", 5432)) is True


def test_a_second_line_belongs_to_the_server_above() -> None:
    lines = [REFUSED.format("a", 5432), "\tIs the server running on that host and accepting TCP/IP connections?"]
    assert transient(*lines) is True
    assert causes.of_login("nothing that anybody knows") is None


def transient(*lines: str) -> bool:
    problem = causes.of_login("\n".join(lines))
    assert problem is not None
    return problem.transient


def test_several_problems_are_said_as_one() -> None:
    grave = replace(NOTED, message="another", hint="Do that.", severity=Severity.ERROR, id="azpg.E001", where="PORT")
    said = combine([NOTED, replace(grave, code="settings.invalid"), NOTED])
    assert said.message == "another; one thing"
    assert said.hint == "Do that. Do this."
    assert (said.code, said.severity, said.id, said.where) == ("settings.invalid", Severity.ERROR, "azpg.E001", "PORT")
    assert said.transient
    assert not combine([NOTED, replace(NOTED, transient=False)]).transient
    assert combine([replace(NOTED, hint=""), NOTED]).hint == "Do this."
    with pytest.raises(ValueError, match="no problem"):
        combine([])


def test_an_explanation_goes_with_the_exception() -> None:
    error = RuntimeError("raw", 5)
    known = explain.Explanation("words", Problem("login.failed", "meaning", "Remedy."))
    explain.attach(error, known, "shop")
    assert error.args == ("words\n-> meaning. Remedy.\n-> " + known.text("shop").rpartition("-> ")[2], 5)
    assert error.args[0].endswith("azpg_check shop")
    assert explain.of_driver(error, ()) == known
    outer = RuntimeError("other")
    outer.__cause__ = error
    assert explain.of_driver(outer, ()) == known


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xff", 0, 1, "x"), RuntimeError("")])
def test_what_the_driver_can_not_read(error: Exception) -> None:
    found = explain.of_driver(error, ())
    assert found.problem is not None
    assert found.problem.code == "login.failed"
    assert found.words == found.problem.message


def test_an_error_nobody_knows_keeps_its_words() -> None:
    assert explain.of_driver(RuntimeError("\nodd hunter2222\n"), ["hunter2222"]) == ("\nodd ********", None)


@pytest.mark.parametrize(
    ("settings", "secrets"),
    [
        ({"PASSWORD": "Tr0ub4dor"}, ["Tr0ub4dor"]),
        ({"PASSWORD": "Tr0ub4dor", "HOST": "tr0ub4dor.example"}, []),
        ({"PASSWORD": "Tr0ub4dor", "USER": "TR0UB4DOR"}, []),
        ({"PASSWORD": "Tr0ub4dor", "NAME": "xTr0ub4dorx"}, []),
        ({"PASSWORD": "54321", "PORT": 54321}, []),
        ({"PASSWORD": "abc"}, []),
        ({"PASSWORD": "abcd"}, ["abcd"]),
        ({"PASSWORD": "password"}, []),
        ({"PASSWORD": None, "OPTIONS": {"sslpassword": "k3y-0f-k3ys"}}, ["k3y-0f-k3ys"]),
        ({"PASSWORD": 271828, "OPTIONS": None}, ["271828"]),
        ({"OPTIONS": [("password", "x")]}, []),
    ],
)
def test_what_is_a_secret(settings: dict[str, object], secrets: list[str]) -> None:
    assert list(explain.secrets_of(settings)) == secrets
