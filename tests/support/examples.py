"""Every fenced block of README and the documentation, and which test runs it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
DOCUMENTS = [*PAGES, *sorted(ROOT.glob("*.md"))]
_FENCE = re.compile(r"^(?P<indent> *)```(?P<language>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```$", re.DOTALL | re.MULTILINE)


class Example(NamedTuple):
    """A fenced block.

    page: its path from the root of the checkout, with slashes.
    heading: the nearest heading above it.
    language: "sh" where the fence names none.
    """

    page: str
    line: int
    heading: str
    language: str
    text: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def is_fragment(self) -> bool:
        """Whether it shows some keys of a DATABASES entry, and is no program."""
        return self.language == "python" and self.text.lstrip().startswith('"')


class Run(NamedTuple):
    """What runs a kind of block.

    page, heading: of the blocks; "*" for any.
    by: the test's file and function, or why no test can run it, in words.
    """

    page: str
    heading: str
    language: str
    by: str

    def takes(self, example: Example) -> bool:
        wanted = (self.page, self.heading, self.language)
        return all(each in ("*", own) for each, own in zip(wanted, (example.page, *example[2:4]), strict=True))

    @property
    def is_reason(self) -> bool:
        return not self.by.startswith("tests/")


_PIPELINES = "tests/test_pipelines.py::"
_ENTRA = "tests/entra/test_document.py::test_a_page_can_be_followed_to_the_end"
_ENVIRONMENT = "tests/from_environment/test_document.py::test_an_example"
_LOCAL = "tests/from_environment/test_local_development.py::"
_START = "tests/docs/test_start.py::test_from_an_empty_folder_to_the_first_migrate"
_OUTPUT = "tests/docs/test_outputs.py::test_a_page_shows_what_the_demo_prints"
# Sessions of their own run these: nox -s packages.
_RECIPES = (
    ("An engine that is hard-wired to Django's", "django_pg_zero_downtime_migrations.py::test_columns_and_an_index"),
    ("django-prometheus", "django_prometheus.py::test_counters"),
    ("django-db-connection-pool", "django_db_connection_pool.py::test_a_token"),
    ("django-db-geventpool", "django_db_geventpool.py::test_a_token"),
    ("django-dbbackup", "django_dbbackup.py::test_recipe_with_a_token"),
    ("django-extensions", "django_extensions.py::test_reset_db"),
    ("procrastinate", "procrastinate.py::test_recipe_with_a_token"),
    ("channels-postgres", "channels_postgres.py::test_recipe"),
    ("psycopg-pool", "psycopg_pool.py::test_pool"),
    ("sqlalchemy", "sqlalchemy.py::test_recipe"),
)
_TOLD = "tests/telemetry/test_document.py::"
_IDENTITIES = (
    "User-assigned managed identity",
    "System-assigned managed identity",
    "Service principal",
    "Workload identity (Kubernetes, GitHub Actions)",
    "User",
    "Group",
)

# The first row that takes a block says who runs it. A block that has its own test, or that can't be run here, has its
# own row; the last rows run whatever is written in a language, on any page.
RUNS = (
    Run("docs/pipelines.md", "GitHub Actions", "yaml", _PIPELINES + "test_github_actions"),
    Run("docs/pipelines.md", "Azure DevOps", "yaml", _PIPELINES + "test_azure_devops"),
    Run("docs/pipelines.md", "An init container", "yaml", _PIPELINES + "test_the_init_container"),
    Run("docs/pipelines.md", "Prometheus", "*", _PIPELINES + "test_prometheus"),
    Run("docs/pipelines.md", "Nagios", "sh", _PIPELINES + "test_nagios"),
    Run("docs/pipelines.md", "A fleet", "sh", _PIPELINES + "test_the_others"),
    Run("docs/pipelines.md", "A ticket", "sh", _PIPELINES + "test_the_others"),
    *(Run("docs/entra.md", each, "python", _ENTRA) for each in _IDENTITIES),
    Run(
        "docs/settings.md",
        "Settings from the environment",
        "python",
        _ENVIRONMENT.replace("an_example", "the_first_snippet"),
    ),
    Run(
        "docs/settings.md",
        "dj-database-url, django-environ",
        "python",
        _ENVIRONMENT.replace("an_example", "the_snippet_for_dj_database_url"),
    ),
    Run("docs/settings.md", "*", "ini", _ENVIRONMENT),
    Run("docs/settings.md", "*", "python", _ENVIRONMENT),
    Run("README.md", "Local development", "python", _LOCAL + "test_readme_has_the_same_snippet"),
    Run("docs/local-development.md", "Local development", "python", _LOCAL + "test_on_a_laptop"),
    Run("docs/local-development.md", "On a laptop", "ini", _LOCAL + "test_in_docker_compose_or_in_ci"),
    Run("docs/local-development.md", "On Azure", "ini", _LOCAL + "test_the_variables_of_azure"),
    Run("docs/codes.md", "*", "python", "tests/docs/test_settings.py::test_what_is_wrong_gets_its_code"),
    Run(
        "docs/replicas.md",
        "A router, and reading your own writes",
        "*",
        "tests/docs/test_replicas.py::test_read_your_writes",
    ),
    Run("docs/start.md", "4. Point Django at it", "*", _START),
    Run("docs/start.md", "5. Check, then migrate", "sh", _START),
    Run("docs/elastic-clusters.md", "Tenants", "python", "tests/docs/test_elastic_clusters.py::test_tenants"),
    *(Run("docs/composition.md", heading, "*", f"tests/packages/{by}") for heading, by in _RECIPES),
    Run("docs/observability.md", "Log records", "python", _TOLD + "test_the_logging_configuration"),
    Run("docs/observability.md", "Metrics", "python", _TOLD + "test_metrics_need_nothing_but_a_provider"),
    Run("docs/observability.md", "Health check", "python", _TOLD + "test_the_health_check_is_served"),
    Run("docs/support.md", "Without psycopg2", "toml", "it needs a package index: nox -s without_psycopg2 runs it"),
    Run("docs/architecture.md", "Architecture", "text", "it is a picture"),
    Run("docs/rotation.md", "The chains of today", "text", "it is a picture"),
    Run(
        "docs/pooling.md",
        "gevent",
        "python",
        "tests/connect/test_app_servers.py::test_a_greenlet_that_waits_for_a_silent_server_keeps_no_other_from_its_own",
    ),
    Run("docs/pooling.md", "Count first", "text", "it is a formula"),
    Run("docs/resilience.md", "One deadline", "text", "it is a formula"),
    Run("README.md", "Check", "text", _OUTPUT),
    Run("docs/check.md", "The check", "text", "tests/docs/test_outputs.py::test_the_synopsis_has_every_option"),
    Run("docs/check.md", "What it prints", "text", _OUTPUT),
    Run("*", "*", "sh", "tests/docs/test_commands.py::test_commands"),
    Run("docs/round-trips.md", "The HelloRetryRequest", "ini", "tests/docs/test_formats.py::test_openssl_conf"),
    Run("*", "*", "sql", "tests/docs/test_sql.py::test_the_sql_of_a_page"),
    Run("*", "*", "yaml", "tests/docs/test_formats.py::test_yaml"),
    Run("*", "*", "json", "tests/docs/test_formats.py::test_json"),
    Run("*", "*", "python", "tests/docs/test_settings.py::test_settings"),
)


def runner(example: Example) -> Run | None:
    """Return who runs a block, or why nobody can; None if that is not said."""
    return next((run for run in RUNS if run.takes(example)), None)


@cache
def examples() -> tuple[Example, ...]:
    """Return every block but sphinx's own directives, page by page."""
    return tuple(example for path in DOCUMENTS for example in _of(path))


def run_by(test: str) -> list[Example]:
    """Return the blocks that a test has to run; test: its file and function, as RUNS has them."""
    return [example for example in examples() if (run := runner(example)) and run.by == test]


def _of(path: Path) -> Iterator[Example]:
    text = path.read_text("utf-8")
    for found in _FENCE.finditer(text):
        language = found["language"].strip() or "sh"
        if language.startswith("{"):
            continue
        above = re.sub(_FENCE, "", text[: found.start()])
        headings = re.findall(r"^#+ (.*)$", above, re.MULTILINE)
        line = text.count("\n", 0, found.start()) + 1
        page = path.relative_to(ROOT).as_posix()
        code = re.sub(f"^{found['indent']}", "", found["text"], flags=re.MULTILINE)
        yield Example(page, line, headings[-1] if headings else "", language, code)
