"""A diagnosis as one HTML page, which needs neither a network nor scripts: what needs a person first stands first."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from pathlib import Path
from typing import Any

from azpg_backend.diagnosis.documents import address_of
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.report import DatabaseReport, Status, StepResult
from azpg_backend.errors.redact import printable
from azpg_backend.trust import lifetime

_STYLE = Path(__file__).with_name("report.css")
_WORDS = {Status.PASS: "ok", Status.WARN: "WARN", Status.FAIL: "FAIL", Status.SKIP: "skip"}
_GROUPS = {
    Status.FAIL: "These fail",
    Status.WARN: "These work, with warnings",
    Status.PASS: "These are well",
}
# Aliases that are shown unfolded; with more of them the page is a list.
_UNFOLDED = 5


def render(outcome: Outcome) -> str:
    """Return the whole report as one page."""
    return "\n".join(["<!DOCTYPE html>", '<html lang="en">', *_head(), "<body>", *_body(outcome), "</body>", "</html>"])


def _head() -> Iterator[str]:
    yield '<head><meta charset="utf-8"><title>azpg_check</title>'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">'
    # Nothing in a report can load anything, whatever it is.
    yield "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    yield f"<style>{_STYLE.read_text('utf-8')}</style></head>"


def _body(outcome: Outcome) -> Iterator[str]:
    groups: dict[Status, list[DatabaseReport]] = {status: [] for status in _GROUPS}
    for report in outcome.reports:
        groups[_status(report)].append(report)
    yield "<header><h1>azpg_check</h1>"
    took = f"{outcome.seconds:.1f} s" if outcome.seconds else ""
    when = f"{outcome.checked_at:%Y-%m-%d %H:%M} UTC"
    about = [when, took, f"django-azpg {outcome.version}" if outcome.version else ""]
    yield f'<p class="soft">{escape(", ".join(filter(None, about)))}</p>'
    if outcome.interrupted:
        yield '<p class="fail">Interrupted: the steps marked "not reached" were not looked at.</p>'
    yield '<ul class="counts">'
    for status, word in ((Status.FAIL, "failed"), (Status.WARN, "with warnings"), (Status.PASS, "ok")):
        yield f'<li><b class="{status.value}">{len(groups[status])}</b> {word}</li>'
    yield f"</ul>{_codes(outcome)}</header><main>"
    for status, title in _GROUPS.items():
        if groups[status]:
            yield f"<h2>{title}</h2>"
            unfolded = status is not Status.PASS and len(groups[status]) <= _UNFOLDED
            for report in sorted(groups[status], key=_urgency):
                yield from _alias(report, status, unfolded, outcome.checked_at)
    yield "</main>"


def _status(report: DatabaseReport) -> Status:
    worst = report.worst.status
    return Status.PASS if worst is Status.SKIP else worst


def _urgency(report: DatabaseReport) -> tuple[Any, ...]:
    """Sort by the step that failed first, then by the day on which something ends, then by name."""
    first = [step.step for step in report.steps].index(report.worst.step)
    forecast = _certificate(report).get("forecast") or {}
    breaks = forecast.get("date") if forecast.get("verdict") == "breaks" else None
    chain = _certificate(report).get("chain", [])
    return first, breaks or "9999", min((each["not_after"] for each in chain), default="9999"), report.alias


def _certificate(report: DatabaseReport) -> Mapping[str, Any]:
    return next((each.detail for each in report.steps if each.step == "certificate"), {})


def _codes(outcome: Outcome) -> str:
    """Return how often each code was found, if there are aliases enough for that to be of use."""
    found = Counter(
        step.code for report in outcome.reports for step in report.steps if step.status in {Status.WARN, Status.FAIL}
    )
    if len(outcome.reports) <= _UNFOLDED or not found:
        return ""
    rows = (f"<li>{count} &times; <code>{escape(code)}</code></li>" for code, count in found.most_common())
    return f'<ul class="codes">{"".join(rows)}</ul>'


def _alias(report: DatabaseReport, status: Status, unfolded: bool, now: datetime.datetime) -> Iterator[str]:
    where = f"{report.host}:{report.port}" if report.host else ""
    worst = report.worst
    said = f"{worst.code}: {worst.message}" if status is not Status.PASS else where
    yield f"<details{' open' if unfolded else ''}><summary>"
    yield f'<b class="{status.value}">{_WORDS[status]}</b><b>{_text(report.alias)}</b>'
    yield f"<span>{_text(said)}</span></summary>"
    yield f'<div class="body"><p class="soft">{_text(where)}</p>'
    yield from _chain(report, now)
    yield "<table>"
    for step in report.steps:
        yield _row(step)
    yield "</table>"
    if report.psql:
        yield f'<p class="soft">The same with psql:</p><code class="psql">{escape(_visible(report.psql))}</code>'
    yield "</div></details>"


def _row(step: StepResult) -> str:
    troubled = step.status in {Status.WARN, Status.FAIL}
    said = f"<code>{escape(step.code)}</code> {_text(step.message)}" if troubled else _text(step.message)
    if troubled and step.hint:
        said += f'<p class="hint">{_text(step.hint)} See {escape(address_of(step.code))}</p>'
    took = f"{step.duration_ms:.0f} ms" if step.status is not Status.SKIP else ""
    cells = (escape(step.step), f'<b class="{step.status.value}">{_WORDS[step.status]}</b>', said, took)
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _chain(report: DatabaseReport, now: datetime.datetime) -> Iterator[str]:
    """Draw the chain from its root down to the server's certificate, each with a bar for its life."""
    detail = _certificate(report)
    chain = detail.get("chain", [])
    if forecast := detail.get("forecast"):
        grave = "warn" if forecast["verdict"] == "breaks" else "pass"
        yield f'<p>Forecast: <span class="{grave}">{_text(forecast["text"])}</span></p>'
    if not chain:
        return
    yield '<ol class="chain">'
    if detail.get("root"):
        yield f'<li class="pass"><span>{_text(detail["root"])}<small>{_root_end(report)}</small></span></li>'
    else:
        yield f'<li class="fail"><span>{_text(_name(chain[-1]["issuer"]))}<small>not trusted</small></span></li>'
    for depth, certificate in reversed(list(enumerate(chain))):
        yield _link(certificate, now, broken=depth == detail.get("broken_at"))
    yield "</ol>"


def _root_end(report: DatabaseReport) -> str:
    held: list[Mapping[str, str]] = next(
        (each.detail.get("roots", []) for each in report.steps if each.step == "ca"), []
    )
    root = _certificate(report).get("root")
    ends = max((each["not_after"][:10] for each in held if each["name"] == root), default="")
    return f"trusted, until {escape(ends)}" if ends else "trusted"


def _link(certificate: Mapping[str, Any], now: datetime.datetime, *, broken: bool) -> str:
    begins, ends = (datetime.datetime.fromisoformat(certificate[key]) for key in ("not_before", "not_after"))
    days = (ends - now).days
    left = f"{days} days left" if days >= 0 else f"ended {-days} days ago"
    kind = "fail" if broken or not begins <= now <= ends else "warn" if lifetime.is_soon(begins, ends, now) else "pass"
    dates = f"{begins:%Y-%m-%d} to {ends:%Y-%m-%d}, {left}"
    name = f"<span>{_text(_name(certificate['subject']))}<small>{dates}</small></span>"
    return f'<li class="{kind}">{name}{_bar(begins, ends, now, kind)}</li>'


def _bar(begins: datetime.datetime, ends: datetime.datetime, now: datetime.datetime, kind: str) -> str:
    """Return a picture of a certificate's life: what has passed is filled, and today is a line."""
    whole = max(1.0, (ends - begins).total_seconds())
    x = round(100 * min(1.0, max(0.0, (now - begins).total_seconds() / whole)), 1)
    return (
        f'<svg class="{kind}" viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect class="track" width="100" height="8"/><rect class="gone" width="{x}" height="8"/>'
        f'<line class="today" x1="{x}" x2="{x}" y2="8"/></svg>'
    )


def _name(distinguished: str) -> str:
    return next((part[3:] for part in distinguished.split(",") if part.startswith("CN=")), distinguished)


def _text(text: str) -> str:
    return escape(printable(text, 2000))


def _visible(text: str) -> str:
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text)
