"""The SQL of the documentation, run as it stands by the administrator of a real server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from demo_project.localpg import Chain, LocalPostgres
from tests.support.examples import Example, run_by

EXAMPLES = run_by("tests/docs/test_sql.py::test_the_sql_of_a_page")
PAGES = sorted({each.page for each in EXAMPLES})
# Stand-ins for what Azure adds to PostgreSQL.
AZURE = """
CREATE FUNCTION pgaadauth_create_principal(name text, is_admin boolean, is_mfa boolean) RETURNS text LANGUAGE plpgsql
AS $$ BEGIN EXECUTE format('CREATE ROLE %I LOGIN', name); RETURN name; EXCEPTION WHEN duplicate_object THEN RETURN name;
END $$;
CREATE FUNCTION pgaadauth_create_principal_with_oid(
    name text, oid text, type text, is_admin boolean, is_mfa boolean) RETURNS text LANGUAGE sql
AS $$ SELECT pgaadauth_create_principal(name, is_admin, is_mfa) $$;
"""


@pytest.fixture
def azure_server(chain: Chain) -> Iterator[LocalPostgres]:
    with LocalPostgres(chain) as server:
        server.sql("CREATE DATABASE app")
        server.sql(AZURE, "app")
        yield server


@pytest.mark.parametrize("page", PAGES)
def test_the_sql_of_a_page(page: str, azure_server: LocalPostgres) -> None:
    def makes_no_role(example: Example) -> bool:
        return "create_principal" not in example.text

    for example in sorted((each for each in EXAMPLES if each.page == page), key=makes_no_role):
        azure_server.sql(example.text, "app")
