"""What an image build leaves out: a warning for ``manage.py check``, an error for whoever connects."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import connections
from django.db.utils import OperationalError

from tests.support.plans import HOST, ids, only, planned

Databases = Callable[..., None]
EMPTY = {"ENGINE": "azpg_backend", "NAME": "", "USER": "", "PASSWORD": "", "HOST": "", "PORT": ""}


@pytest.mark.parametrize(
    ("changes", "identifier"), [({"HOST": ""}, "azpg.E003"), ({"HOST": None}, "azpg.E003"), ({"NAME": ""}, "azpg.E009")]
)
def test_it_stays_an_error_for_connecting(changes: dict[str, Any], identifier: str) -> None:
    plan = planned(**changes)
    assert ids(plan) == [identifier]
    with pytest.raises(ImproperlyConfigured, match=identifier):
        plan.raise_errors()
    with pytest.raises(OperationalError, match=identifier):
        plan.raise_errors()


def test_a_real_mistake_beside_it_is_no_operational_error() -> None:
    plan = planned({"sslmode": "disable"}, HOST="")
    with pytest.raises(ImproperlyConfigured) as caught:
        plan.raise_errors()
    assert not isinstance(caught.value, OperationalError)


def test_check_and_makemigrations_pass(databases: Databases, capsys: pytest.CaptureFixture[str]) -> None:
    databases(default=EMPTY)
    messages = checks.run_checks(tags=["azpg"])
    assert {each.id for each in messages} == {"azpg.E003", "azpg.E009", "azpg.W017"}
    assert all(each.level == checks.WARNING for each in messages)
    call_command("check")
    with warnings.catch_warnings():
        # As with Django's own engine, which can't reach a server then either.
        warnings.simplefilter("ignore", RuntimeWarning)
        call_command("makemigrations", "azpg_backend", "--check", "--dry-run")
    capsys.readouterr()


def test_a_connection_fails_with_the_reason(databases: Databases) -> None:
    databases(default={**EMPTY, "NAME": "app"})
    with pytest.raises(ImproperlyConfigured, match=r"DATABASES\['default'\]\['HOST'\] is empty"):
        connections["default"].connect()


def test_a_host_from_elsewhere_counts(tmp_path: Any) -> None:
    file = tmp_path / "services"
    file.write_text(f"[azure]\nhost={HOST}\nuser=me\ndbname=app\n")
    assert planned(HOST="", environ={"PGHOST": HOST}).problems == ()
    elsewhere = planned({"service": "azure"}, {"PGSERVICEFILE": str(file)}, HOST="", NAME="", USER="")
    assert elsewhere.problems == ()
    assert elsewhere.endpoints[0].host == HOST
    assert elsewhere.user == "me"


@pytest.mark.parametrize(
    "content",
    ["", f"[Azure]\nhost={HOST}\n", f"\ufeff[azure]\nhost={HOST}\n", f"[azure \nhost={HOST}\n", "[azure]\nuser=me\n"],
    ids=["empty", "other case", "byte order mark", "no bracket", "no host"],
)
def test_a_service_that_was_to_name_the_host_is_named(tmp_path: Any, content: str) -> None:
    file = tmp_path / "services"
    file.write_text(content, encoding="utf-8")
    for options, environ in (({"service": "azure"}, {}), ({}, {"PGSERVICE": "azure"})):
        (problem,) = planned(options, {"PGSERVICEFILE": str(file), **environ}, HOST="").problems
        assert problem.id == "azpg.E003"
        assert "the connection service 'azure'" in problem.message
        assert "a section of exactly this name" in problem.hint
    assert "service" not in only(planned(HOST=""))


def test_an_empty_element_of_a_list_of_hosts() -> None:
    for host in (f"{HOST},,{HOST}", "localhost,"):
        plan = planned(HOST=host)
        assert ids(plan) == ["azpg.E003"]
        assert "a list with an empty element" in only(plan)


def test_no_user() -> None:
    plan = planned(USER="")
    assert ids(plan) == ["azpg.W017"]
    assert "the operating system's user" in only(plan)
    assert planned({"user": "me"}, USER="").problems == ()
    assert planned(USER="", environ={"PGUSER": "me"}).problems == ()
    assert planned({"azpg": {"auth": "entra"}}, USER="", PASSWORD="").problems == ()
    assert planned({"azpg": {"plaintext_on_loopback": True}}, USER="", HOST="/run/postgresql").problems == ()
