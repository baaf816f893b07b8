"""What README and the page of the check show is what the demo prints today."""

from __future__ import annotations

import re

import pytest
from django.core.management import load_command_class
from django.db.backends.postgresql.psycopg_any import is_psycopg3

from tests.support.demo import demo
from tests.support.examples import Example, run_by

# What differs from run to run, and is as long each time.
CHANGING = (
    (r"azpg-demo-\w{8}", "azpg-demo-XXXXXXXX"),
    (r"/tmp/azpg-\w{8}/", "/tmp/azpg-XXXXXXXX/"),
    (r"127\.0\.0\.1:\d{5}|:\d{5}\b", "PORT"),
    (r"\d{4}-\d\d-\d\d", "DATE"),
    (r"\(\d+ ms\)", "(N ms)"),
    (r"(libpq|PostgreSQL) \d\d\.\d+", r"\1 X"),
)


def steady(text: str) -> str:
    for pattern, stable in CHANGING:
        text = re.sub(pattern, stable, text)
    return text


def output_of(*arguments: str) -> str:
    with demo(*arguments, env={"TMPDIR": "/tmp"}) as process:
        said, _ = process.communicate(timeout=100)
    assert process.returncode == 0, said
    return str(said)


@pytest.fixture(scope="module")
def printed() -> str:
    return steady(output_of() + output_of("--faults"))


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.skipif(is_psycopg3, reason="the pages show the default driver's libpq")
@pytest.mark.parametrize(
    "example",
    run_by("tests/docs/test_outputs.py::test_a_page_shows_what_the_demo_prints"),
    ids=lambda each: each.name,
)
def test_a_page_shows_what_the_demo_prints(example: Example, printed: str) -> None:
    assert steady(example.text) in printed


def test_the_synopsis_has_every_option() -> None:
    (synopsis,) = run_by("tests/docs/test_outputs.py::test_the_synopsis_has_every_option")
    parser = load_command_class("azpg_backend", "azpg_check").create_parser("manage.py", "azpg_check")
    own = {flag for action in parser._actions for flag in action.option_strings if flag.startswith("--")}
    django = {"--help", "--version", "--settings", "--pythonpath", "--traceback", "--no-color", "--force-color"}
    django |= {"--verbosity", "--skip-checks"}
    assert set(re.findall(r"--[a-z-]+", synopsis.text)) == own - django
