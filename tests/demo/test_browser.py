"""The page in a real browser: any width, light and dark, with a keyboard and for a screen reader."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.support.demo import certificate, checked
from tests.support.pictures import FOLDER, PICTURES, TAKEN_OF, sources

pytestmark = [pytest.mark.server, pytest.mark.slow]

Show = Callable[..., str]
LONG = "a-name-without-a-blank-" * 8 + "W" * 60
SIZES = pytest.mark.parametrize("width", [320, 768, 1280])
SCHEMES = pytest.mark.parametrize("scheme", ["light", "dark"])

# Texts that are hard to read: WCAG 2.2 AA asks for 4.5 to 1, whatever the size here.
PALE = """() => {
  const light = text => {
    const [r, g, b] = text.match(/[\\d.]+/g).slice(0, 3).map(each => {
      const part = each / 255
      return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4
    })
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const behind = element => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor
      if (!/, 0\\)$/.test(colour)) return colour
    }
    return 'rgb(255, 255, 255)'
  }
  const found = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement
    if (!walker.currentNode.data.trim() || !element.getClientRects().length) continue
    const style = getComputedStyle(element)
    const front = light(element.ownerSVGElement ? style.fill : style.color), back = light(behind(element))
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05)
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${walker.currentNode.data.trim()}`)
  }
  return found
}"""
# Texts that the picture or the window cuts off.
CUT = """() => [...document.querySelectorAll('main *')].filter(each => {
  const box = each.getBoundingClientRect()
  const frame = each.ownerSVGElement?.getBoundingClientRect()
  return box.width && (box.right > innerWidth + 1 || (each.tagName === 'text' && box.right > frame.right + 1))
}).map(each => `${each.tagName} ${each.textContent.slice(0, 40)}`)"""
FOCUSED = """() => {
  const each = document.activeElement, style = getComputedStyle(each), box = each.getBoundingClientRect()
  return {
    tag: each.tagName,
    outline: style.outlineStyle === 'none' ? 0 : parseFloat(style.outlineWidth),
    inside: box.top >= 0 && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth,
  }
}"""


# Not for the session: while playwright runs, Django takes this thread for an asynchronous one and refuses the ORM.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: browser)")
    names = ("chromium", "chromium-browser", "google-chrome")
    program = next((found for found in map(shutil.which, names) if found), None)
    if program is None:
        pytest.skip(f"none of {', '.join(names)} is on PATH")
    flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=program, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def tab(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that opens an empty page; at the end its console has to be empty too."""
    said: list[str] = []
    contexts = []

    def make(width: int = 1280, scheme: str = "light") -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        return page

    yield make
    for context in contexts:
        context.close()
    assert said == []


@pytest.fixture
def troubled(show: Show) -> str:
    """A page that says the worst, in the longest words."""
    names = [certificate(LONG, LONG[::-1], (-9, -1), LONG, LONG), certificate(LONG[::-1], "Nobody")]
    return show(checked(("certificate.expired", LONG, LONG), chain=names, root=None, broken_at=0), LONG, "a note")


def assert_readable(page: Any) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for closed in page.locator("details").all():
        closed.evaluate("each => each.open = true")
    assert page.evaluate(CUT) == []
    assert page.evaluate(PALE) == []


@SIZES
@SCHEMES
def test_readable(tab: Any, served: str, width: int, scheme: str) -> None:
    page = tab(width, scheme)
    page.goto(served)
    assert page.locator("svg.chain:visible").count() == 1
    assert_readable(page)


@SIZES
@SCHEMES
def test_long_words_and_failures(tab: Any, troubled: str, width: int, scheme: str) -> None:
    page = tab(width, scheme)
    page.set_content(troubled)
    assert_readable(page)


def test_everything_has_a_name(tab: Any, served: str) -> None:
    page = tab()
    page.goto(served)
    tree = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    shown = [(node["role"]["value"], node.get("name", {}).get("value", "")) for node in tree if not node["ignored"]]
    named = {"image", "img", "button", "link", "textbox", "heading", "region", "DisclosureTriangle"}
    assert [role for role, name in shown if role in named and not name.strip()] == []
    roles = [role for role, _ in shown]
    assert {"banner", "main", "contentinfo", "heading", "textbox", "button"} <= set(roles)
    assert roles.count("main") == 1


def test_the_picture_is_described(tab: Any, served: str) -> None:
    page = tab()
    page.goto(served)
    picture = page.get_by_role("img", name="The certificate chain, from the server to the root")
    assert picture.count() == 1
    told = picture.evaluate("each => document.getElementById(each.getAttribute('aria-describedby')).textContent")
    assert "1. Server: demo.postgres.database.azure.com" in told and "4. Trusted root: " in told


def test_headings_step_down_one_by_one(tab: Any, served: str) -> None:
    page = tab()
    page.goto(served)
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(each => +each.tagName[1])")
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False))


@SCHEMES
def test_the_keyboard_reaches_everything_and_shows_where_it_is(tab: Any, served: str, scheme: str) -> None:
    page = tab(390, scheme)
    page.goto(served)
    tags = []
    for _ in range(6):
        page.keyboard.press("Tab")
        focused = page.evaluate(FOCUSED)
        assert focused["outline"] >= 2 and focused["inside"], focused
        tags.append(focused["tag"])
    assert tags == ["A", "SUMMARY", "BUTTON", "SUMMARY", "INPUT", "BUTTON"]


def test_a_note_by_keyboard_alone(tab: Any, served: str) -> None:
    page = tab()
    page.goto(served)
    page.get_by_label("New note").focus()
    page.keyboard.type("from the keyboard")
    page.keyboard.press("Enter")
    page.get_by_text("from the keyboard").wait_for()
    assert page.url.endswith("/#notes")


@pytest.mark.parametrize("name", PICTURES)
def test_the_pictures_of_the_documentation(tab: Any, served: str, name: str, request: pytest.FixtureRequest) -> None:
    """With --write-scenarios they are taken; without, the page is shown as they show it."""
    width, height, scheme = PICTURES[name]
    page = tab(width, scheme)
    page.set_viewport_size({"width": width, "height": height})
    page.goto(served)
    taken = page.screenshot()
    assert taken.startswith(b"\x89PNG")
    if request.config.getoption("--write-scenarios"):
        (FOLDER / f"{name}.png").write_bytes(taken)
        TAKEN_OF.write_text(f"{sources()}\n")


def test_text_of_twice_the_size(tab: Any, served: str) -> None:
    page = tab(640)
    page.goto(served)
    page.add_style_tag(content="html { font-size: 200% }")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
