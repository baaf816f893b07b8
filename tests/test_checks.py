"""System checks: the engine's own words, under the ids that docs/codes.md lists."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core import checks
from django.db import connections
from django.test import override_settings

from azpg_backend import trust
from demo_project.localpg import Authority
from tests.support.settings import HOST

Databases = Callable[..., None]
AZURE = {"ENGINE": "azpg_backend", "NAME": "app", "USER": "me", "HOST": HOST}
PGBOUNCER = {"PORT": "6432", "DISABLE_SERVER_SIDE_CURSORS": True}


def ids(databases: Databases, settings: dict[str, Any]) -> list[str | None]:
    databases(default=settings)
    return [message.id for message in checks.run_checks(tags=["azpg"])]


def test_good_settings(databases: Databases) -> None:
    assert ids(databases, AZURE) == []


@pytest.mark.parametrize(
    ("changes", "identifier"),
    [
        ({"OPTIONS": {"sslmode": "disable"}}, "azpg.E001"),
        ({"OPTIONS": {"sslmode": "require"}}, "azpg.W015"),
        ({"OPTIONS": {"azpg": {"nope": 1}}}, "azpg.E002"),
        ({"HOST": ""}, "azpg.E003"),
        ({"OPTIONS": {"azpg": {"plaintext_on_loopback": True}}}, "azpg.E004"),
        ({"OPTIONS": {"sslmode": "verify-ca"}}, "azpg.W001"),
        ({"HOST": "10.0.0.4"}, "azpg.W002"),
        ({"USER": "me@demo"}, "azpg.W003"),
        ({"PORT": "6432"}, "azpg.W004"),
        ({**PGBOUNCER, "OPTIONS": {"options": "-c a=b"}}, "azpg.W005"),
        ({"CONN_MAX_AGE": 60}, "azpg.W006"),
        ({**PGBOUNCER, "OPTIONS": {"assume_role": "owner"}}, "azpg.W012"),
        ({**PGBOUNCER, "OPTIONS": {"channel_binding": "require"}}, "azpg.W013"),
        ({**PGBOUNCER, "OPTIONS": {"prepare_threshold": 5}}, "azpg.W014"),
        ({"PASSWORD": "x", "OPTIONS": {"azpg": {"auth": "entra"}}}, "azpg.E006"),
        ({"OPTIONS": {"sslmode": "verify-ca", "azpg": {"auth": "entra"}}}, "azpg.E007"),
        ({"OPTIONS": {"sslrootcert": "system"}}, "azpg.W007"),
        ({"OPTIONS": {"sslrootcert": "/nowhere/ca.pem"}}, "azpg.W008"),
    ],
)
def test_each_mistake_has_its_id(databases: Databases, changes: dict[str, Any], identifier: str) -> None:
    assert ids(databases, {**AZURE, **changes}) == [identifier]
    (message,) = checks.run_checks(tags=["azpg"])
    assert "default" in message.msg
    assert message.hint
    assert f"### `{identifier}`" in (Path(__file__).parent.parent / "docs" / "codes.md").read_text("utf-8")


def test_asgi_is_seen_after_the_alias_has_connected(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its plan is kept by then, and no setting of the alias has changed."""
    assert ids(databases, {**AZURE, "CONN_MAX_AGE": 60}) == ["azpg.W006"]
    assert [each.id for each in connections["default"].plan().problems] == ["azpg.W006"]
    with override_settings(ASGI_APPLICATION="site.asgi.application"):
        assert [each.id for each in checks.run_checks(tags=["azpg"])] == ["azpg.W019"]


def test_the_ca_file_is_looked_into(databases: Databases, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    settings = {**AZURE, "OPTIONS": {"sslrootcert": path}}
    path.write_bytes(Path(trust.BUNDLE).read_bytes())
    assert ids(databases, settings) == []
    path.write_text("<html>")
    assert ids(databases, settings) == ["azpg.E005"]
    root = Authority.root("Own")
    path.write_text(root.pem)
    assert ids(databases, settings) == ["azpg.W009"]
    path.write_text(Path(trust.BUNDLE).read_text() + root.issue_ca("Issuing").pem)
    assert ids(databases, settings) == ["azpg.W010"]


def test_a_file_that_does_not_exist_yet(databases: Databases, tmp_path: Path) -> None:
    assert ids(databases, {**AZURE, "OPTIONS": {"sslrootcert": str(tmp_path / "new.pem")}}) == ["azpg.W008"]
    # azpg_check never writes to a relative path, so its warning is the only one.
    assert ids(databases, {**AZURE, "OPTIONS": {"sslrootcert": "certs/new.pem"}}) == ["azpg.W018"]


def test_a_token_without_azure_identity(databases: Databases, monkeypatch: pytest.MonkeyPatch) -> None:
    entra = {"auth": "entra"}
    assert ids(databases, {**AZURE, "OPTIONS": {"azpg": entra}}) == []
    monkeypatch.setattr("azpg_backend.checks._is_installed", lambda module: False)
    assert ids(databases, {**AZURE, "OPTIONS": {"azpg": entra}}) == ["azpg.E008"]
    own = {**entra, "credential": "my.package.Credential"}
    assert ids(databases, {**AZURE, "OPTIONS": {"azpg": own}}) == []
    assert ids(databases, AZURE) == []


def test_other_engines_are_none_of_our_business(databases: Databases) -> None:
    assert ids(databases, {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}) == []


@pytest.mark.parametrize("statement", ["import azpg_backend.base", "import django; django.setup()"])
def test_loading_the_engine_is_light(statement: str) -> None:
    """What azpg_check and the CA files need must not cost every process that only wants a connection."""
    program = (
        "import sys; import django.conf; "
        "django.conf.settings.configure(INSTALLED_APPS=['azpg_backend'], DATABASES={'default': {'ENGINE': "
        "'azpg_backend', 'NAME': 'a', 'HOST': 'a.postgres.database.azure.com'}}); "
        f"{statement}; from django.db import connection; connection.get_connection_params(); "
        "from django.core import checks; checks.run_checks(tags=['azpg']); "
        "print(sorted({name.partition('.')[0] for name in sys.modules} & "
        "{'requests', 'cryptography', 'OpenSSL', 'azure', 'urllib3', 'ssl'}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in {"[]", "['ssl']"}
