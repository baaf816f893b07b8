"""A diagnosis as JUnit XML: a suite for each alias, a case for each step, as test reports of pipelines show them."""

from __future__ import annotations

import re
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from azpg_backend.diagnosis.documents import address_of
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.report import DatabaseReport, Status, StepResult

# What XML 1.0 can't hold, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def render(outcome: Outcome) -> str:
    """Return the whole report as one JUnit document."""
    whole = Element("testsuites", {"name": "azpg_check", **_counts(outcome, *outcome.reports)})
    whole.set("time", f"{outcome.seconds:.3f}")
    for report in outcome.reports:
        whole.append(_suite(report, outcome))
    ElementTree.indent(whole)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(whole, encoding="unicode")


def _counts(outcome: Outcome, *reports: DatabaseReport) -> dict[str, str]:
    steps = [step for report in reports for step in report.steps]
    return {
        "tests": str(len(steps)),
        "failures": str(sum(map(outcome.counts, steps))),
        "errors": "0",
        "skipped": str(sum(step.status is Status.SKIP for step in steps)),
    }


def _suite(report: DatabaseReport, outcome: Outcome) -> Element:
    suite = Element("testsuite", {"name": _text(report.alias), **_counts(outcome, report)})
    suite.set("time", f"{report.duration_ms / 1000:.3f}")
    suite.set("timestamp", outcome.checked_at.strftime("%Y-%m-%dT%H:%M:%S"))
    suite.set("hostname", _text(report.host))
    properties = SubElement(suite, "properties")
    found = {"psql": report.psql, "azpg_version": outcome.version or ""}
    if outcome.interrupted:
        found["interrupted"] = "true"
    for name, value in found.items():
        SubElement(properties, "property", name=name, value=_text(value))
    for step in report.steps:
        suite.append(_case(report.alias, step, outcome))
    return suite


def _case(alias: str, step: StepResult, outcome: Outcome) -> Element:
    case = Element("testcase", classname=_text(f"azpg_check.{alias}"), name=step.step)
    case.set("time", f"{step.duration_ms / 1000:.3f}")
    if outcome.counts(step):
        found = SubElement(case, "failure", type=step.code, message=_text(step.message))
        found.text = _text(_words(step))
    elif step.status is Status.SKIP:
        SubElement(case, "skipped", message=_text(step.message))
    else:
        SubElement(case, "system-out").text = _text(_words(step) if step.status is Status.WARN else step.message)
    return case


def _words(step: StepResult) -> str:
    lines = [
        f"{step.status.value.upper()} {step.code}: {step.message}",
        step.hint or "",
        f"See {address_of(step.code)}",
    ]
    return "\n".join(filter(None, lines))


def _text(text: str) -> str:
    return _NOT_XML.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)
