"""The shipped roots: the pins are those of the reference, and the files are what the manifest says."""

from __future__ import annotations

import datetime
import subprocess
import sys
from pathlib import Path

import pytest

from azpg_backend import trust
from azpg_backend.trust import ca_file, manifest

# Written down a second time on purpose: a changed pin must change two places.
PINS = {
    "digicert-global-root-g2": "cb3ccbb76031e5e0138f8dd39a23f9de47ffc35e43c1144cea27d46a5ab1cb5f",
    "microsoft-rsa-root-ca-2017": "c741f70f4b2a8d88bf2e71c14122ef53ef10eba0cfa5e64cfa20f418853073e0",
    "digicert-global-root-ca": "4348a0e9444c78cb265e058d5e8944b4d84f9662bd26db257f8934a443c70161",
    "digicert-global-root-g3": "31ad6648f8104138c738f39ea4320133393e3a18cc02296ef97c2ac9ef6731d0",
    "digicert-tls-ecc-p384-root-g5": "018e13f0772532cf809bd1b17281867283fc48c6e13be9c69812854a490c1b05",
    "digicert-tls-rsa4096-root-g5": "371a00dc0533b3721a7eeb40e8419e70799d2b0a0f2c1d80693165f7cec4ad75",
    "microsoft-ecc-root-ca-2017": "358df39d764af9e1b766e9c972df352ee15cfac227af6ad1d70e8e4a6edcba02",
}
SCRIPT = Path(__file__).parents[2] / "scripts" / "update_roots.py"


def test_the_pins() -> None:
    assert {root.slug: root.sha256 for root in manifest.bundled()} == PINS


def test_the_bundle_holds_exactly_the_pinned_roots() -> None:
    certificates = ca_file.read(trust.BUNDLE).certificates
    assert [ca_file.sha256(each) for each in certificates] == list(PINS.values())
    assert all(each.subject == each.issuer for each in certificates)


def test_every_root_has_an_official_url() -> None:
    for root in manifest.bundled():
        assert root.urls
        assert all(source.url.startswith("https://") and source.format in {"PEM", "DER"} for source in root.urls)


def test_none_of_the_shipped_roots_ends_soon() -> None:
    """Fails two years before a root ends: time for a release."""
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=730)
    assert [root.slug for root in manifest.bundled() if root.not_after < soon] == []


def test_a_row_is_read_into_the_types_of_a_root() -> None:
    manifest.roots.cache_clear()
    g2 = manifest.bundled()[0]
    assert (g2.not_before, g2.not_after) == (
        datetime.datetime(2013, 8, 1, 12, tzinfo=datetime.timezone.utc),
        datetime.datetime(2038, 1, 15, 12, tzinfo=datetime.timezone.utc),
    )
    assert all(isinstance(source, manifest.Source) for source in g2.urls)
    assert g2.urls
    assert isinstance(g2.clouds, tuple)
    assert "AzureCloud" in g2.clouds
    # A root is looked up in sets.
    assert g2 in {*manifest.roots()}


def test_only_bundled_roots_that_are_in_use_are_current() -> None:
    for cloud in ("AzureCloud", "AzureUSGovernment", "AzureChinaCloud"):
        for root in manifest.current(cloud):
            assert (root.bundled, root.status in {"current", "legacy"}, cloud in root.clouds) == (True, True, True)


@pytest.mark.parametrize(
    ("cloud", "slugs"),
    [
        ("AzureCloud", ["digicert-global-root-g2", "microsoft-rsa-root-ca-2017"]),
        (None, ["digicert-global-root-g2", "microsoft-rsa-root-ca-2017"]),
        ("AzureChinaCloud", ["digicert-global-root-g2", "microsoft-rsa-root-ca-2017", "digicert-global-root-ca"]),
    ],
)
def test_the_roots_in_use(cloud: str | None, slugs: list[str]) -> None:
    assert [root.slug for root in manifest.current(cloud)] == slugs


def test_retired_roots_are_known_by_name() -> None:
    root = manifest.by_sha256("16af57a9f676b0ab126095aa5ebadef22ab31119d644ac95cd4b93dbf3f26aeb")
    assert root is not None
    assert (root.name, root.status, root.bundled) == ("Baltimore CyberTrust Root", "retired", False)


def test_the_generator_would_change_nothing() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout + done.stderr
