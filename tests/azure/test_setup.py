"""manage.py azpg_setup: from what Azure says of a server to settings that work, and SQL that makes their role."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from azpg_backend.azure import draft
from azpg_backend.plan import decision
from demo_project.localpg import LocalPostgres
from tests.support import arm as standin
from tests.support.arm import RESOURCE_ID, Arm, refusal
from tests.support.settings import HOST

# What az postgres flexible-server show prints, as far as it is read.
SHOWN: dict[str, Any] = {
    "administratorLogin": "dba",
    "authConfig": {"activeDirectoryAuth": "Enabled", "passwordAuth": "Enabled", "tenantId": "x"},
    "fullyQualifiedDomainName": HOST,
    "id": RESOURCE_ID,
    "name": "demo",
    "sku": {"name": "Standard_D2ds_v5", "tier": "GeneralPurpose"},
    "state": "Ready",
}


def azpg_setup(*arguments: str) -> tuple[int, str, str]:
    """Run the command and return its exit status, standard output and standard error."""
    out, err = StringIO(), StringIO()
    try:
        call_command("azpg_setup", *arguments, stdout=out, stderr=err)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()


def entry(printed: str) -> dict[str, Any]:
    """Run the first part as settings.py."""
    module: dict[str, Any] = {}
    exec(printed.partition("-- SQL, once")[0], module)
    found: dict[str, Any] = module["DATABASES"]["default"]
    return found


def saved(tmp_path: Path, *, nested: bool = False, **changes: Any) -> str:
    shown = {**SHOWN, **changes}
    if nested:
        shown = {"id": shown.pop("id"), "sku": shown.pop("sku"), "properties": shown}
    path = tmp_path / "server.json"
    path.write_text(json.dumps(shown))
    return str(path)


@pytest.mark.parametrize("nested", [False, True])
def test_from_the_json_of_az(tmp_path: Path, nested: bool) -> None:
    status, printed, notes = azpg_setup(saved(tmp_path, nested=nested), "--role", "my-web-app")
    assert (status, notes) == (0, "")
    found = entry(printed)
    assert found == {
        "ENGINE": "azpg_backend",
        "NAME": "app",
        "HOST": HOST,
        "PORT": "5432",
        "USER": "my-web-app",
        "OPTIONS": {"azpg": {"auth": "entra", "resource_id": RESOURCE_ID}},
    }
    assert decision.decide("default", found, environ={}).problems == ()
    assert "SELECT * FROM pgaadauth_create_principal('my-web-app', false, false);" in printed
    assert 'GRANT USAGE, CREATE ON SCHEMA public TO "my-web-app";' in printed


def test_with_a_password_by_pgbouncer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", "correct horse")
    arguments = ("--role", "shop", "--auth", "password", "--pgbouncer", "--postgis", "--database", "shop")
    status, printed, _ = azpg_setup(saved(tmp_path), *arguments)
    assert status == 0
    found = entry(printed)
    assert (found["ENGINE"], found["PORT"], found["PASSWORD"]) == ("azpg_backend.postgis", "6432", "correct horse")
    assert decision.decide("default", found, environ={}).problems == ()
    assert "correct horse" not in printed
    assert "CREATE ROLE shop LOGIN;\n\\password shop\n" in printed


def test_an_identity_by_its_object_id(tmp_path: Path) -> None:
    guid = "11111111-2222-3333-4444-555555555555"
    printed = azpg_setup(saved(tmp_path), "--role", "O'Hara", "--object-id", guid, "--kind", "user")[1]
    assert f"pgaadauth_create_principal_with_oid('O''Hara', '{guid}', 'user', false, false)" in printed
    assert 'TO "O\'Hara";' in printed


@pytest.mark.parametrize(
    "changes, arguments, words",
    [
        ({"state": "Stopped"}, (), "The server is Stopped."),
        ({"authConfig": {"passwordAuth": "Disabled"}}, ("--auth", "password"), "takes no passwords"),
        ({"authConfig": {"activeDirectoryAuth": "Disabled"}}, ("--auth", "entra"), "Microsoft Entra is off"),
        ({"sku": {"tier": "Burstable"}}, ("--pgbouncer",), "has no PgBouncer"),
        ({"administratorLogin": "my-app"}, ("--auth", "password"), "its own role"),
    ],
)
def test_what_to_look_at(tmp_path: Path, changes: Any, arguments: tuple[str, ...], words: str) -> None:
    status, printed, notes = azpg_setup(saved(tmp_path, **changes), "--role", "my-app", *arguments)
    assert status == 1
    assert words in notes
    assert "DATABASES" in printed


@pytest.mark.parametrize(
    "text, words",
    [
        ("no json", "not JSON"),
        ("[1, 2]", "a list of 2"),
        ("1", "not an object"),
        ("{}", "no fullyQualifiedDomainName"),
        (json.dumps({**SHOWN, "fullyQualifiedDomainName": "evil.example\n"}), "no fullyQualifiedDomainName"),
        (json.dumps({**SHOWN, "id": "/subscriptions/1"}), "its id"),
    ],
)
def test_what_is_no_server(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(CommandError, match=words) as caught:
        azpg_setup(str(path))
    assert caught.value.returncode == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ("/subscriptions/1",),
        ("no-such-file",),
        ("x", "--object-id", "1"),
        ("x", "--role", "a\nb"),
        ("x", "--role", "a" * 64),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError) as caught:
        azpg_setup(*arguments)
    assert caught.value.returncode == 2


def test_from_a_resource_id(arm: Arm) -> None:
    status, printed, notes = azpg_setup(RESOURCE_ID, "--role", "my-identity")
    assert (status, notes) == (0, "")
    assert entry(printed)["HOST"] == HOST
    assert "as dba@contoso.com:" in printed
    assert {method for method, _ in arm.requests} == {"GET"}


def test_a_server_without_entra(arm: Arm) -> None:
    arm.set(auth_config=standin.made("AuthConfig", active_directory_auth="Disabled", password_auth="Enabled"))
    assert "CREATE ROLE shop LOGIN;" in azpg_setup(RESOURCE_ID, "--role", "shop")[1]


def test_a_resource_id_that_may_not_be_read(arm: Arm) -> None:
    arm.instead = lambda path: refusal(403, "AuthorizationFailed", "no")
    status, printed, notes = azpg_setup(RESOURCE_ID, "--role", "my-identity")
    assert (status, entry(printed)["HOST"]) == (1, HOST)
    assert "may not read the server" in notes
    assert "follows from the id alone" in notes


def test_a_resource_id_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "azpg_backend.azure.client", raising=False)
    monkeypatch.setitem(sys.modules, "azure.mgmt.postgresqlflexibleservers", None)
    status, printed, notes = azpg_setup(RESOURCE_ID, "--cloud", "AzureUSGovernment")
    assert (status, entry(printed)["HOST"]) == (1, "demo.postgres.database.usgovcloudapi.net")
    assert "django-azpg[azure]" in notes
    assert "placeholder" in notes


def test_from_service_connectors_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": HOST, "NAME": "shop", "USER": "aad_shop", "CLIENTID": "1-2-3"}.items():
        monkeypatch.setenv(f"AZURE_POSTGRESQL_{name}", value)
    _, printed, _ = azpg_setup()
    found = entry(printed)
    assert (found["HOST"], found["USER"], found["OPTIONS"]["azpg"]["auth"]) == (HOST, "aad_shop", "entra")
    assert "pgaadauth_create_principal('aad_shop', false, false)" in printed
    assert "GRANT CONNECT ON DATABASE shop TO aad_shop;" in printed


def test_a_password_in_the_environment_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": HOST, "NAME": "shop", "USER": "shop", "PASSWORD": "s3cret-of-the-shop"}.items():
        monkeypatch.setenv(f"AZURE_POSTGRESQL_{name}", value)
    out = "".join(azpg_setup()[1:])
    assert "s3cret" not in out
    assert "\\password shop" in out


def test_nothing_to_go_by() -> None:
    with pytest.raises(CommandError, match="see --help"):
        azpg_setup()


def test_help_teaches() -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-m", "django", "azpg_setup", "--help"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    for part in ("az postgres flexible-server show", "AZURE_POSTGRESQL_*", "Nothing is edited", "azpg_check --azure"):
        assert part in done.stdout


def test_postgresql_takes_the_sql(own_server: LocalPostgres) -> None:
    """For the oddest names, too. Only Azure has pgaadauth."""
    wanted = draft.Wanted("azpg_backend", 'Shop "1"', "O'Hara \\ x", entra=False)
    statements = draft.sql(wanted).replace("\\password", "-- \\password")
    first, _, second = statements.partition("-- Then in")
    for each in first.split(";\n")[:-1]:
        own_server.sql(each)
    made = own_server.sql("SELECT rolname FROM pg_roles WHERE rolcanlogin AND rolname LIKE 'O%'")
    assert "O'Hara \\ x" in str(made)
    own_server.sql(second.partition("\n")[2])


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize(
    ("output", "status", "said"),
    [
        ("| true", 1, ""),
        ("> /dev/full", 2, "The report can't be written: No space left on device."),
        (">&-", 2, "The report can't be written: standard output is closed."),
        ("> code.py", 1, ""),
    ],
)
def test_an_output_that_takes_nothing_or_not_every_character(
    tmp_path: Path, output: str, status: int, said: str
) -> None:
    """It prints Python and SQL, which are UTF-8 whatever the code page of a pipe."""
    source = saved(tmp_path)
    command = f"'{sys.executable}' -m django azpg_setup '{source}' --database d\u00fcsseldorf {output}"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=tmp_path,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "PYTHONPATH": os.pathsep.join([str(root), *sys.path]),
            "PYTHONIOENCODING": "cp1252",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr
    if output.endswith(".py"):
        assert entry((tmp_path / "code.py").read_text("utf-8"))["NAME"] == "d\u00fcsseldorf"


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "0", "x"])
def test_a_time_that_is_none(text: str) -> None:
    with pytest.raises(CommandError, match=re.escape("from 0.1 to 3600")):
        azpg_setup("x", "--timeout", text)
