"""What a driver's words become: a meaning, a combined problem, a masked and printable text."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps

from azpg_backend.errors import causes, explain, redact
from azpg_backend.errors.problem import Problem, Severity, combine

AUTH = "FATAL:  password authentication failed for user"
GONE = "FATAL:  the database system is starting up"


def lines(*servers: tuple[str, int, str]) -> str:
    return "\n".join(
        f'connection to server at "{host}" (10.0.0.4), port {port} failed: {words}' for host, port, words in servers
    )


# of_login


def test_words_that_no_row_knows() -> None:
    assert causes.of_login("something else") is None


@pytest.mark.parametrize(
    ("text", "transient"),
    [
        (lines(("a", 5432, AUTH)), False),
        (lines(("a", 5432, GONE)), True),
        (lines(("a", 5432, AUTH), ("b", 5432, GONE)), True),
        (lines(("a", 5432, AUTH), ("b", 5432, "what nobody knows")), False),
        (lines(("a", 5432, "what nobody knows"), ("b", 5432, AUTH)), False),
        # Two ports of one host are two servers, two addresses of one name are not.
        (lines(("a", 5432, AUTH), ("a", 6432, GONE)), True),
        (lines(("a", 5432, AUTH), ("a", 5432, GONE)), False),
        (lines(("a", 5432, GONE), ("a", 5432, AUTH)), False),
        # A line without a server belongs to the server before it.
        (lines(("a", 5432, AUTH)) + "\n" + GONE, False),
        (lines(("a", 5432, AUTH), ("b", 5432, "")) + "\n" + GONE, True),
        (AUTH + "\n" + GONE, False),
    ],
)
def test_one_server_that_may_recover_is_enough(text: str, transient: bool) -> None:
    problem = causes.of_login(text)
    assert problem is not None
    assert problem.transient is transient


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ('password authentication failed for user "app"', "past its VALID UNTIL"),
        ('too many connections for role "app"', "a CONNECTION LIMIT of its own"),
        ('too many connections for database "app"', "a CONNECTION LIMIT of its own"),
        ("sorry, too many clients already", "all connections that the server allows"),
        ('database "template0" is not currently accepting connections', "from anybody"),
        ("database does not allow connections: app", "from anybody"),
        ('database "app" is disabled', "from anybody"),
        ("the database system is not accepting connections", "the server is restarting"),
        ("must be superuser to connect in binary upgrade mode", "the server is restarting"),
        ("out of memory", "out of memory or storage"),
        ("could not open file: Too many open files in system", "out of memory or storage"),
        ("could not write to file: No space left on device", "out of memory or storage"),
        ("canceling authentication due to timeout", "longer than the server waits"),
        ("no more connections allowed (max_client_conn)", "PgBouncer lets no more clients in"),
        ("client connections exceeded (max_user_client_connections)", "PgBouncer lets no more clients in"),
        ("-c foo requires a value", "OPTIONS['options']"),
        ("--foo requires a value", "OPTIONS['options']"),
        ("invalid command-line argument for server process: b", "OPTIONS['options']"),
        ('invalid value for parameter "TimeZone": "Mars/Phobos"', "PGTZ, PGDATESTYLE or PGGEQO"),
        ('parameter "geqo" requires a Boolean value', "PGTZ, PGDATESTYLE or PGGEQO"),
        ('1 kB is outside the valid range for parameter "work_mem" (64 kB .. 2147483647 kB)', "OPTIONS['options']"),
        ('invalid configuration parameter name "a-b"', "OPTIONS['options']"),
        ('permission denied to set role "boss"', "OPTIONS['options']"),
        ("terminating connection due to idle-session timeout", "a time-out that this session has"),
        ("canceling statement due to statement timeout", "a time-out that this session has"),
        ('syntax error in service file "/etc/s.conf", line 8', "libpq can't read the service file"),
        ('nested service specifications not supported in service file "/etc/s.conf", line 8', "the service file"),
        ('line 8 too long in service file "/etc/s.conf"', "the service file"),
        (
            'server only supports protocol version 3.0, but "min_protocol_version" was set to 3.2',
            "PGMINPROTOCOLVERSION",
        ),
        ('invalid min_protocol_version value: "9"', "PGMINPROTOCOLVERSION"),
        ("SSL certificate's name contains embedded null", "libpq can't read the name"),
        ("certificate contains IP address with invalid length 5", "libpq can't read the name"),
        ("could not get server's host name from server certificate", "libpq can't read the name"),
        ('parameter "max_connections" cannot be changed without restarting the server', "OPTIONS['options']"),
        ('parameter "log_disconnections" cannot be set after connection start', "OPTIONS['options']"),
        ('permission denied to set parameter "log_statement"', "OPTIONS['options']"),
        ("permission denied to start WAL sender", "OPTIONS['replication']"),
        ("must be superuser or replication role to start walsender", "OPTIONS['replication']"),
        ('no pg_hba.conf entry for replication connection from host "10.0.0.4"', "OPTIONS['replication']"),
        ('certificate present, but not private key file "/x/postgresql.key"', "the client certificate"),
        ('private key file "/x/key.pem" has group or world access', "the client certificate"),
        ('could not load private key file "/x/key.pem": no start line', "the client certificate"),
        ('could not read certificate file "/x/cert.pem": no start line', "the client certificate"),
        ('certificate does not match private key file "/x/key.pem"', "the client certificate"),
        ("server did not request an SSL certificate", "the client certificate"),
        ("connection requires a valid client certificate", "the client certificate"),
        ('could not read root certificate file "/x/root.pem": no certificate', "the CA file"),
    ],
)
def test_what_each_refusal_means(text: str, part: str) -> None:
    problem = causes.of_login(f'connection to server at "h" (10.0.0.4), port 5432 failed: FATAL:  {text}')
    assert problem is not None
    assert part in problem.message


def test_a_role_that_is_missing_may_be_one_that_options_sets() -> None:
    problem = causes.of_login('FATAL:  role "boss" does not exist')
    assert problem is not None
    assert "OPTIONS['options'] (or PGOPTIONS) sets a role" in problem.hint


def test_case_and_line_breaks_do_not_matter() -> None:
    cause = causes.Cause("login.failed", "first.*second", "reason", "hint", transient=True)
    assert cause.matches("FIRST\nSecond")
    assert not cause.matches("second first")
    assert cause.problem() == Problem("login.failed", "reason", "hint", transient=True)


# combine


def test_combined_problems_keep_what_the_gravest_is() -> None:
    note = Problem("settings.a", "Two.", "Do that.", Severity.WARNING, "azpg.W001", "there", transient=True)
    grave = Problem("settings.b", "One.", "Do this.", Severity.ERROR, "azpg.E001", "here", transient=True)
    again = Problem("settings.c", "One", "", Severity.NOTE, transient=True)
    both = Problem("settings.b", "One; Two", "Do this. Do that.", Severity.ERROR, "azpg.E001", "here", transient=True)
    assert combine([note, grave, again]) == both
    warnings = combine([note, again])
    assert (warnings.severity, warnings.id) == (Severity.WARNING, "azpg.W001")


def test_combined_problems_pass_only_if_all_do() -> None:
    assert not combine([Problem("settings.a", "a", transient=True), Problem("settings.b", "b")]).transient


def test_nothing_to_combine() -> None:
    with pytest.raises(ValueError, match="no problem"):
        combine([])


# explain


def test_a_driver_s_error_is_explained_and_masked() -> None:
    found = explain.of_driver(Exception(f"\n{AUTH} with s3cr3t-value\n\n"), ["s3cr3t-value"])
    assert found.words == f"\n{AUTH} with {redact.MASK}"
    assert found.problem == causes.of_login(AUTH)
    assert found.problem is not None


@pytest.mark.parametrize("error", [UnicodeDecodeError("utf-8", b"\xe9", 0, 1, "invalid"), Exception("")])
def test_an_error_that_can_not_be_read(error: Exception) -> None:
    found = explain.of_driver(error, [])
    assert found.problem is not None
    assert found.problem.code == "login.failed"
    assert found.words == found.problem.message


def test_an_explanation_stays_with_its_error() -> None:
    error = Exception("words", "more", 3)
    explanation = explain.Explanation("words", Problem("login.failed", "reason", "Do this."))
    explain.attach(error, explanation, "replica")
    assert error.args == (explanation.text("replica"), "more", 3)
    assert explain.of_driver(error, []) is explanation
    outer = Exception("of Django")
    outer.__cause__ = error
    assert explain.of_driver(outer, []) is explanation


def test_the_text_has_words_reason_and_command() -> None:
    words, reason, command = (
        explain.Explanation("words", Problem("login.failed", "reason", "Do this."))
        .text("replica")
        .split(explain.SEPARATOR)
    )
    assert (words, reason) == ("words", "reason. Do this.")
    assert command.endswith("azpg_check replica")
    assert explain.Explanation("words", None).text("replica") == f"words{explain.SEPARATOR}{command}"


@pytest.mark.parametrize("installed", [True, False])
def test_the_command_needs_the_app(monkeypatch: pytest.MonkeyPatch, installed: bool) -> None:
    monkeypatch.setattr(apps, "is_installed", lambda name: installed and name == "azpg_backend")
    text = explain.Explanation("words", None).text("default")
    assert ("INSTALLED_APPS" in text) is not installed
    assert text.endswith("azpg_check default")


@pytest.mark.parametrize(
    ("settings", "secrets"),
    [
        ({"PASSWORD": "Xq7!"}, ["Xq7!"]),
        ({"PASSWORD": "Xq7"}, []),
        ({"PASSWORD": 48151623}, ["48151623"]),
        ({}, []),
        ({"PASSWORD": None, "HOST": "h", "USER": "u", "NAME": "n", "PORT": "1"}, []),
        ({"OPTIONS": None}, []),
        ({"OPTIONS": "text"}, []),
        ({"OPTIONS": {"password": "Xq7!-a", "sslpassword": "Xq7!-b", "sslmode": "Xq7!-c"}}, ["Xq7!-a", "Xq7!-b"]),
        # Part of what is shown anyway
        ({"PASSWORD": "Shop42", "HOST": "shop42.postgres.database.azure.com"}, []),
        ({"PASSWORD": "Shop42", "USER": "SHOP42"}, []),
        ({"PASSWORD": "Shop42", "NAME": "shop42_db"}, []),
        ({"PASSWORD": "6432", "PORT": 6432}, []),
        ({"PASSWORD": "password"}, []),
    ],
)
def test_the_secrets_of_an_alias(settings: dict[str, Any], secrets: list[str]) -> None:
    assert sorted(explain.secrets_of(settings)) == secrets


# redact


@pytest.mark.parametrize(
    ("secret", "common"),
    [("PassWord", True), ("the password", True), ("  ", False), ("password Xq7!", False), ("Xq7!", False)],
)
def test_words_of_every_failed_connect(secret: str, common: bool) -> None:
    assert redact.is_common(secret) is common


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Zürich: Straße 東京 ✓", "Zürich: Straße 東京 ✓"),
        (" a\n\tb  c ", "a b c"),
        ("\x1b[31m", "\\x1b[31m"),
        ("\u202e", "\\u202e"),
        ("\ue000", "\\ue000"),
        ("\udc80", "\\udc80"),
        ("\u0378", "\\u0378"),
        ("a\u2028b", "a b"),
        ("my\u00a0app", "my\\xa0app"),
        ("\u3000a  b\u2009c", "\\u3000a b\\u2009c"),
        ("\U000e0001", "\\U000e0001"),
    ],
)
def test_what_is_not_plain_is_escaped(text: str, shown: str) -> None:
    assert redact.printable(text) == shown


@pytest.mark.parametrize(
    ("length", "shown"), [(9, "x" * 9), (10, "x" * 10), (11, "x" * 7 + "..."), (99, "x" * 7 + "...")]
)
def test_a_long_line_is_cut_to_the_limit(length: int, shown: str) -> None:
    assert redact.printable("x" * length, 10) == shown


def test_every_secret_and_token_is_masked() -> None:
    token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    text = redact.without(f"one two one {token} end", ["one", "two"])
    assert text == " ".join([redact.MASK] * 4) + " end"
