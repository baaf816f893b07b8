"""The page shows what was verified, in the right order, and escapes what others chose."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import HTTPCookieProcessor, Request, build_opener, urlopen

import pytest
from django.test import Client

from demo_project.page import checked as kept
from demo_project.page.checked import Checked
from tests.support.demo import certificate, checked
from tests.support.settings import HOST

Show = Callable[..., str]
HOSTILE = '"><script>alert(1)</script>'


def text_of(page: str, part: str = "main") -> str:
    """Return what stands in an element, its tags left out."""
    (inside,) = re.findall(rf"<{part}\b.*?</{part}>", page, re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", inside.replace("<wbr>", ""))).split())


def card(page: str, heading: str) -> str:
    """Return the text of the section that a heading names."""
    (inside,) = re.findall(rf'(<section [^>]*aria-labelledby="{heading}".*?</section>)', page, re.DOTALL)
    return text_of(inside, "section")


def drawn(page: str, kind: str) -> list[str]:
    """Return the names in one of the pictures, from top to bottom, each in one piece."""
    (picture,) = re.findall(rf'<svg class="chain {kind}".*?</svg>', page, re.DOTALL)
    rows = picture.split('<g class="row')[1:]
    return [html.unescape("".join(re.findall(r'class="name"[^>]*>([^<]*)<', row))) for row in rows]


@pytest.mark.server
@pytest.mark.slow
class TestServed:
    """As the demo serves it."""

    def test_content(self, served: str) -> None:
        page = urlopen(served, timeout=30).read().decode()
        assert f"Verified connection to {HOST} Encryption" in text_of(page)
        for heading, said in {
            "verified": "Issued under a root you trust Passed",
            "seen": "Protocol TLSv1.3",
            "check": "certificate Passed",
            "notes": "Written over verified TLS",
        }.items():
            assert said in card(page, heading)
        assert card(page, "check").count("Passed") == 8

    @pytest.mark.parametrize("kind", ["wide", "narrow"])
    def test_chain_from_the_server_to_the_root(self, served: str, kind: str) -> None:
        page = urlopen(served, timeout=30).read().decode()
        wanted = [HOST, "Demo TLS G2 RSA CA OCSP 02", "Demo TLS RSA Root G2", "Demo Global Root G2"]
        assert [name.replace(" ", "") for name in drawn(page, kind)] == [name.replace(" ", "") for name in wanted]

    def test_nothing_is_loaded_from_elsewhere(self, served: str) -> None:
        with urlopen(served, timeout=30) as answer:
            page = answer.read().decode()
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "<script" not in page
        assert re.findall(r'(?:src|href|action)="(?!#|/|data:)([^"]*)', page) == []
        assert "url(" not in page

    def test_another_name_for_this_machine_is_refused(self, served: str) -> None:
        """Else a site whose name comes to lead here could read the page."""
        with pytest.raises(HTTPError, match="400") as refused:
            urlopen(Request(served, headers={"Host": "example.org"}), timeout=30)
        refused.value.close()

    def test_a_note_is_written_and_escaped(self, served: str) -> None:
        browser = build_opener(HTTPCookieProcessor())
        page = browser.open(served, timeout=30).read().decode()
        (token,) = set(re.findall(r'csrfmiddlewaretoken" value="([^"]+)', page)[1:])
        form = urlencode({"csrfmiddlewaretoken": token, "text": HOSTILE}).encode()
        page = browser.open(f"{served}notes", form, timeout=30).read().decode()
        assert HOSTILE not in page and HOSTILE in card(page, "notes")

    def test_the_check_runs_again_only_for_a_form_of_the_page(self, served: str) -> None:
        browser = build_opener(HTTPCookieProcessor())
        page = browser.open(served, timeout=30).read().decode()
        token = re.findall(r'csrfmiddlewaretoken" value="([^"]+)', page)[0]
        form = urlencode({"csrfmiddlewaretoken": token}).encode()
        assert "Last check" in browser.open(f"{served}check", form, timeout=30).read().decode()
        with pytest.raises(HTTPError, match="403") as refused:
            urlopen(f"{served}check", b"", timeout=30)
        refused.value.close()


def test_no_answer(client: Client, databases: Any, at_port: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """With no server at all the page still comes, and says why."""
    monkeypatch.setattr(kept, "_last", {})
    databases(default=at_port(1))
    page = client.get("/").content.decode()
    assert "No verified connection" in text_of(page)
    assert "tcp.refused" in card(page, "check")
    assert "The server gives no answer" in card(page, "seen")
    assert "<svg class=" in page and 'class="chain' not in page


def test_a_hostile_certificate(show: Show) -> None:
    names = [certificate(HOSTILE, HOSTILE * 9, (-1, 1), HOSTILE), certificate(HOSTILE * 9, "Global Root")]
    page = show(checked(("certificate.host_mismatch", HOSTILE, HOSTILE), chain=names), HOSTILE)
    assert "<script" not in page
    assert drawn(page, "wide")[0] == HOSTILE
    assert HOSTILE * 9 in card(page, "chain")


@pytest.mark.parametrize(
    ("result", "statuses"),
    [
        (checked(), ["Passed"] * 6),
        (
            checked(("certificate.host_mismatch", "another name", "")),
            ["Passed", "Not decided", "Not decided", "Failed", "Not decided", "Not decided"],
        ),
        (
            checked(("certificate.expired", "expired", "")),
            ["Passed", "Not decided", "Failed", "Not decided", "Not decided", "Not decided"],
        ),
        (
            checked(("certificate.untrusted_root", "a stranger", ""), root=None),
            ["Passed", "Failed", "Not decided", "Not decided", "Not decided", "Not decided"],
        ),
        (checked(("tcp.refused", "nobody", "start it")), ["Not decided"] * 6),
    ],
    ids=["good", "another name", "expired", "untrusted", "no server"],
)
def test_what_was_verified(show: Show, result: Checked, statuses: list[str]) -> None:
    words = re.findall("Passed|Failed|Warning|Not decided", card(show(result, "a note"), "verified"))
    assert words == statuses


def test_what_was_not_compared_is_not_called_verified(show: Show) -> None:
    result = checked()
    assert "Verified connection to" in show(result, "a note")
    result.step("settings").update(status="warn", code="settings.verify_ca")
    page = show(result, "a note")
    assert "Verified connection" not in page and "not to verify everything" in page
    assert "The server you named Not decided" in card(page, "verified")


def test_what_was_verified_in_words(show: Show) -> None:
    said = card(show(checked(), "a note"), "verified")
    assert "TLSv1.3, TLS_AES_256_GCM_SHA384; nothing below TLSv1.2 is accepted." in said
    assert "The chain ends in Global Root, the only trusted root." in said
    assert re.search(r"Valid today Passed The server's certificate is valid until \d+ \w+ \d+\. The server", said)


def test_a_note_that_is_refused_says_why(client: Client, show: Show) -> None:
    show(checked(), "a note")
    page = client.post("/notes", {"text": " "}).content.decode()
    assert "This field is required." in card(page, "notes")
    assert 'aria-invalid="true"' in page and 'aria-describedby="id_text_error"' in page
