"""manage.py azpg_check: what is printed, the exit status, and that it does not hang."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from azpg_backend import trust
from azpg_backend.errors.codes import STEP_CODES, STEPS
from demo_project.localpg import Authority, LocalPostgres
from demo_project.localpg.certificates import Profile
from tests.support import servers
from tests.support.official import Official, sending
from tests.support.settings import HOST, PASSWORD, SettingsFor

Databases = Callable[..., None]


def azpg_check(*arguments: str) -> tuple[int, str]:
    """Run the command and return exit status and standard output."""
    output = StringIO()
    try:
        call_command("azpg_check", *arguments, stdout=output)
    except SystemExit as end:
        return int(end.code or 0), output.getvalue()
    return 0, output.getvalue()


def complete_ca(root_file: str, tmp_path: Path) -> str:
    """A CA file with the local root and Azure's, which leaves nothing to warn about."""
    path = tmp_path / "all.pem"
    path.write_text(Path(root_file).read_text() + Path(trust.BUNDLE).read_text())
    return str(path)


@pytest.fixture
def good(server: LocalPostgres, settings_for: SettingsFor, root_file: str, tmp_path: Path) -> dict[str, Any]:
    return settings_for(server, {"sslrootcert": complete_ca(root_file, tmp_path)})


def test_all_is_well(databases: Databases, good: dict[str, Any]) -> None:
    databases(default=good)
    status, text = azpg_check("--offline", "--fail-level", "WARNING")
    assert status == 0
    words = re.findall(r"^  (\w+) +(\S+)  ", text, re.MULTILINE)
    assert words == [(step, "ok") for step in STEPS]
    assert "\x1b" not in text
    assert f'psql "host={HOST} hostaddr=127.0.0.1 port={good["PORT"]} dbname=app user=app sslmode=verify-full' in text


def test_the_psql_command_works_as_printed(databases: Databases, good: dict[str, Any]) -> None:
    databases(default=good)
    _, text = azpg_check("--offline")
    (command,) = re.findall(r"^  (psql .*)$", text, re.MULTILINE)
    from demo_project.localpg.server import find_binaries

    environment = {**os.environ, "PGPASSWORD": PASSWORD, "PATH": f"{find_binaries()}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(
        f"{command} -X -A -t -c 'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()'",
        shell=True,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("t", "")


def test_json(databases: Databases, good: dict[str, Any]) -> None:
    databases(default=good, other={**good, "PASSWORD": "wrong"})
    status, text = azpg_check("--offline", "--format", "json")
    report = json.loads(text)
    assert status == 1
    assert set(report) == {"version", "azpg_version", "checked_at", "ok", "databases"}
    assert (report["version"], report["ok"]) == (1, False)
    assert [row["alias"] for row in report["databases"]] == ["default", "other"]
    for row in report["databases"]:
        assert set(row) == {"alias", "host", "port", "ok", "psql", "duration_ms", "steps"}
        assert (row["host"], row["port"]) == (HOST, good["PORT"])
        assert [step["step"] for step in row["steps"]] == list(STEPS)
        for step in row["steps"]:
            assert set(step) == {"step", "status", "code", "message", "hint", "docs", "duration_ms", "detail"}
            assert step["status"] in {"pass", "warn", "fail", "skip"}
    first, second = report["databases"]
    assert (first["ok"], second["ok"]) == (True, False)
    assert second["steps"][6]["code"] == "login.wrong_password"


def test_the_fail_level(databases: Databases, server: LocalPostgres, settings_for: SettingsFor) -> None:
    databases(default=settings_for(server))
    assert azpg_check("--offline")[0] == 0
    assert azpg_check("--offline", "--fail-level", "WARNING")[0] == 1


def test_wrong_usage_is_exit_2(databases: Databases, good: dict[str, Any]) -> None:
    databases(default=good, sqlite={"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"})
    for arguments, part in (
        (["nope"], "There is no alias 'nope' in DATABASES (there are: default, sqlite)"),
        (["sqlite"], "set it to 'azpg_backend'"),
    ):
        with pytest.raises(CommandError, match=re.escape(part)) as caught:
            azpg_check(*arguments)
        assert caught.value.returncode == 2


def test_an_alias_can_not_move_the_terminal_s_cursor(databases: Databases, good: dict[str, Any]) -> None:
    databases(default=good, **{"other\x1b[31m": good})
    for alias in ("nope", "other"):
        with pytest.raises(CommandError, match="There is no alias") as caught:
            azpg_check(alias)
        assert "\x1b" not in str(caught.value)
        assert "other\\x1b[31m" in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--timeout", "0"], "from 0.1 to 3600"),
        (["--timeout", "soon"], "from 0.1 to 3600"),
        (["--format", "xml"], "xml"),
    ],
)
def test_arguments_that_can_not_be_read_are_exit_2(arguments: list[str], part: str) -> None:
    """Run the program: for a caller in Python, Django's own status is 1."""
    with pytest.raises(CommandError, match=re.escape(part)):
        azpg_check(*arguments)
    done = manage("azpg_check", *arguments)
    assert done.returncode == 2
    assert part in done.stderr


def test_no_alias_of_this_engine(databases: Databases) -> None:
    databases(default={"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"})
    with pytest.raises(
        CommandError, match="no alias in DATABASES .*default has .django.db.backends.sqlite3."
    ) as caught:
        azpg_check()
    assert caught.value.returncode == 2


# All that the demo project needs to know of a server.
LOCALHOST = {
    "AZURE_POSTGRESQL_HOST": "localhost",
    "AZURE_POSTGRESQL_NAME": "app",
    "AZURE_POSTGRESQL_USER": "app",
    "AZURE_POSTGRESQL_PASSWORD": "sentinel",
}


def manage(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the demo project's manage.py as a user would."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "demo_project.settings", **environ},
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("arguments", "status"), [(["nope"], 2), (["--timeout", "x"], 2), (["--help"], 0), (["--nope"], 2)]
)
def test_exit_statuses_of_the_program(arguments: list[str], status: int) -> None:
    done = manage("azpg_check", *arguments)
    assert done.returncode == status
    if status:
        assert done.stdout == ""
        assert done.stderr
        assert "Traceback" not in done.stderr


def test_help_teaches() -> None:
    text = manage("azpg_check", "--help").stdout
    for part in ("examples:", "--offline", "--ca-file PATH", "--update-ca", "--fail-level", "exit status:", "ALIAS"):
        assert part in text


def test_a_stopped_server_in_the_program(root_file: str) -> None:
    done = manage(
        *["azpg_check", "--offline", "--format", "json", "--timeout", "30"],
        **{**LOCALHOST, "AZURE_POSTGRESQL_PORT": str(servers.closed_port()), "AZURE_POSTGRESQL_PASSWORD": "sentinel"},
    )
    assert done.returncode == 1
    assert done.stderr == ""
    report = json.loads(done.stdout)
    assert report["databases"][0]["steps"][3]["code"] == "tcp.refused"
    assert "sentinel" not in done.stdout


@pytest.mark.slow
def test_ten_slow_servers_cost_what_one_does(databases: Databases, good: dict[str, Any]) -> None:
    with servers.unanswering() as port:
        databases(**{f"slow{number}": {**good, "PORT": port} for number in range(10)})
        started = time.monotonic()
        status, text = azpg_check("--offline", "--timeout", "3")
    assert status == 1
    assert text.count("tcp.timeout") == 10
    # One after the other would take 30 s.
    assert time.monotonic() - started < 15


def test_colours_only_where_they_are_wanted(databases: Databases, good: dict[str, Any]) -> None:
    databases(default=good)
    assert "\x1b[" in azpg_check("--offline", "--force-color")[1]
    assert "\x1b[" not in azpg_check("--offline", "--no-color")[1]


@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_lines_fit_the_terminal(
    databases: Databases, good: dict[str, Any], monkeypatch: pytest.MonkeyPatch, columns: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    databases(default={**good, "PASSWORD": "wrong"})
    lines = azpg_check("--offline")[1].splitlines()
    prose = [line for line in lines if not re.search(r"psql |/|\S{30}", line)]
    assert max(map(len, prose)) <= max(60, int(columns))


# The roots


def ca_step(text: str, alias: int = 0) -> dict[str, Any]:
    step: dict[str, Any] = json.loads(text)["databases"][alias]["steps"][1]
    return step


def test_the_official_copies_are_compared(databases: Databases, good: dict[str, Any], official: Official) -> None:
    del good["OPTIONS"]["sslrootcert"]
    databases(default=good)
    step = ca_step(azpg_check("--format", "json")[1])
    assert step["code"] == "ca.ok"
    assert "7 of 7 match the official copies" in step["message"]
    assert len(official.asked) == 7


def test_downloads_happen_once_for_all_aliases(databases: Databases, good: dict[str, Any], official: Official) -> None:
    databases(one=good, two=good, three=good)
    assert azpg_check()[0] == 0
    assert len(official.asked) == 7


def test_a_missing_file_is_written_from_verified_roots(
    databases: Databases, good: dict[str, Any], official: Official, tmp_path: Path
) -> None:
    path = tmp_path / "certs" / "azure.pem"
    good["OPTIONS"]["sslrootcert"] = str(path)
    databases(default=good)
    step = ca_step(azpg_check("--format", "json")[1])
    assert step["code"] == "ca.ok"
    assert step["detail"]["file"] == str(path)
    assert path.read_bytes() == Path(trust.BUNDLE).read_bytes()


def test_another_certificate_at_an_official_url(
    databases: Databases, good: dict[str, Any], official: Official, tmp_path: Path, root_file: str
) -> None:
    official.answers["https://cacerts.digicert.com/DigiCertGlobalRootG3.crt"] = sending(Path(root_file).read_bytes())
    path = tmp_path / "azure.pem"
    databases(default={**good, "OPTIONS": {**good["OPTIONS"], "sslrootcert": str(path)}}, other=good)
    status, text = azpg_check("--format", "json")
    assert status == 1
    assert ca_step(text)["code"] == "ca.fingerprint_mismatch"
    assert not path.exists()
    assert ca_step(text, 1)["code"] == "ca.fingerprint_mismatch"
    assert "DigiCertGlobalRootG3" in ca_step(text)["message"]
    # What does not depend on the download goes on.
    assert json.loads(text)["databases"][1]["steps"][7]["code"] == "session.ok"


@pytest.mark.slow
def test_no_network_is_a_warning_and_the_packaged_roots_serve(
    databases: Databases, good: dict[str, Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://me:sentinel@127.0.0.1:{servers.closed_port()}")
    path = tmp_path / "azure.pem"
    databases(default={**good, "OPTIONS": {**good["OPTIONS"], "sslrootcert": str(path)}}, other=good)
    status, text = azpg_check("--format", "json", "--timeout", "20")
    assert ca_step(text)["code"] == "ca.download_failed"
    assert ca_step(text)["status"] == "warn"
    assert path.read_bytes() == Path(trust.BUNDLE).read_bytes()
    assert "sentinel" not in text
    assert status == 1  # the local server is not under Azure's roots
    assert azpg_check("other", "--timeout", "20")[0] == 0


def test_ca_file_option(databases: Databases, good: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "for psql" / "azure.pem"
    databases(default=good)
    assert azpg_check("--offline", "--ca-file", str(path))[0] == 0
    assert path.read_bytes() == Path(trust.BUNDLE).read_bytes()
    # An existing file is not touched, and said to be incomplete.
    path.write_text(Path(trust.BUNDLE).read_text()[: len(Path(trust.BUNDLE).read_text()) // 2].rpartition("# ")[0])
    before = path.read_bytes()
    status, text = azpg_check("--offline", "--ca-file", str(path), "--fail-level", "WARNING")
    assert path.read_bytes() == before
    assert azpg_check("--offline", "--ca-file", str(path), "--update-ca")[0] == 0
    assert path.read_bytes().startswith(before)
    assert path.read_text().count("BEGIN CERTIFICATE") == 7


def test_every_code_is_in_the_documentation() -> None:
    page = (Path(__file__).parent.parent / "docs" / "codes.md").read_text("utf-8")
    for code in STEP_CODES:
        assert f"### `{code}`" in page


@pytest.mark.slow
def test_the_command_ends_although_a_name_is_never_resolved(
    databases: Databases, good: dict[str, Any], tmp_path: Path
) -> None:
    """A thread that waits for getaddrinfo must not keep the interpreter from ending."""
    program = tmp_path / "stuck.py"
    program.write_text(
        "import socket, sys, time\n"
        "socket.getaddrinfo = lambda *a, **k: time.sleep(600)\n"
        "sys.argv = ['manage.py', 'azpg_check', '--offline', '--timeout', '1']\n"
        "from django.core.management import execute_from_command_line\n"
        "execute_from_command_line(sys.argv)\n"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, program], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert "dns.timeout" in done.stdout
    assert done.returncode == 1


def test_a_terminal_shows_what_is_waited_for(databases: Databases, good: dict[str, Any]) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    databases(default=good)
    terminal = Terminal()
    call_command("azpg_check", "--offline", stdout=terminal)
    seen = terminal.getvalue()
    assert [f"Checking default: {step} ..." in seen for step in STEPS] == [True] * len(STEPS)
    # The line is erased before the report is printed.
    assert seen.rindex("\r\x1b[2K") < seen.index("settings     ")
    assert "Checking" not in azpg_check("--offline")[1]


# What it says, however it ends


def program(tmp_path: Path, body: str, *arguments: str, **environ: str) -> subprocess.Popen[bytes]:
    """Start azpg_check after some preparation, as a program of its own."""
    path = tmp_path / "program.py"
    path.write_text(
        f"{body}\nimport sys\nsys.argv = ['manage.py', 'azpg_check', *{list(arguments)!r}]\n"
        "from django.core.management import execute_from_command_line\nexecute_from_command_line(sys.argv)\n"
    )
    return subprocess.Popen(
        [sys.executable, path],
        cwd=Path(__file__).parent.parent,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "demo_project.settings",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            **LOCALHOST,
            "AZURE_POSTGRESQL_HOST": HOST,
            **environ,
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


NEVER_RESOLVED = (
    "import signal, socket, sys, time\n"
    "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    "def wait(*a, **k):\n"
    "    sys.stderr.write('waiting\\n')\n"
    "    sys.stderr.flush()\n"
    "    time.sleep(600)\n"
    "socket.getaddrinfo = wait\n"
)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_prints_what_is_known(tmp_path: Path, form: str, number: signal.Signals, status: int) -> None:
    written = tmp_path / "report.json"
    arguments = ("--offline", "--timeout", "60", "--format", "json", "--output", str(written), "--format", form)
    with program(tmp_path, NEVER_RESOLVED, *arguments) as running:
        assert running.stderr is not None
        assert running.stderr.readline() == b"waiting\n"
        running.send_signal(number)
        out, err = (each.decode() for each in running.communicate(timeout=60))
    assert running.returncode == status
    assert "Traceback" not in err
    assert json.loads(written.read_text())["interrupted"] is True
    if form == "json":
        report = json.loads(out)
        assert (report["interrupted"], report["ok"]) == (True, False)
        steps = report["databases"][0]["steps"]
        assert [step["status"] for step in steps[2:]] == ["skip"] * 6
        assert steps[0]["code"].startswith("settings.")
    else:
        assert re.search(r"^  ca +ok +7 roots", out, re.MULTILINE), out
        assert "not reached" in out
        assert "Interrupted" in out


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path: Path) -> None:
    slow = (
        "from azpg_backend.diagnosis import formats\n"
        "def render(*a):\n"
        "    sys.stderr.write('rendering\\n')\n"
        "    sys.stderr.flush()\n"
        "    time.sleep(600)\n"
        "formats.render = render\n"
    )
    written = tmp_path / "report.json"
    arguments = ("--offline", "--timeout", "60", "--format", "json", "--output", str(written))
    with program(tmp_path, NEVER_RESOLVED + slow, *arguments) as running:
        assert running.stderr is not None
        for line in (b"waiting\n", b"rendering\n"):
            assert running.stderr.readline() == line
            running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert b"Traceback" not in err
    assert not written.exists()


def test_a_handler_of_ones_own_stays(databases: Databases, good: dict[str, Any]) -> None:
    databases(default=good)
    for handler in (signal.SIG_IGN, signal.SIG_DFL, lambda *_: None):
        before = signal.signal(signal.SIGTERM, handler)
        try:
            azpg_check("--offline", "--only", "settings")
            assert signal.getsignal(signal.SIGTERM) is handler
        finally:
            signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_a_reader_that_has_enough(tmp_path: Path) -> None:
    with program(tmp_path, "", "--offline", "--timeout", "0.1", **LOCALHOST) as running:
        assert running.stdout is not None
        running.stdout.close()
        assert running.stderr is not None
        said = running.stderr.read().decode()
    assert running.returncode == 1
    assert "Traceback" not in said
    assert "Exception ignored" not in said


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-16", "koi8-r"])
def test_an_output_that_has_not_every_character(
    databases: Databases, good: dict[str, Any], tmp_path: Path, encoding: str
) -> None:
    """B9"""
    from io import BytesIO, TextIOWrapper

    databases(default={**good, "USER": "j\u00fcrgen \u6771\u4eac \U0001f600"})
    raw = BytesIO()
    output = TextIOWrapper(raw, encoding=encoding)
    with pytest.raises(SystemExit):
        call_command("azpg_check", "--offline", stdout=output)
    output.flush()
    text = raw.getvalue().decode(encoding)
    assert "login.wrong_password" in text
    if encoding == "ascii":
        assert "j\\xfcrgen \\u6771\\u4eac \\U0001f600" in text


@pytest.mark.parametrize("arguments", [(), ("--verbosity", "0"), ("--verbosity", "2")])
@pytest.mark.parametrize("name", ["app\x1b[2Jx", "app\nok", "app\x9b31m", "app\u202eppa", "app\r  login  ok"])
def test_nothing_moves_the_terminal(
    databases: Databases, good: dict[str, Any], name: str, arguments: tuple[str, ...]
) -> None:
    """B10: whatever stands in the settings."""
    databases(default={**good, "NAME": name})
    status, text = azpg_check("--offline", *arguments)
    assert status == 1
    assert all(line.isprintable() for line in text.split("\n"))
    assert "\n  login  ok" not in text


def test_a_summary_of_several_aliases(databases: Databases, good: dict[str, Any]) -> None:
    """B12"""
    bad = {**good, "PASSWORD": "wrong"}
    databases(default=good, bad=bad, odd={**good, "HOST": "db.example.org"})
    text = azpg_check("--offline")[1]
    assert re.search(r"^3 aliases in [\d.]+ m?s: 1 ok, 2 failed \(bad, odd\)$", text, re.MULTILINE)
    assert "aliases in" not in azpg_check("bad", "--offline")[1]
    assert re.search(r"^default  .*:\d+  \([\d.]+ m?s\)$", text, re.MULTILINE)


def test_one_line_an_alias(databases: Databases, good: dict[str, Any]) -> None:
    databases(default=good, bad={**good, "PASSWORD": "wrong"})
    status, text = azpg_check("--offline", "--verbosity", "0")
    first, second = text.splitlines()
    assert status == 1
    assert re.fullmatch(r"default  ok  [\d.]+ m?s", first)
    assert re.match(r"bad  FAIL  [\d.]+ m?s  login\.wrong_password: ", second)


def test_one_line_has_the_forecast(databases: Databases, good: dict[str, Any]) -> None:
    databases(default=good)
    text = azpg_check("--offline", "--verbosity", "0", "--forecast")[1]
    assert re.fullmatch(r"default  ok  [\d.]+ m?s  works until \d{4}-\d\d-\d\d\n", text)


def test_psql_is_told_which_password(databases: Databases, good: dict[str, Any]) -> None:
    entra = {key: each for key, each in good.items() if key != "PASSWORD"}
    azpg = {"auth": "entra", "connect_retry_seconds": 0}
    databases(default=good, entra={**entra, "OPTIONS": {**good["OPTIONS"], "azpg": azpg}})
    assert "The same with psql (it asks for the password):" in azpg_check("default", "--offline")[1]
    said = "(its password is a Microsoft Entra token; manage.py dbshell gets one):"
    assert said in azpg_check("entra", "--offline", "--only", "settings")[1]


def test_every_problem_is_visible_to_a_script(databases: Databases, good: dict[str, Any], tmp_path: Path) -> None:
    """B13: a root that ends tomorrow, and Azure's lacking."""
    path = tmp_path / "ending.pem"
    path.write_text(Authority.root("Ending", Profile(days=(-300, 1), ca=True)).pem)
    databases(default={**good, "OPTIONS": {**good["OPTIONS"], "sslrootcert": str(path)}})
    step = ca_step(azpg_check("--offline", "--format", "json")[1])
    assert {problem["code"] for problem in step["detail"]["problems"]} == {"ca.root_missing", "ca.root_expiring"}
    assert all(set(problem) == {"code", "message", "hint"} for problem in step["detail"]["problems"])


# Which steps and codes count


def statuses(text: str) -> dict[str, str]:
    return {step["step"]: step["status"] for step in json.loads(text)["databases"][0]["steps"]}


def test_ignored_codes_do_not_count(databases: Databases, server: LocalPostgres, settings_for: SettingsFor) -> None:
    databases(default=settings_for(server, PASSWORD="wrong"))
    level = ("--offline", "--format", "json", "--fail-level", "WARNING")
    assert azpg_check(*level)[0] == 1
    status, text = azpg_check(*level, "--ignore", "ca.root_missing", "login")
    assert status == 0
    assert json.loads(text)["ok"] is True
    assert statuses(text)["ca"] == statuses(text)["login"] == "skip"
    assert azpg_check(*level, "--ignore", "ca.root_missing", "--ignore", "dns")[0] == 1


def test_only_some_steps(databases: Databases, server: LocalPostgres, settings_for: SettingsFor) -> None:
    databases(default=settings_for(server, PASSWORD="wrong"))
    status, text = azpg_check(
        "--offline", "--format", "json", "--fail-level", "WARNING", "--only", "tls", "certificate"
    )
    assert status == 0
    found = statuses(text)
    assert {name for name, status in found.items() if status == "pass"} == {"tls", "certificate"}
    # A step that was asked for and could not run is no pass.
    databases(default=settings_for(server, PORT=servers.closed_port()))
    status, text = azpg_check("--offline", "--format", "json", "--only", "tls")
    assert status == 1
    assert statuses(text)["tcp"] == "fail"


def test_ok_agrees_with_the_exit_status(databases: Databases, server: LocalPostgres, settings_for: SettingsFor) -> None:
    databases(default=settings_for(server))
    for level in ("WARNING", "ERROR"):
        status, text = azpg_check("--offline", "--format", "json", "--fail-level", level)
        assert json.loads(text)["ok"] is json.loads(text)["databases"][0]["ok"] is (status == 0)


def test_list_codes() -> None:
    status, text = azpg_check("--list-codes")
    assert status == 0
    assert [line.split()[0] for line in text.splitlines()] == list(STEP_CODES)
    rows = json.loads(azpg_check("--list-codes", "--format", "json")[1])["codes"]
    assert [row["code"] for row in rows] == list(STEP_CODES)
    page = (Path(__file__).parent.parent / "docs" / "codes.md").read_text("utf-8")
    for row in rows:
        assert row["docs"].startswith("docs/codes.md#")
        assert f"### `{row['code']}`\n" in page
        assert f"{row['summary'][0].upper()}{row['summary'][1:]}" in page


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--only", "nonsense"], "neither a step nor a code"),
        (["--ignore", "ca.nonsense"], "neither a step nor a code"),
        (["--wait", "-1"], "from 0 to 3600"),
        (["--wait", "nan"], "from 0 to 3600"),
        (["--timeout", "nan"], "from 0.1 to 3600"),
        (["--timeout", "inf"], "from 0.1 to 3600"),
        (["--ca-file=~/azure.pem"], "would be a folder named '~'"),
        (["--ca-file", ""], "not the path of a file"),
        (["--ca-file", "."], "is a folder"),
        (["--ignore", ","], "names no step"),
        (["--list-codes", "--wait", "3"], "leave out --wait"),
        (["--list-codes", "default"], "leave out ALIAS"),
    ],
)
def test_more_arguments_that_are_refused(tmp_path: Path, arguments: list[str], part: str) -> None:
    with pytest.raises(CommandError, match=re.escape(part)):
        azpg_check(*arguments)
    done = manage("azpg_check", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert part in done.stderr
    assert not Path("~").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--only", "tcp.ok"], "neither a step nor a code"),
        (["--only", "dns,tcpp"], "Did you mean tcp?"),
        (["--only", "dns", "default"], "It is an alias: write it before --only."),
        (["--only", "certificates"], "Did you mean certificate?"),
        (["--ignore", "tls.timeuot"], "Did you mean tls.timeout?"),
        (["defualt"], "Did you mean default?"),
        (["--only", "tls", "--ignore", "tls"], "leaves nothing that counts"),
        (["--ignore", *STEPS], "leaves nothing that counts"),
        (["--only", "certificate.will_break"], "needs --forecast"),
        (["--azure", "--only", "tcp"], "add it to --only"),
        (["--list-codes", "--azure"], "leave out --azure"),
        (["--format", "json", "--output", "-"], "for standard output leave out --output"),
        (["--format", "json", "--output", "nowhere/"], "is a folder"),
        (["--ca-file", "a.pem", "--format", "json", "--output", "./a.pem"], "is the file of --ca-file"),
    ],
)
def test_what_can_not_be_meant(databases: Databases, good: dict[str, Any], arguments: list[str], part: str) -> None:
    databases(default=good)
    with pytest.raises(CommandError, match=re.escape(part)) as caught:
        azpg_check("--timeout", "1", *arguments)
    assert caught.value.returncode == 2


@pytest.mark.slow
def test_waiting_until_the_server_is_there(
    databases: Databases, own_server: LocalPostgres, settings_for: SettingsFor
) -> None:
    settings = settings_for(own_server)
    databases(default=settings)
    own_server.stop()
    started = time.monotonic()
    assert azpg_check("--offline", "--wait", "2")[0] == 1
    assert time.monotonic() - started >= 2
    threading.Timer(1.5, own_server.start).start()
    status, text = azpg_check("--offline", "--wait", "60")
    assert status == 0
    assert text.count("settings  ") == 1


def test_a_late_round_waits_no_longer_than_the_whole(
    databases: Databases, good: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from azpg_backend.management.commands import azpg_check as command

    class Noted(command.Diagnosis):
        def __init__(self, wrappers: Any, roots: Any, timeout: float, *others: Any) -> None:
            timeouts.append(timeout)
            super().__init__(wrappers, roots, timeout, *others)

    timeouts: list[float] = []
    monkeypatch.setattr(command, "Diagnosis", Noted)
    databases(default={**good, "PORT": servers.closed_port()})
    assert azpg_check("--offline", "--wait", "2", "--timeout", "30", "--only", "tcp")[0] == 1
    first, *later = timeouts
    assert first == 30
    assert later
    assert all(1 <= each <= 2 for each in later)


def test_nobody_waits_for_settings(databases: Databases, good: dict[str, Any]) -> None:
    databases(default={**good, "OPTIONS": {**good["OPTIONS"], "sslmode": "disable"}})
    started = time.monotonic()
    assert azpg_check("--offline", "--wait", "600")[0] == 1
    assert time.monotonic() - started < 60


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("output", ["> /dev/full", ">&-"])
def test_an_output_that_takes_nothing(form: str, output: str) -> None:
    done = subprocess.run(
        f"'{sys.executable}' manage.py azpg_check --offline --format {form} {output}",
        shell=True,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "demo_project.settings", **LOCALHOST},
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("CommandError: The report can't be written: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    ("arguments", "output", "status"),
    [
        ("--only settings", "| true", 0),
        ("--only tcp --verbosity 0", "| head -c 1", 1),
        ("--only settings", ">&-", 0),
        ("--only settings", "> /dev/full", 2),
        ("--only tcp --format junit", "> /dev/full", 2),
    ],
)
def test_files_are_written_whatever_becomes_of_the_output(
    tmp_path: Path, arguments: str, output: str, status: int
) -> None:
    """The exit status of a report that nobody reads to its end is that of the check."""
    written = tmp_path / "report.json"
    command = f"'{sys.executable}' manage.py azpg_check --offline --format json --output '{written}' {arguments}"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command} {output}"],
        cwd=Path(__file__).parent.parent,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "demo_project.settings",
            **LOCALHOST,
            "AZURE_POSTGRESQL_PORT": str(servers.closed_port()),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    assert json.loads(written.read_text())["databases"][0]["alias"] == "default"
    full = "CommandError: The report can't be written: No space left on device.\n"
    assert (done.returncode, done.stderr) == (status, full if status == 2 else "")


def test_a_pipe_of_a_caller_is_not_the_process_own(databases: Databases, good: dict[str, Any]) -> None:
    databases(default=good)
    before = os.fstat(1)
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(OSError), open(writing, "w") as broken:
        call_command("azpg_check", "--offline", "--only", "settings", stdout=broken)
    assert os.path.samestat(os.fstat(1), before)
