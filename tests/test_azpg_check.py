"""manage.py azpg_check: what is printed, the exit status, and that it does not hang."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from azpg_backend import trust
from azpg_backend.errors.codes import STEP_CODES, STEPS
from demo_project.localpg import LocalPostgres
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
    assert set(report) == {"version", "ok", "databases"}
    assert (report["version"], report["ok"]) == (1, False)
    assert [row["alias"] for row in report["databases"]] == ["default", "other"]
    for row in report["databases"]:
        assert set(row) == {"alias", "host", "port", "ok", "psql", "steps"}
        assert (row["host"], row["port"]) == (HOST, good["PORT"])
        assert [step["step"] for step in row["steps"]] == list(STEPS)
        for step in row["steps"]:
            assert set(step) == {"step", "status", "code", "message", "hint", "duration_ms", "detail"}
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
    with pytest.raises(CommandError, match="No alias in DATABASES") as caught:
        azpg_check()
    assert caught.value.returncode == 2


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
        AZURE_POSTGRESQL_HOST="localhost",
        AZURE_POSTGRESQL_PORT=str(servers.closed_port()),
        AZURE_POSTGRESQL_NAME="app",
        AZURE_POSTGRESQL_USER="app",
        AZURE_POSTGRESQL_PASSWORD="sentinel",
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


def test_every_code_is_in_the_readme() -> None:
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    for code in STEP_CODES:
        assert f"`{code}`" in readme


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
