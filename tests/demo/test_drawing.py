"""The picture: which certificates it shows, where its bars stand, and how names are split."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from demo_project.page.chain import INTERMEDIATE, ROOT, SERVER, UNTRUSTED, Certificate, common_name, path
from demo_project.page.drawing import NARROW, WIDE, Shape, draw, standing, wrapped
from tests.support.demo import certificate, checked
from tests.support.settings import HOST

NOW = datetime(2026, 5, 1, tzinfo=timezone.utc)


def names_and_roles(found: tuple[Certificate, ...]) -> list[tuple[str, str]]:
    return [(each.name, each.role) for each in found]


def test_path_of_a_good_server() -> None:
    found = path(checked())
    assert names_and_roles(found.certificates) == [
        (HOST, SERVER),
        ("Issuing CA 02", INTERMEDIATE),
        ("Middle Root G2", INTERMEDIATE),
        ("Global Root", ROOT),
    ]
    assert found.spare == 0
    assert all(each.ends and each.sha256 for each in found.certificates)


def test_path_in_whatever_order_it_was_sent() -> None:
    leaf, *above = checked().detail("certificate")["chain"]
    expected = path(checked(chain=[leaf, *above])).certificates
    assert path(checked(chain=[leaf, *reversed(above)])).certificates == expected


def test_path_that_ends_below_what_was_sent() -> None:
    """Azure's cross-signed authority is itself a root to whoever trusts its self-signed certificate."""
    found = path(checked(root="Middle Root G2"))
    assert names_and_roles(found.certificates)[2:] == [("Middle Root G2", ROOT)]
    assert found.spare == 1


def test_path_with_the_root_sent_as_well() -> None:
    chain = [*checked().detail("certificate")["chain"], certificate("Global Root", "Global Root")]
    assert path(checked(chain=chain)).certificates == path(checked()).certificates


def test_path_without_a_trusted_root() -> None:
    found = path(checked(root=None))
    assert names_and_roles(found.certificates)[-1] == ("Global Root", UNTRUSTED)
    alone = path(checked(root=None, chain=[certificate(HOST, HOST)]))
    assert names_and_roles(alone.certificates) == [(HOST, SERVER)]
    assert path(checked(chain=[])).certificates == ()


@pytest.mark.parametrize(
    ("distinguished", "name"),
    [
        ("CN=A", "A"),
        ("CN=A\\, B,O=C", "A, B"),
        ("O=C,CN=A", "A"),
        ("O=CN\\=no", "O=CN\\=no"),
        ("", ""),
    ],
)
def test_common_name(distinguished: str, name: str) -> None:
    assert common_name(distinguished) == name


@pytest.mark.parametrize(
    ("begins", "ends", "state", "words"),
    [
        (-1, 90, "good", "90 days left"),
        (-1, 1, "good", "1 day left"),
        (-1, 0.5, "good", "less than a day left"),
        (-1, 900, "good", "about 2 years left"),
        (-9, -1, "bad", "expired 30 Apr 2026"),
        (3, 9, "bad", "not valid before 4 May 2026"),
    ],
)
def test_standing(begins: float, ends: float, state: str, words: str) -> None:
    moments = (NOW + timedelta(days=each) for each in (begins, ends))
    assert standing(Certificate("A", SERVER, "B", *moments), NOW) == (state, words)


@pytest.mark.parametrize("shape", [WIDE, NARROW], ids=["wide", "narrow"])
def test_bars_grow_with_the_time_left_and_stay_inside(shape: Shape) -> None:
    lives = [(-400, -300), (-1, 30), (-1, 900), (60, 90), (-3000, 3600), (-1, 40000)]
    chain = [Certificate("A", SERVER, "B", *(NOW + timedelta(days=day) for day in life)) for life in lives]
    rows = draw(chain, shape, NOW).rows
    starts = [float(str(row.bar_x)[:-1]) for row in rows]
    widths = [float(str(row.bar_width)[:-1]) for row in rows]
    assert widths[0] < widths[1] < widths[2] < widths[4] < widths[5]
    assert starts[3] > starts[1]
    assert all(x + width <= shape.bar_left + shape.bar_share + 0.02 for x, width in zip(starts, widths, strict=True))


@pytest.mark.parametrize("shape", [WIDE, NARROW], ids=["wide", "narrow"])
def test_rows_follow_one_another(shape: Shape) -> None:
    drawing = draw(path(checked()).certificates, shape, NOW)
    nodes = [row.node for row in drawing.rows]
    assert nodes == sorted(nodes)
    assert [row.linked for row in drawing.rows] == [*nodes[1:], None]
    assert drawing.height > max(max(row.dates, row.rail) for row in drawing.rows)


def test_links_to_what_is_bad_are_broken() -> None:
    links = [row.link for row in draw(path(checked(root=None)).certificates, WIDE, datetime.now(timezone.utc)).rows]
    assert links[:3] == ["whole", "whole", "broken"]
    assert {row.link for row in draw(path(checked()).certificates, WIDE, datetime.now(timezone.utc)).rows} == {"whole"}


def test_spoken() -> None:
    said = draw(path(checked()).certificates, WIDE, datetime.now(timezone.utc)).spoken
    assert said.startswith(f"1. Server: {HOST}, valid until ")
    assert "4. Trusted root: Global Root, valid until " in said


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        ("", [""]),
        ("Demo TLS G2 RSA CA OCSP 02", ["Demo TLS G2", "RSA CA OCSP 02"]),
        ("demo.postgres.database.azure.com", ["demo.postgres.", "database.azure.com"]),
        ("x" * 60, ["x" * 20, "x" * 20, "x" * 20]),
        ("\u8a3c" * 30, ["\u8a3c" * 10, "\u8a3c" * 10, "\u8a3c" * 10]),
    ],
)
def test_wrapped(text: str, lines: list[str]) -> None:
    assert wrapped(text, 25) == lines


def test_what_is_too_long_is_cut() -> None:
    *_, last = lines = wrapped("y" * 900, 25)
    assert len(lines) == 3 and last.endswith("\u2026")
    assert all(len(line) <= 25 for line in lines)
