"""Whether an alias is meant to write: as its settings say, and never its name."""

from __future__ import annotations

from typing import Any

import pytest

from azpg_backend.plan.decision import decide
from tests.support.plans import HOST, planned

READER = "mydemoserver.reader.postgres.database.azure.com"


@pytest.mark.parametrize(
    ("options", "changes", "environ"),
    [
        ({}, {"HOST": READER}, {}),
        ({}, {"HOST": READER.upper()}, {}),
        ({}, {"HOST": f"{HOST},{READER}"}, {}),
        ({}, {"HOST": ""}, {"PGHOST": READER}),
        ({"target_session_attrs": "standby"}, {}, {}),
        ({"target_session_attrs": "prefer-standby"}, {}, {}),
        ({"target_session_attrs": "read-only"}, {}, {}),
        ({"target_session_attrs": "any"}, {}, {}),
        ({}, {}, {"PGTARGETSESSIONATTRS": "standby"}),
        ({"options": "-c default_transaction_read_only=on"}, {}, {}),
        ({"options": "-cdefault_transaction_read_only=TRUE"}, {}, {}),
        ({"options": "--default-transaction-read-only=1"}, {}, {}),
        ({"options": "-c jit=off -c Default_Transaction_Read_Only=yes"}, {}, {}),
        ({}, {}, {"PGOPTIONS": "-c default_transaction_read_only=on"}),
        ({}, {"TEST": {"MIRROR": "primary"}}, {}),
    ],
)
def test_an_alias_for_reading(options: dict[str, Any], changes: dict[str, Any], environ: dict[str, str]) -> None:
    assert not planned(options, environ, **changes).writes


@pytest.mark.parametrize(
    ("options", "changes", "environ"),
    [
        ({}, {}, {}),
        ({}, {"HOST": "reader.postgres.database.azure.com"}, {}),
        ({}, {"HOST": "mydemoserver.writer.postgres.database.azure.com"}, {}),
        ({}, {"HOST": "a.reader.example.org"}, {}),
        ({"target_session_attrs": "read-write"}, {}, {}),
        ({"target_session_attrs": "primary"}, {}, {}),
        ({"target_session_attrs": "primary"}, {}, {"PGTARGETSESSIONATTRS": "standby"}),
        ({"options": "-c default_transaction_read_only=off"}, {}, {}),
        ({"options": "-c default_transaction_read_only=on -c default_transaction_read_only=off"}, {}, {}),
        ({"options": "-c app.note=default_transaction_read_only=on"}, {}, {}),
        ({"options": "-c jit=off"}, {}, {"PGOPTIONS": "-c default_transaction_read_only=on"}),
        ({}, {"TEST": {"MIRROR": None}}, {}),
        ({}, {"TEST": {"MIRROR": "default"}}, {}),
    ],
)
def test_an_alias_that_writes(options: dict[str, Any], changes: dict[str, Any], environ: dict[str, str]) -> None:
    assert planned(options, environ, **changes).writes


def test_a_service_file_counts(tmp_path: Any) -> None:
    file = tmp_path / "services"
    file.write_text(f"[read]\nhost={HOST}\noptions=-c default_transaction_read_only=on\n")
    assert not planned({"service": "read"}, {"PGSERVICEFILE": str(file)}).writes


@pytest.mark.parametrize("alias", ["replica", "read_only", "standby", "reader"])
def test_the_alias_s_name_decides_nothing(alias: str) -> None:
    assert decide(alias, {"NAME": "app", "HOST": HOST, "USER": "me"}, environ={}).writes
