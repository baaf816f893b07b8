"""The formats of the check's report, each read by something that this project did not write."""

from __future__ import annotations

import datetime
import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Any

import jsonschema
import junitparser
import pytest
from django.core.management import CommandError, call_command
from prometheus_client.parser import text_string_to_metric_families

from azpg_backend.diagnosis import formats
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.report import STEPS, DatabaseReport, Status, failed, passed, skipped
from azpg_backend.errors.redact import printable
from demo_project.localpg import LocalPostgres
from tests.support.settings import SettingsFor

Databases = Callable[..., None]

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = DOCS / "azpg_check.schema.json"
# Whatever a settings file, a server or a certificate could hold against a format.
HOSTILE = 'a<b>&"c\'\\ ]]>\n::error::x %0A, {y="z"} \x1b[31m \x00 \u202e \U0001f600 # HELP'


def reports() -> list[DatabaseReport]:
    """One alias that passes, one that warns, one that fails, all of them with hostile names."""
    good = [passed(step, "well") for step in STEPS]
    failing = [passed("settings", HOSTILE), failed("ca.file_invalid", HOSTILE, HOSTILE)]
    failing += [skipped(step, "needs ca") for step in STEPS[2:]]
    warning = list(good)
    warning[1] = failed("ca.root_missing", "lacks one", "add it")
    warning[1] = type(warning[1])(**{**vars(warning[1]), "status": Status.WARN})
    named = [("good", good), ("warned\n", warning), (HOSTILE, failing)]
    return [
        DatabaseReport(alias, "host.example.org", 5432, f"psql {HOSTILE}", tuple(steps), 12.5) for alias, steps in named
    ]


def command(*arguments: str) -> tuple[int, str]:
    out = StringIO()
    try:
        call_command("azpg_check", "--offline", *arguments, stdout=out)
    except SystemExit as end:
        return int(end.code or 0), out.getvalue()
    return 0, out.getvalue()


@pytest.fixture
def mixed(databases: Databases, server: LocalPostgres, settings_for: SettingsFor) -> None:
    """One alias that warns only of its own root, one that cannot log in."""
    databases(default=settings_for(server), other=settings_for(server, PASSWORD="wrong"))


@pytest.mark.parametrize("level", [Status.FAIL, Status.WARN])
def test_junit_by_junitparser(level: Status) -> None:
    text = formats.render("junit", Outcome(reports(), level))
    document = junitparser.JUnitXml.fromstring(text.encode())
    suites = list(document)
    assert [suite.name for suite in suites][0] == "good"
    assert document.tests == 24
    assert document.failures == (1 if level is Status.FAIL else 2)
    assert document.skipped == 6
    for suite in suites:
        assert [case.name for case in suite] == list(STEPS)
        assert suite.failures == sum(isinstance(r, junitparser.Failure) for case in suite for r in case.result)
    last = list(suites[2])[1].result[0]
    assert last.type == "ca.file_invalid"
    assert "docs/codes.md#cafile_invalid" in last.text


def test_prometheus_by_its_own_client() -> None:
    outcome = Outcome(reports(), Status.WARN)
    families = {each.name: each for each in text_string_to_metric_families(formats.render("prometheus", outcome))}
    success = {sample.labels["alias"]: sample.value for sample in families["azpg_check_success"].samples}
    assert success == {"good": 1, "warned\n": 0, HOSTILE: 0}
    steps = families["azpg_check_step_success"].samples
    (bad,) = [each for each in steps if not each.value and each.labels["alias"] == HOSTILE]
    assert bad.labels == {"alias": HOSTILE, "step": "ca", "code": "ca.file_invalid"}
    for family in families.values():
        assert family.type == "gauge"
        assert family.documentation
        assert re.fullmatch(r"azpg_check_[a-z_]+", family.name)
        assert not family.name.endswith(("_total", "_ms"))
    assert families["azpg_check_last_run_timestamp_seconds"].samples[0].value == outcome.checked_at.timestamp()


def test_prometheus_has_the_first_end_of_a_chain(
    databases: Databases, server: LocalPostgres, settings_for: SettingsFor
) -> None:
    databases(default=settings_for(server))
    text = command("--format", "prometheus")[1]
    document = json.loads(command("--format", "json")[1])
    families = {each.name: each for each in text_string_to_metric_families(text)}
    (sample,) = families["azpg_check_certificate_expiry_timestamp_seconds"].samples
    chain = document["databases"][0]["steps"][5]["detail"]["chain"]
    assert sample.value == min(datetime.datetime.fromisoformat(each["not_after"]).timestamp() for each in chain)


@pytest.mark.parametrize("interrupted", [False, True])
def test_json_by_its_schema(interrupted: bool) -> None:
    schema = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    checker = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    document = json.loads(formats.render("json", Outcome(reports(), interrupted=interrupted)))
    checker.validate(document)
    document["databases"][0]["steps"][0]["status"] = "maybe"
    assert not checker.is_valid(document)


def test_json_of_a_real_check_by_check_jsonschema(mixed: None, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    command("--format", "json", "--output", str(path))
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--schemafile", SCHEMA, path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def unescaped(text: str) -> str:
    """As a runner of GitHub reads it (actions/runner, ActionCommand.cs)."""
    for code, character in (("%0D", "\r"), ("%0A", "\n"), ("%3A", ":"), ("%2C", ","), ("%25", "%")):
        text = text.replace(code, character)
    return text


def test_github_annotations() -> None:
    text = formats.render("github", Outcome(reports()))
    lines = text.splitlines()
    parts = [re.fullmatch(r"::(error|warning|notice) title=([^:,]*)::(.*)", line) for line in lines]
    assert all(parts), text
    assert [found[1] for found in parts if found] == ["error", "warning", "notice"]
    first = parts[0]
    assert first is not None
    assert unescaped(first[2]) == f"{printable(HOSTILE)}: ca.file_invalid"
    # A log of GitHub's takes colours from it.
    assert all(line.isprintable() for line in lines)
    assert "docs/codes.md#cafile_invalid" in first[3]


def test_a_warning_that_counts_is_an_error_for_github() -> None:
    text = formats.render("github", Outcome(reports(), Status.WARN))
    assert text.count("::error ") == 2


def test_several_at_once(mixed: None, tmp_path: Path) -> None:
    arguments: list[str] = []
    for name in formats.RENDERERS:
        arguments += ["--format", name, "--output", str(tmp_path / name)]
    status, text = command(*arguments)
    assert status == 1
    # The terminal has text as well.
    assert re.search(r"^other .*\n\n  settings +ok", text, re.MULTILINE)
    for name in formats.RENDERERS:
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644
        assert (tmp_path / name).read_text("utf-8", "strict").strip()
    assert sorted(each.name for each in tmp_path.iterdir()) == sorted(formats.RENDERERS)
    assert json.loads((tmp_path / "json").read_text())["ok"] is False
    assert "\x1b" not in (tmp_path / "text").read_text()


def test_one_on_standard_output(mixed: None, tmp_path: Path) -> None:
    path = tmp_path / "b.xml"
    status, text = command("--format", "junit", "--output", str(path), "--format", "json")
    assert json.loads(text)["version"] == 1
    assert junitparser.JUnitXml.fromfile(str(path)).failures == 1


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16"])
@pytest.mark.parametrize("form", sorted({*formats.RENDERERS} - {"text"}))
def test_a_report_for_machines_is_utf_8_in_a_pipe(databases: Databases, form: str, encoding: str) -> None:
    """Windows gives a pipe its code page, and an XML or Prometheus document in that can't be read."""
    alias = "d\u00fcsseldorf \u6771\u4eac"
    databases(default={"ENGINE": "azpg_backend"}, **{alias: {"ENGINE": "azpg_backend", "HOST": "nowhere.invalid"}})
    raw = BytesIO()
    output = TextIOWrapper(raw, encoding=encoding)
    with pytest.raises(SystemExit):
        call_command("azpg_check", alias, "--offline", "--format", form, "--only", "settings", "dns", stdout=output)
    text = raw.getvalue().decode("utf-8")
    assert alias in (json.loads(text)["databases"][0]["alias"] if form == "json" else text)
    if form == "junit":
        assert [each.name for each in junitparser.JUnitXml.fromstring(raw.getvalue())] == [alias]


def test_a_report_replaces_the_one_before(mixed: None, tmp_path: Path) -> None:
    real, link = tmp_path / "real.json", tmp_path / "link.json"
    real.write_text("old")
    real.chmod(0o600)
    link.symlink_to(real)
    command("--format", "json", "--output", str(link))
    assert link.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o600
    assert json.loads(real.read_text())["version"] == 1


@pytest.mark.parametrize(
    ("arguments", "kinds"),
    [
        (["--output", "{}/a", "--format", "json"], ["json"]),
        (["--output", "{}/a"], ["text"]),
        (["--output", "{}/a", "--format", "json", "--output", "{}/b", "--format", "junit"], ["json", "junit"]),
        (["--format", "json", "--output", "{}/a", "--output", "{}/b", "--format", "junit"], ["json", "junit"]),
        (["--output", "{}/a", "--format", "json", "--format", "junit", "--output", "{}/b"], ["json", "junit"]),
    ],
)
def test_either_order_makes_a_pair(mixed: None, tmp_path: Path, arguments: list[str], kinds: list[str]) -> None:
    command(*[each.format(tmp_path) for each in arguments])
    written = [path.read_text() for path in sorted(tmp_path.iterdir())]
    found = ["json" if text.startswith("{") else "junit" if text.startswith("<?xml") else "text" for text in written]
    assert found == kinds


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--format", "json", "--output", "{}/a", "--output", "{}/b"], "b has no --format beside it"),
        (["--output", "{}/a", "--output", "{}/b", "--format", "json"], "a' has no --format beside it"),
        (["--format", "json", "--format", "text"], "only one report can go to standard output"),
        (["--format", "json", "--output", "{}/a", "--format", "text", "--output", "{}/./a"], "is there twice"),
        (["--format", "json", "--output", "{}/no/a"], "there is no folder"),
        (["--format", "json", "--output", "{}"], "is a folder"),
        (["--format", "json", "--output", "/dev/full"], "is not a file"),
        (["--format", "json", "--output", ""], "not the path"),
        (["--format", "yaml"], "yaml"),
        (["--list-codes", "--format", "junit"], "text or json"),
        (["--list-codes", "--announcements", "a.json"], "leave out --announcements"),
        (["--list-codes", "--format", "json", "--output", "{}/a"], "standard output"),
    ],
)
def test_what_is_refused(databases: Databases, tmp_path: Path, arguments: list[str], part: str) -> None:
    with pytest.raises(CommandError, match=re.escape(part)):
        command(*[each.format(tmp_path) for each in arguments])
    assert list(tmp_path.iterdir()) == []


def test_a_pipe_is_no_file(databases: Databases) -> None:
    reader, writer = os.pipe()
    try:
        with pytest.raises(CommandError, match="is not a file. For standard output leave out --output"):
            command("--format", "json", "--output", f"/dev/fd/{writer}")
    finally:
        os.close(reader)
        os.close(writer)


def manage(*arguments: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a program.

    limit: bytes that it may write into one file.
    """

    def cap() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "django", "azpg_check", "--offline", "--timeout", "0.2", *arguments],
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "demo_project.settings",
            "PYTHONPATH": os.pathsep.join([str(DOCS.parent), *sys.path]),
            "PYTHONDONTWRITEBYTECODE": "1",
            **{f"AZURE_POSTGRESQL_{key}": "nowhere.invalid" for key in ("HOST", "NAME", "USER", "PASSWORD")},
        },
        cwd=DOCS.parent,
        capture_output=True,
        text=True,
        preexec_fn=cap,
        check=False,
    )


def test_a_full_disk_is_exit_2_and_changes_nothing(tmp_path: Path) -> None:
    """A limit on a file's size stands for the disk: the kernel refuses the write in the same place."""
    old = tmp_path / "a.json"
    old.write_text("old")
    done = manage("--format", "json", "--output", str(old), limit=100)
    assert done.returncode == 2, done.stderr
    assert f"{old} can't be written (File too large)" in done.stderr
    assert old.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["a.json"]
    # The report is not lost.
    assert "dns" in done.stdout


def test_one_that_fails_does_not_keep_the_others(mixed: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from azpg_backend.trust import writing

    real = writing.write_over

    def write(path: str, data: bytes) -> None:
        if path.endswith("first"):
            raise OSError(28, "No space left on device")
        real(path, data)

    monkeypatch.setattr(writing, "write_over", write)
    outputs: list[Any] = ["--format", "json", "--output", str(tmp_path / "first")]
    outputs += ["--format", "json", "--output", str(tmp_path / "second")]
    with pytest.raises(CommandError, match="first can't be written .No space left on device.") as caught:
        command(*outputs)
    assert caught.value.returncode == 2
    assert json.loads((tmp_path / "second").read_text())["version"] == 1


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(CommandError, match="may not write"):
        command("--format", "json", "--output", str(tmp_path / "a"))
