"""The HTML page: what it holds, in which order, and that a real browser shows it without loading anything."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from azpg_backend.diagnosis import formats
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.report import STEPS, DatabaseReport, failed, from_problems, passed, skipped
from azpg_backend.errors.problem import Problem, Severity

NOW = datetime.datetime(2026, 11, 25, 12, 0, tzinfo=datetime.timezone.utc)
CHROMIUM = shutil.which("chromium")
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\" onmouseover='alert(3)' &amp; \u202e \x1b[31m"


class Parsed(HTMLParser):
    """The tags of a page with their attributes, plus the text of each summary."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.summaries: list[str] = []
        self._inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "summary":
            self._inside = True
            self.summaries.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = self._inside and tag != "summary"

    def handle_data(self, data: str) -> None:
        if self._inside:
            self.summaries[-1] += f"{data} "


def certificate(name: str, issuer: str, ends: int) -> dict[str, Any]:
    begins, until = (NOW + datetime.timedelta(days=days) for days in (ends - 200, ends))
    return {
        "subject": f"CN={name},O=Somebody",
        "issuer": f"CN={issuer}",
        "not_before": begins.isoformat(),
        "not_after": until.isoformat(),
    }


def report(alias: str, ends: int = 100, bad: str = "", breaks: str = "", warns: bool = False) -> DatabaseReport:
    chain = [certificate(f"{alias}.example.org", "Issuing", ends), certificate("Issuing", "Root", 150)]
    detail: dict[str, Any] = {"chain": chain, "root": "Root", "broken_at": None}
    if breaks:
        detail["forecast"] = {"verdict": "breaks", "date": breaks, "text": f"breaks on {breaks}"}
    steps = [passed(step, "well", **(detail if step == "certificate" else {})) for step in STEPS]
    if warns:
        ending = Problem("certificate.expiring", "ends soon", "renew it", Severity.WARNING)
        steps[STEPS.index("certificate")] = from_problems([ending], **detail)
    if bad:
        at = STEPS.index(bad.partition(".")[0])
        steps[at:] = [failed(bad, HOSTILE, HOSTILE), *[skipped(step, "needs it") for step in STEPS[at + 1 :]]]
    return DatabaseReport(alias, f"{alias}.example.org", 5432, f"psql {HOSTILE}", tuple(steps), 20.0)


def page(*reports: DatabaseReport, **changes: Any) -> str:
    return formats.render("html", Outcome(reports, checked_at=NOW, seconds=1.5, **changes))


def test_what_needs_a_person_first_stands_first() -> None:
    found = Parsed(
        page(
            report("well"),
            report("later", ends=20, warns=True),
            report("login", bad="login.wrong_password"),
            report("sooner", ends=10, warns=True),
            report("breaks", ends=90, warns=True, breaks="2026-12-01"),
            report("dns", bad="dns.not_found"),
        )
    ).summaries
    assert [each.split()[1] for each in found] == ["dns", "login", "breaks", "sooner", "later", "well"]


def test_nothing_in_it_runs_or_loads() -> None:
    text = page(report(HOSTILE, bad="dns.not_found"), report("b" + HOSTILE, warns=True))
    found = Parsed(text)
    layout = {"html", "head", "meta", "title", "style", "body", "header", "main", "h1", "h2", "p", "div", "details"}
    content = {"summary", "span", "ul", "ol", "li", "b", "small", "svg", "rect", "line", "table", "tr", "td", "code"}
    assert {tag for tag, _ in found.tags} <= layout | content
    names = {name for _, attributes in found.tags for name in attributes}
    assert not {name for name in names if name.startswith("on")} | names & {"src", "href", "style", "data"}
    assert "url(" not in text
    assert "default-src 'none'" in text
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_broken_chain_is_drawn_with_its_break() -> None:
    broken = report("broken", ends=-3, bad="")
    steps = list(broken.steps)
    detail = {**steps[5].detail, "root": None, "broken_at": 0}
    steps[5] = failed("certificate.expired", "ended", "renew", **detail)
    text = page(DatabaseReport(broken.alias, broken.host, 5432, "", tuple(steps)))
    links = re.findall(r'<li class="(\w+)"><span>([^<]+)<small>([^<]+)', text)
    assert [each[:2] for each in links] == [("fail", "Root"), ("pass", "Issuing"), ("fail", "broken.example.org")]
    assert links[0][2] == "not trusted"
    assert links[2][2].endswith("ended 3 days ago")
    # A life that is over is a full bar.
    assert '<rect class="gone" width="100.0"' in text


def test_an_interrupted_check_says_so() -> None:
    assert "Interrupted" in page(report("one"), interrupted=True)
    assert "Interrupted" not in page(report("one"))


def a_thousand() -> str:
    bad = ("dns.not_found", "tcp.refused", "tls.not_offered", "login.wrong_password")
    return page(*[report(f"tenant_{n:04}", bad=bad[n // 20 % 4] if n % 20 == 0 else "") for n in range(1000)])


def test_a_thousand_aliases_are_a_small_file() -> None:
    text = a_thousand()
    assert len(text) < 4_000_000
    summaries = Parsed(text).summaries
    assert len(summaries) == 1000
    assert [each.split()[0] for each in summaries[:51]] == ["FAIL"] * 50 + ["ok"]
    # Nothing is unfolded that pushes the list away.
    assert "<details open>" not in text


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
@pytest.mark.parametrize("width", [400, 900, 1600])
def test_a_browser_shows_it(tmp_path: Path, width: int) -> None:
    path = tmp_path / "page.html"
    path.write_text(a_thousand(), "utf-8")
    picture = tmp_path / "page.png"
    started = time.monotonic()
    done = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={tmp_path / 'profile'}",
            f"--window-size={width},900",
            f"--screenshot={picture}",
            "--enable-logging=stderr",
            path.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0
    assert picture.stat().st_size > 10_000
    # A line of the page's own console would be a refusal by its policy, or a mistake in it.
    assert "CONSOLE" not in done.stderr
    # Most of it is the browser's own start.
    assert time.monotonic() - started < 60
