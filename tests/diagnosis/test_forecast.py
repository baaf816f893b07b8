"""The forecast says of a future what libpq says when that day has come."""

from __future__ import annotations

import base64
import datetime
import json
import re
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from django.core.management import CommandError, call_command

from azpg_backend.plan import libpq
from azpg_backend.trust import announcements, ca_file, manifest
from demo_project.localpg import Authority, azure_chain
from demo_project.localpg.certificates import Profile, new_key
from demo_project.localpg.server import free_port
from tests.support import servers
from tests.support.diagnosis import step
from tests.support.futures import FAKETIME, OWN_HOST, TODAY, Make, World, accepted, authority, change, day
from tests.support.settings import NO_RETRY

Databases = Callable[..., None]


class Future(NamedTuple):
    """A future with what the forecast should say of it.

    breaks: the day on which libpq starts to refuse, or None.
    until: the day until which it is known to work, if it does not break.
    probes: days on which libpq must accept the server.
    """

    name: str
    make: Make
    breaks: float | None
    until: float | None
    probes: tuple[float, ...]
    because: str


FUTURES: list[Future] = []


def future(
    name: str, because: str, *, breaks: float | None = None, until: float | None = None, probes: tuple[float, ...] = ()
) -> Callable[[Make], Make]:
    def add(make: Make) -> Make:
        FUTURES.append(Future(name, make, breaks, until, probes, because))
        return make

    return add


def root(name: str = "G2", days: float = 3000) -> Authority:
    return Authority.root(name, authority(days))


def below(top: Authority, name: str = "Issuing", days: float = 900) -> Authority:
    return top.issue_ca(name, authority(days))


def cross_signed() -> tuple[Authority, Authority, Authority, Authority]:
    """Two roots, with one issuing authority that both have signed; the first signature ends on day 150."""
    g2, rsa = root("G2"), root("RSA 2017")
    first = below(g2, "Issuing", 150)
    return g2, rsa, first, rsa.cross_sign(first, authority(900))


@future("the root in the file ends", "'G2' in the CA file ends then", breaks=200, probes=(1,))
def root_ends() -> World:
    g2 = root(days=200)
    issuing = below(g2)
    return World({0: (issuing, [issuing])}, {0: g2.pem})


@future("a cross-signed switch, and only the old root is trusted", "something of kind switch comes", breaks=100)
def cross_switch() -> World:
    g2, _, first, second = cross_signed()
    chain = change("switch", 100, chain=[second.pem])
    return World({0: (first, [first]), 100: (second, [second])}, {0: g2.pem}, [chain])


@future(
    "a cross-signed switch, and both roots are trusted", "nobody has announced", until=900, probes=(99, 100, 140, 160)
)
def cross_switch_both() -> World:
    g2, rsa, first, second = cross_signed()
    chain = change("switch", 100, chain=[second.pem])
    return World({0: (first, [first]), 100: (second, [second])}, {0: g2.pem + rsa.pem}, [chain])


@future(
    "the old intermediate is pinned beside both roots", "'Issuing' in the CA file ends then", breaks=150, probes=(101,)
)
def pinned_beside_roots() -> World:
    g2, rsa, first, second = cross_signed()
    chain = change("switch", 100, chain=[second.pem])
    return World({0: (first, [first]), 100: (second, [second])}, {0: g2.pem + rsa.pem + first.pem}, [chain])


def to_another_root(*trusted: str) -> World:
    g2, rsa = root("G2"), root("RSA 2017")
    first, second = below(g2, "Old"), below(rsa, "New")
    held = {"G2": g2.pem, "RSA 2017": rsa.pem}
    chain = change("switch", 60, chain=[second.pem], clouds=["AzureCloud"], replaces=["G2"])
    return World({0: (first, [first]), 60: (second, [second])}, {0: "".join(held[each] for each in trusted)}, [chain])


future("from G2 to RSA 2017, and only G2 is trusted", "kind switch", breaks=60)(lambda: to_another_root("G2"))
future("from G2 to RSA 2017, and both are trusted", "nobody has announced", until=900, probes=(59, 60, 90))(
    lambda: to_another_root("G2", "RSA 2017")
)


def short_lived(life: float) -> World:
    g2 = root()
    issuing = below(g2)
    return World({0: (issuing, [issuing])}, {0: g2.pem}, [change("lifetime", 300)], life=life)


future("leaves live 100 days", "'Issuing' that the server sends ends", until=900, probes=(91, 300, 899))(
    lambda: short_lived(100)
)
future("leaves live 47 days", "nobody has announced", until=900, probes=(38, 300))(lambda: short_lived(47))


@future("a server of one's own with a leaf of 47 days", f"{OWN_HOST!r} that the server sends ends", breaks=37)
def own_leaf() -> World:
    g2 = root()
    issuing = below(g2)
    return World({0: (issuing, [issuing])}, {0: g2.pem}, host=OWN_HOST, life=47, renewed=False)


@future("a server of one's own with an intermediate that ends", "'Issuing' that the server sends ends", breaks=40)
def own_intermediate() -> World:
    g2 = root()
    issuing = below(g2, days=40)
    return World({0: (issuing, [issuing])}, {0: g2.pem}, host=OWN_HOST, renewed=False)


@future("an intermediate of Azure's ends, and nothing is announced", "nobody has announced", until=250, probes=(249,))
def azure_intermediate() -> World:
    g2 = root()
    issuing = below(g2, days=250)
    return World({0: (issuing, [issuing])}, {0: g2.pem})


@future("a public list drops the root", "looks like a copy of Mozilla's list", breaks=120)
def dropped() -> World:
    g2 = root()
    issuing = below(g2)
    others = "".join(root(f"Public {number}").pem for number in range(60))
    drop = change("store", 120, root=ca_file.sha256(g2.certificate))
    return World({0: (issuing, [issuing])}, {0: others + g2.pem, 120: others}, [drop])


def new_names(*, trap: bool) -> World:
    """An announcement that has names, but no certificates yet."""
    g2, old = root("G2"), root("Old Root")
    first, inner = below(g2, "Old"), Authority.root("TLS Root", authority())
    cross = g2.cross_sign(inner, authority(900))
    second = below(cross, "New")
    pinned = old.cross_sign(inner, authority(900)).pem if trap else ""
    anchors = [ca_file.sha256(each.certificate) for each in (g2, inner)]
    coming = change("switch", 80, names=["TLS Root", "New"], anchors=anchors, until=str(day(700).date()))
    return World({0: (first, [first]), 80: (second, [second, cross])}, {0: g2.pem + pinned}, [coming])


future("names are announced, and a root is there", "end then, and nobody", until=700, probes=(79, 80, 100, 699))(
    lambda: new_names(trap=False)
)
future("names are announced, and one of them is pinned", "ends the search", breaks=80)(lambda: new_names(trap=True))


@future("a copy of the root ends, and its successor is there", "nobody has announced", until=900, probes=(49, 51, 200))
def two_copies() -> World:
    g2 = root(days=50)
    again = Authority.root("G2", authority(2000), g2.key)
    issuing = below(g2)
    return World({0: (issuing, [issuing])}, {0: g2.pem + again.pem})


@future("another cloud's change", "nobody has announced", until=900, probes=(61,))
def another_cloud() -> World:
    world = to_another_root("G2")
    world.changes[0]["clouds"] = ["AzureChinaCloud"]
    world.chains = {0: world.chains[0]}
    return world


@future("two switches, and the second one breaks", "kind switch", breaks=130, probes=(70,))
def two_switches() -> World:
    world = to_another_root("G2", "RSA 2017")
    third = below(root("ECC 2017"), "Third")
    world.changes.append(change("switch", 130, chain=[third.pem]))
    world.chains = {**world.chains, 130: (third, [third])}
    return world


@future("a root that ends hides its longer-lived cross-signature", "'Inner' in the CA file ends then", breaks=50)
def hidden_cross_signature() -> World:
    """OpenSSL looks into the file first, and goes no other way when what it finds there has ended."""
    g2, inner = root("G2"), root("Inner", 50)
    cross = g2.cross_sign(inner, authority(900))
    issuing = below(cross)
    return World({0: (issuing, [issuing, cross])}, {0: g2.pem + inner.pem})


@future("a root's cross-signature ends, and the root itself is there", "nobody has announced", until=900, probes=(101,))
def cross_signature_ends() -> World:
    g2, inner = root("G2"), root("Inner")
    cross = g2.cross_sign(inner, authority(100))
    issuing = below(cross)
    return World({0: (issuing, [issuing, cross])}, {0: inner.pem})


@future(
    "the issuer is in the file only, beside its root", "'Issuing' in the CA file ends then", breaks=200, probes=(9,)
)
def issuer_not_sent() -> World:
    g2 = root()
    issuing = below(g2, days=200)
    return World({0: (issuing, [])}, {0: issuing.pem + g2.pem})


@future("the server sends another authority of the issuer's name", "nobody has announced", until=700, probes=(101, 699))
def namesake() -> World:
    g2 = root()
    issuing, other = below(g2, days=700), below(g2, days=100)
    return World({0: (issuing, [other, issuing])}, {0: g2.pem})


@future("the same root twice, and its namesake with another key", "in the CA file ends then", breaks=120, probes=(50,))
def twice() -> World:
    other, g2 = root("G2", 40), root("G2", 120)
    issuing = below(g2)
    return World({0: (issuing, [issuing, g2])}, {0: other.pem + g2.pem + g2.pem})


@future("a change of the server's own cloud, in China", "kind switch", breaks=60, probes=(30,))
def china() -> World:
    world = to_another_root("G2")
    world.changes[0]["clouds"] = ["AzureChinaCloud"]
    world.host = "demo.postgres.database.chinacloudapi.cn"
    return world


@future("a change that has come already", "nobody has announced", until=900, probes=(1,))
def come_already() -> World:
    world = to_another_root("RSA 2017")
    world.changes[0] |= {"date": str(day(-40).date())}
    world.chains = {0: world.chains[60]}
    return world


@future("a root that has yet to begin stands beside the old one", "nobody has announced", until=900, probes=(39, 41))
def root_to_come() -> World:
    g2 = root(days=60)
    again = Authority.root("G2", Profile(not_before=day(40), not_after=day(2000), ca=True), g2.key)
    issuing = below(g2)
    return World({0: (issuing, [issuing])}, {0: again.pem + g2.pem})


def forecast_of(databases: Databases, world: World, folder: Path) -> dict[str, Any]:
    """Run the check today, and return its certificate step."""
    sent, key = world.sent(0)
    answer = servers.logging_in(servers.error_response("you got through", "28000"))
    root_file = folder / "root.pem"
    root_file.write_text(world.file(0))
    with servers.listening(servers.TLSServer(sent, key, then=answer)) as port:
        options = {"hostaddr": "127.0.0.1", "sslrootcert": str(root_file), "azpg": NO_RETRY}
        settings = {"NAME": "app", "USER": "app", "PASSWORD": "x", "HOST": world.host, "PORT": port, "OPTIONS": options}
        databases(default={"ENGINE": "azpg_backend", **settings})
        out = StringIO()
        arguments = ["--offline", "--format", "json", "--forecast", "--announcements", world.announced(folder)]
        with pytest.raises(SystemExit):
            call_command("azpg_check", *arguments, stdout=out)
    (database,) = json.loads(out.getvalue())["databases"]
    step: dict[str, Any] = database["steps"][5]
    return step


@pytest.mark.parametrize("expected", FUTURES, ids=lambda each: each.name)
def test_libpq_says_the_same_on_the_same_day(databases: Databases, tmp_path: Path, expected: Future) -> None:
    world = expected.make()
    step = forecast_of(databases, world, tmp_path)
    said = step["detail"]["forecast"]
    assert said["verdict"] == ("keeps" if expected.breaks is None else "breaks"), said
    number = expected.until if expected.breaks is None else expected.breaks
    assert said["date"] == (str(day(number).date()) if number is not None else None), said
    assert expected.because in said["because"]
    renewable = "unless it is renewed" in said["because"]
    assert (step["code"] == "certificate.will_break") is (expected.breaks is not None and not renewable)
    if FAKETIME is None:
        pytest.skip("faketime is not installed")
    for probe in expected.probes:
        assert set(accepted(world, probe).values()) == {True}, probe
    if expected.breaks is not None:
        assert set(accepted(world, expected.breaks - 1).values()) == {True}
        assert set(accepted(world, expected.breaks).values()) == {False}


def test_there_are_twelve_at_least() -> None:
    assert len(FUTURES) >= 12


def test_a_change_that_has_yet_to_reach_the_server(databases: Databases, tmp_path: Path) -> None:
    world = to_another_root("G2")
    world.changes[0]["date"] = str(day(-30).date())
    step = forecast_of(databases, world, tmp_path)
    assert step["code"] == "certificate.will_break"
    assert step["detail"]["forecast"]["date"] == str(TODAY.date())
    assert "may break on any day, because from" in step["message"]


def test_a_break_in_years_is_told_but_is_no_warning(databases: Databases, tmp_path: Path) -> None:
    g2 = root(days=500)
    issuing = below(g2)
    step = forecast_of(databases, World({0: (issuing, [issuing])}, {0: g2.pem}), tmp_path)
    assert (step["status"], step["detail"]["forecast"]["verdict"]) == ("pass", "breaks")


def test_a_root_without_an_end(databases: Databases, tmp_path: Path) -> None:
    """RFC 5280, 4.1.2.5: 99991231235959Z stands for no end, and is the last second that a date can hold."""
    ends = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)
    g2 = Authority.root("G2", not_before=day(-300), not_after=ends, ca=True)
    issuing = below(g2)
    step = forecast_of(databases, World({0: (issuing, [issuing])}, {0: g2.pem}), tmp_path)
    assert step["detail"]["forecast"]["date"] == str(day(900).date())


def test_a_key_of_an_unknown_kind(databases: Databases, tmp_path: Path) -> None:
    """An old bundle can hold a root whose key the library does not know, and libpq's OpenSSL does."""
    g2 = root()
    issuing = below(g2)
    odd = Authority.root("Issuing", authority(), new_key(curve=ec.BrainpoolP256R1()))
    broken = odd.certificate.public_bytes(serialization.Encoding.DER)
    # The curve's last byte makes it one that nobody has: 1.3.36.3.3.2.8.1.1.7 becomes ...1.1.127.
    curve = bytes.fromhex("2b2403030208010107")
    assert curve in broken
    unknown = base64.encodebytes(broken.replace(curve, curve[:-1] + b"\x7f")).decode()
    text = f"-----BEGIN CERTIFICATE-----\n{unknown}-----END CERTIFICATE-----\n"
    with pytest.raises(UnsupportedAlgorithm):
        x509.load_pem_x509_certificate(text.encode()).public_key()
    step = forecast_of(databases, World({0: (issuing, [issuing])}, {0: g2.pem + text}), tmp_path)
    assert step["detail"]["forecast"]["verdict"] == "keeps", step


@pytest.mark.parametrize(("arguments", "said"), [((), ""), (("--forecast",), ", so there is no forecast")])
def test_the_systems_roots_have_no_forecast(databases: Databases, arguments: tuple[str, ...], said: str) -> None:
    """Nobody but the driver's OpenSSL can look into them, and silence would read as a good forecast."""
    if libpq.version() < 160000:
        pytest.skip("sslrootcert=system is new in libpq 16")
    chain = azure_chain(OWN_HOST)
    with servers.listening(servers.TLSServer(chain.server_pem, chain.key_pem)) as port:
        options = {"hostaddr": "127.0.0.1", "sslrootcert": "system", "azpg": NO_RETRY}
        settings = {"NAME": "app", "USER": "app", "PASSWORD": "x", "HOST": OWN_HOST, "PORT": port, "OPTIONS": options}
        databases(default={"ENGINE": "azpg_backend", **settings})
        found = step("certificate", "--timeout", "5", *arguments)
    assert found["status"] == "skip"
    assert found["message"].endswith(f"knows these roots{said}")


def test_a_server_that_is_not_there_has_none(databases: Databases) -> None:
    settings = {"NAME": "app", "USER": "app", "PASSWORD": "x", "HOST": OWN_HOST, "PORT": free_port()}
    databases(default={"ENGINE": "azpg_backend", **settings, "OPTIONS": {"hostaddr": "127.0.0.1", "azpg": NO_RETRY}})
    found = step("certificate", "--timeout", "5", "--forecast")
    assert (found["status"], found["message"]) == ("skip", "needs tls, so there is no forecast")


# The list


def test_the_packaged_list_says_where_it_is_from() -> None:
    known = announcements.read()
    assert {each.kind for each in known.changes} == {"switch", "store", "lifetime"}
    clouds = {cloud for each in known.changes for cloud in each.clouds}
    assert clouds == {"AzureCloud", "AzureUSGovernment", "AzureChinaCloud"}
    for each in known.changes:
        assert each.title
        assert each.announced <= known.as_of
        assert each.what[0].islower() or each.what.startswith("Mozilla")
        pins = {*each.anchors, *filter(None, [each.root])}
        assert all(manifest.by_sha256(pin) for pin in pins)
        assert set(each.replaces) <= {root.name for root in manifest.roots()} | {
            name for name in each.replaces if manifest.is_intermediate(name)
        }


def test_its_age_is_said_aloud() -> None:
    known = announcements.read()
    one = known.as_of.replace(day=known.as_of.day + 1)
    assert known.age(known.as_of) == f"list of {known.as_of}, 0 days old"
    assert known.age(one) == f"list of {known.as_of}, 1 day old"
    assert known.age(known.as_of.replace(year=known.as_of.year + 1)).endswith("look for a newer one")
    # A clock that is wrong makes no list younger than new.
    assert "0 days" in known.age(known.as_of.replace(year=2000))


def listed(*changes: dict[str, Any]) -> str:
    return json.dumps({"version": 1, "as_of": "2026-01-01", "changes": changes})


def test_a_fingerprint_as_openssl_writes_it(tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    digest = ca_file.sha256(root().certificate)
    spelled = ":".join(digest[at : at + 2] for at in range(0, 64, 2)).upper()
    path.write_text(listed(change("switch", 9, anchors=[spelled]), change("store", 10, root=spelled)))
    first, second = announcements.read(str(path)).changes
    assert (first.anchors, second.root) == ((digest,), digest)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (None, "can't be read (No such file or directory)"),
        ("", "no list of announced changes"),
        ("[]", "no list of announced changes"),
        ("null", "no list of announced changes"),
        ("[" * 100_000, "no list of announced changes"),
        ('{"version": 2}', "is of version 2"),
        ('{"version": 1, "as_of": "soon", "changes": []}', "no list of announced changes"),
        ('{"version": 1, "as_of": "2026-01-01", "changes": [{"kind": "rumour"}]}', "there is no kind 'rumour'"),
        ('{"version": 1, "as_of": "2026-01-01", "changes": [{"kind": "switch"}]}', "a switch needs anchors or a chain"),
        ('{"version": 1, "as_of": "2026-01-01", "changes": {"a": 1}}', "no list of announced changes"),
        (listed(change("switch", 9, anchors=["cb3ccb"])), "'cb3ccb' is no SHA-256"),
        (listed(change("store", 9, root="DigiCert Global Root G2")), "'DigiCert Global Root G2' is no SHA-256"),
        (listed(change("store", 9, root=None)), "no list of announced changes"),
        (listed(change("switch", 9, chain=["-----BEGIN"])), "no list of announced changes"),
    ],
)
def test_a_list_that_is_none(databases: Databases, tmp_path: Path, text: str | None, part: str) -> None:
    path = tmp_path / "list.json"
    if text is not None:
        path.write_text(text)
    databases(default={"ENGINE": "azpg_backend", "HOST": "nowhere.invalid"})
    with pytest.raises(CommandError, match=re.escape(part)) as caught:
        call_command("azpg_check", "--offline", "--forecast", "--announcements", str(path))
    assert caught.value.returncode == 2


def test_a_forecast_needs_its_step(databases: Databases) -> None:
    databases(default={"ENGINE": "azpg_backend", "HOST": "nowhere.invalid"})
    with pytest.raises(CommandError, match="add it to --only") as caught:
        call_command("azpg_check", "--offline", "--forecast", "--only", "dns", "login")
    assert caught.value.returncode == 2


def test_a_list_without_a_forecast_is_refused(databases: Databases) -> None:
    databases(default={"ENGINE": "azpg_backend", "HOST": "nowhere.invalid"})
    with pytest.raises(CommandError, match="no use without --forecast"):
        call_command("azpg_check", "--offline", "--announcements", announcements.PACKAGED)
