"""docs/scenarios.md is what the tests met, and nothing is missing in it."""

from __future__ import annotations

import re

from tests.support.cases import LOGIN_TEXTS, TLS_CASES
from tests.support.chains import CASES
from tests.support.diagnosis import DOCUMENT


def test_the_document_has_every_scenario_with_its_code() -> None:
    rows = re.findall(r"^\| (.+?) \| `(.+?)` \| (.+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    assert len(rows) == len(CASES) + len(TLS_CASES) + len(LOGIN_TEXTS) >= 60
    shown = {(name, code) for name, code, _ in rows}
    assert {(case.name, case.code) for case in CASES} <= shown
    assert {(name, code) for name, (_, code, _) in TLS_CASES.items()} <= shown
    for text, code in LOGIN_TEXTS:
        assert any(text in said and code == row_code for _, row_code, said in rows)
