"""CA files of the user's own: judged as libpq judges them, and written whole or not at all."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from OpenSSL import SSL

from azpg_backend import trust
from azpg_backend.trust import ca_file, manifest, writing
from azpg_backend.trust.lifetime import ends_soon, is_soon
from azpg_backend.trust.writing import CaFileError
from demo_project.localpg import Authority, Chain
from demo_project.localpg.certificates import Profile, pem

G2 = manifest.bundled()[0]


def codes(path: Path, cloud: str | None = None) -> list[str]:
    return [problem.code for problem in ca_file.read(str(path)).problems(cloud)]


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "good.pem"
    path.write_bytes(Path(trust.BUNDLE).read_bytes())
    return path


def test_the_bundle_is_good_in_every_cloud() -> None:
    for cloud in (None, "AzureCloud", "AzureUSGovernment", "AzureChinaCloud", "AzureBleuCloud"):
        assert codes(Path(trust.BUNDLE), cloud) == []
    assert len(ca_file.read(trust.BUNDLE).roots) == 7


DER = b"der"
CONTENTS: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "is empty"),
    "der": (DER, "is a DER file ('DigiCert Global Root G2')"),
    "html": (b"<!DOCTYPE html><html>Sign in", "HTML page"),
    "cut": (Path(trust.BUNDLE).read_bytes()[600:1000], "no certificate"),
    "half": (manifest.pem(G2).encode()[:900], "damaged or cut"),
    "damaged": (manifest.pem(G2).encode().replace(b"MIID", b"!!!!"), "damaged or cut"),
    "text": (b"hello\n", "no certificate"),
    "html, late": (b" " * 2000 + b"<body>", "HTML page"),
    "trusted, damaged": (b"-----BEGIN TRUSTED CERTIFICATE-----\n!!!!\n", "damaged or cut"),
    "element without length": (
        b"-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n",
        "damaged or cut",
    ),
    "pkcs7": (b"-----BEGIN PKCS7-----\nMAA=\n-----END PKCS7-----\n", "PKCS#7"),
    "binary": (bytes(range(256)), "no certificate"),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_what_libpq_can_not_load_is_named(tmp_path: Path, name: str) -> None:
    content, part = CONTENTS[name]
    if content == DER:
        content = ca_file.read(trust.BUNDLE).certificates[0].public_bytes(serialization.Encoding.DER)
    path = tmp_path / "ca.pem"
    path.write_bytes(content)
    (problem,) = ca_file.read(str(path)).problems(None)
    assert problem.code == "ca.file_invalid"
    assert problem.is_error
    assert part in problem.message
    assert str(path) in problem.message
    assert problem.where == str(path)
    assert problem.hint
    with pytest.raises(SSL.Error):
        SSL.Context(SSL.TLS_CLIENT_METHOD).load_verify_locations(str(path))


@pytest.mark.parametrize("change", ["bom", "crlf", "text between", "twice", "crl after"])
def test_what_libpq_can_load_is_accepted(good: Path, change: str) -> None:
    data = good.read_bytes()
    changed = {
        "bom": b"\xef\xbb\xbf" + data,
        "crlf": data.replace(b"\n", b"\r\n"),
        "text between": data.replace(b"# Subject", b"Sujet \xe9\xff"),
        "twice": data + data,
        "crl after": data + b"\nend\n",
    }[change]
    good.write_bytes(changed)
    assert codes(good) == []


def test_files_that_are_none(tmp_path: Path) -> None:
    assert codes(tmp_path / "missing.pem") == ["ca.file_missing"]
    assert codes(tmp_path) == ["ca.file_invalid"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
        assert codes(tmp_path / "pipe") == ["ca.file_invalid"]
        assert codes(Path("/dev/zero")) == ["ca.file_invalid"]
    large = tmp_path / "large.pem"
    with large.open("wb") as file:
        file.truncate(ca_file.MAX_BYTES + 1)
    assert codes(large) == ["ca.file_invalid"]


def test_a_missing_root_is_named_with_its_use(tmp_path: Path) -> None:
    path = tmp_path / "old.pem"
    path.write_text(manifest.pem(next(root for root in manifest.bundled() if root.slug == "digicert-global-root-ca")))
    (problem,) = ca_file.read(str(path)).problems("AzureCloud")
    assert problem.code == "ca.root_missing"
    assert "DigiCert Global Root G2 (anchors" in problem.message
    assert "in use since July 2024" in problem.message
    assert "--update-ca" in problem.hint
    assert problem.where == str(path)
    assert "it does hold" not in problem.message
    # In China that old root is in use too, and the newer ones are still missing.
    (problem,) = ca_file.read(str(path)).problems("AzureChinaCloud")
    assert "DigiCert Global Root CA" not in problem.message


def test_the_roots_that_are_missing_are_those_of_the_cloud(good: Path) -> None:
    used = {root.slug for root in manifest.current("AzureCloud")}
    good.write_text("".join(manifest.pem(root) for root in manifest.bundled() if root.slug in used))
    assert codes(good, "AzureCloud") == []
    assert codes(good, "AzureChinaCloud") == ["ca.root_missing"]


def known_as(certificate: x509.Certificate, **changes: Any) -> Any:
    """Return a manifest's look-up that knows this certificate as a root of these values."""
    root = dataclasses.replace(G2, sha256=ca_file.sha256(certificate), **changes)
    return lambda sha256: root if sha256 == root.sha256 else None


def test_a_retired_root_is_named_only_where_another_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Authority.root("Own", Profile(days=(-400, -1), ca=True))
    path = tmp_path / "old.pem"
    path.write_text(own.pem)
    assert codes(path) == ["ca.root_missing", "ca.root_expiring"]
    retired = known_as(own.certificate, name="Old root", used="given up long ago", status="retired")
    monkeypatch.setattr(manifest, "by_sha256", retired)
    (problem,) = ca_file.read(str(path)).problems(None)
    assert "it does hold Old root, given up long ago" in problem.message
    monkeypatch.setattr(manifest, "by_sha256", known_as(own.certificate, status="current"))
    assert codes(path) == ["ca.root_missing", "ca.root_expiring"]


def test_only_self_signed_roots_may_be_pinned(good: Path, chain: Chain) -> None:
    assert codes(good) == []
    good.write_text(good.read_text() + pem(chain.issuing.certificate, chain.leaf))
    assert codes(good) == ["ca.not_a_root", "ca.not_a_root"]
    for problem in ca_file.read(str(good)).problems(None):
        assert (problem.is_error, problem.where, "delete it" in problem.hint) == (False, str(good), True)
        assert problem.message.endswith("as well as roots")
    good.write_text(pem(chain.issuing.certificate))
    first = ca_file.read(str(good)).problems(None)[0]
    assert (first.code, first.is_error) == ("ca.not_a_root", True)
    assert "no root: libpq refuses" in first.message


def test_roots_that_end(good: Path) -> None:
    now = datetime.datetime.now(datetime.timezone.utc)
    good.write_text(good.read_text() + Authority.root("Own", Profile(days=(-400, 40), ca=True)).pem)
    assert codes(good) == []
    later = ca_file.read(str(good)).problems(None, now + datetime.timedelta(days=15))
    assert [problem.code for problem in later] == ["ca.root_expiring"]
    assert "'Own'" in later[0].message
    assert (later[0].where, bool(later[0].hint)) == (str(good), True)
    end = ca_file.read(str(good)).roots[-1].not_valid_after_utc
    for moment, verb in ((end, "ends on"), (end + datetime.timedelta(seconds=1), "ended on")):
        (problem,) = ca_file.read(str(good)).problems(None, moment)
        assert verb in problem.message


# Writing


def test_a_new_file_is_the_bundle_and_readable_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "a" / "azure.pem"
    before = os.umask(0o077)
    try:
        assert writing.write_new(str(path), manifest.bundled())
    finally:
        os.umask(before)
    assert path.read_bytes() == Path(trust.BUNDLE).read_bytes()
    assert os.listdir(path.parent) == ["azure.pem"]
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_file_that_appeared_meanwhile_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mine.pem"
    path.write_text("mine")
    assert not writing.write_new(str(path), manifest.bundled())
    assert path.read_text() == "mine"
    assert os.listdir(tmp_path) == ["mine.pem"]


def test_adding_keeps_every_byte_and_the_mode(tmp_path: Path) -> None:
    own = "# mine, no newline at the end\n" + Authority.root("Own").pem.rstrip("\n")
    real = tmp_path / "real.pem"
    real.write_text(own)
    real.chmod(0o640)
    link = tmp_path / "link.pem"
    link.symlink_to(real)
    added = writing.add_roots(str(link), manifest.bundled())
    assert len(added) == 7
    assert real.read_text().startswith(own + "\n")
    assert link.is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert len(ca_file.read(str(link)).roots) == 8
    assert writing.add_roots(str(link), manifest.bundled()) == []
    assert sorted(os.listdir(tmp_path)) == ["link.pem", "real.pem"]


def test_a_broken_file_is_not_added_to(tmp_path: Path) -> None:
    path = tmp_path / "broken.pem"
    path.write_text("<html>")
    with pytest.raises(CaFileError, match="HTML"):
        writing.add_roots(str(path), manifest.bundled())
    assert path.read_text() == "<html>"


def test_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CaFileError, match="can't be written"):
        writing.write_new(str(tmp_path / "file" / "ca.pem"), manifest.bundled())
    # Works for root too, which no mode keeps from writing.
    with pytest.raises(CaFileError, match="can't be written"):
        writing.write_new("/proc/azpg/ca.pem", manifest.bundled())


def test_a_full_disk_leaves_nothing_behind(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    before = good.read_bytes()[:-1000]
    good.write_bytes(Authority.root("Own").pem.encode())
    own = good.read_bytes()
    with pytest.raises(CaFileError, match=r"good\.pem can't be written \(No space left"):
        writing.add_roots(str(good), manifest.bundled())
    with pytest.raises(CaFileError, match=r"new\.pem can't be written \(No space left"):
        writing.write_new(str(good.parent / "new.pem"), manifest.bundled())
    assert good.read_bytes() == own != before
    assert os.listdir(good.parent) == ["good.pem"]


def _write(path: str) -> str:
    return writing.write_new(path, manifest.bundled())


def _add(path: str) -> int:
    return len(writing.add_roots(path, manifest.bundled()))


@pytest.mark.slow
def test_sixteen_processes_at_once(tmp_path: Path) -> None:
    path = tmp_path / "new" / "azure.pem"
    own = tmp_path / "own.pem"
    own.write_text(Authority.root("Own").pem)
    with multiprocessing.get_context("spawn").Pool(16) as pool:
        wrote = pool.map(_write, [str(path)] * 16, 1)
        pool.map(_add, [str(own)] * 16, 1)
    assert len([done for done in wrote if done]) == 1
    assert path.read_bytes() == Path(trust.BUNDLE).read_bytes()
    assert len(ca_file.read(str(own)).certificates) == 8
    assert sorted(os.listdir(tmp_path)) == ["new", "own.pem"]
    assert os.listdir(path.parent) == ["azure.pem"]


# Kinds of files that OpenSSL takes, or does not


def test_a_trusted_certificate_is_one(good: Path, tmp_path: Path) -> None:
    """A10: "openssl x509 -trustout" writes another label, and more behind the certificate."""
    plain = ca_file.read(str(good)).certificates
    extra = bytes.fromhex("300c300a06082b06010505070301")
    path = tmp_path / "trusted.pem"
    path.write_text(
        "".join(
            "-----BEGIN TRUSTED CERTIFICATE-----\n"
            + base64.encodebytes(each.public_bytes(serialization.Encoding.DER) + extra).decode()
            + "-----END TRUSTED CERTIFICATE-----\n"
            for each in plain
        )
    )
    SSL.Context(SSL.TLS_CLIENT_METHOD).load_verify_locations(str(path))
    assert ca_file.read(str(path)).certificates == plain
    assert codes(path) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_named(good: Path, encoding: str) -> None:
    """A10: as PowerShell's > writes it."""
    good.write_bytes(good.read_text().encode(encoding))
    (problem,) = ca_file.read(str(good)).problems(None)
    assert problem.code == "ca.file_invalid"
    assert "UTF-16" in problem.message
    assert (problem.where, "-Encoding ascii" in problem.hint) == (str(good), True)


def test_a_certificate_s_text_in_the_place_of_a_path_is_not_shown() -> None:
    """A9"""
    for text in (manifest.pem(G2), manifest.pem(G2).replace("\n", "\\n")):
        found = ca_file.read(text)
        assert [problem.code for problem in found.problems(None)] == ["ca.file_invalid"]
        assert "MIID" not in repr(found)


@pytest.mark.parametrize("path", ["nul\0byte", "x" * 5000, "", "\udcff"])
def test_paths_that_are_none(path: str) -> None:
    assert [problem.code for problem in ca_file.read(path).problems(None)] in (["ca.file_invalid"], ["ca.file_missing"])


@pytest.mark.parametrize(
    ("lifetime", "left", "warned"),
    [
        (398, 29, True),
        (398, 31, False),
        (100, 21, False),
        (100, 19, True),
        (47, 10, False),
        (47, 9, True),
        (7, 2, False),
    ],
)
def test_a_warning_in_proportion_to_the_lifetime(lifetime: int, left: int, warned: bool) -> None:
    """B14"""
    certificate = Authority.root("Own", Profile(days=(left - lifetime, left), ca=True)).certificate
    assert ends_soon(certificate, datetime.datetime.now(datetime.timezone.utc)) is warned


def test_the_moment_from_which_on_it_is_soon() -> None:
    """Less than 30 days, and less than a fifth of the life: on the dot is not less."""
    begins = datetime.datetime(2026, 1, 1, tzinfo=datetime.timezone.utc)
    second = datetime.timedelta(seconds=1)
    for days, left in ((1000, 30), (100, 20)):
        ends = begins + datetime.timedelta(days=days)
        edge = ends - datetime.timedelta(days=left)
        assert [is_soon(begins, ends, now) for now in (edge - second, edge, edge + second)] == [False, False, True]


@pytest.mark.parametrize("size", [0, 1, 127, 128, 255, 256, 70000])
def test_the_length_of_an_asn_1_element(size: int) -> None:
    """What a TRUSTED CERTIFICATE has behind the certificate is cut off, however its length is written."""
    width = (size.bit_length() + 7) // 8
    length = bytes([size]) if size < 0x80 else bytes([0x80 | width]) + size.to_bytes(width, "big")
    element = b"\x30" + length + b"x" * size
    assert ca_file._first_element(element) == element
    if size >= 0x80:
        assert ca_file._first_element(element + b"more") == element


@pytest.mark.parametrize("der", [b"", b"\x30", b"\x30\x05", b"\x30\x80", b"\x30\x82\x01"])
def test_a_cut_asn_1_element(der: bytes) -> None:
    assert ca_file._first_element(der) == der


def test_only_a_certificate_s_text_is_not_shown() -> None:
    assert ca_file.shown("/etc/ca.pem") == "/etc/ca.pem"
    assert ca_file.shown(manifest.pem(G2)) == "(a certificate's text)"


# Where files are written


def test_only_the_last_folder_is_made(tmp_path: Path) -> None:
    """B7: more than one is a typing error."""
    before = os.umask(0o077)
    try:
        assert "its folder" in writing.write_new(str(tmp_path / "new" / "ca.pem"), manifest.bundled())
    finally:
        os.umask(before)
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o755
    with pytest.raises(CaFileError, match="Correct the path, or make the folder first"):
        writing.write_new(str(tmp_path / "typo" / "more" / "ca.pem"), manifest.bundled())
    assert sorted(os.listdir(tmp_path)) == ["new"]


def test_a_folder_made_for_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CaFileError, match="No space left"):
        writing.write_new(str(tmp_path / "new" / "ca.pem"), manifest.bundled())
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="modes")
def test_a_folder_that_nobody_else_can_enter_is_said(tmp_path: Path) -> None:
    """C16"""
    tmp_path.chmod(0o700)
    assert "only its owner can enter" in writing.write_new(str(tmp_path / "ca.pem"), manifest.bundled())


@pytest.mark.skipif(os.name != "posix", reason="modes")
@pytest.mark.parametrize("mode", [0o755, 0o750, 0o710, 0o701])
def test_what_is_said_of_a_folder_that_others_can_enter(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)
    assert writing.write_new(str(tmp_path / "ca.pem"), manifest.bundled()) == "written"


@pytest.mark.parametrize("end", ["", "\n"])
def test_the_gap_before_what_is_added(tmp_path: Path, end: str) -> None:
    """One empty line, whether or not the file ended its last one."""
    path = tmp_path / "own.pem"
    own = Authority.root("Own").pem.rstrip("\n")
    path.write_text(own + end)
    writing.add_roots(str(path), [G2])
    assert path.read_text() == f"{own}\n\n{manifest.pem(G2)}"


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exists: bool) -> None:
    def refused(*args: Any, **options: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    path = tmp_path / "ca.pem"
    if exists:
        path.write_text("mine")
    assert bool(writing.write_new(str(path), [G2])) is not exists
    assert path.read_text() == ("mine" if exists else manifest.pem(G2))
    assert os.listdir(tmp_path) == ["ca.pem"]


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts what is open")
def test_no_folder_stays_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    writing.write_new(str(tmp_path / "new" / "ca.pem"), [G2])
    writing.add_roots(str(tmp_path / "new" / "ca.pem"), manifest.bundled())
    assert len(os.listdir("/proc/self/fd")) == before


needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give files away")


@needs_root
def test_the_owner_is_kept(tmp_path: Path) -> None:
    """C16"""
    path = tmp_path / "own.pem"
    path.write_text(Authority.root("Own").pem)
    path.chmod(0o4640)
    os.chown(path, 12345, 23456)
    assert len(writing.add_roots(str(path), manifest.bundled())) == 7
    after = path.stat()
    assert (after.st_uid, after.st_gid, stat.S_IMODE(after.st_mode)) == (12345, 23456, 0o640)


def test_an_owner_that_can_not_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "own.pem"
    path.write_text(Authority.root("Own").pem)
    before = path.read_bytes()
    real = writing._Folder.status

    def another_s(self: Any, name: str) -> Any:
        status = list(real(self, name))
        status[stat.ST_UID] += 1
        return os.stat_result(status)

    def refused(*args: Any) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(writing._Folder, "status", another_s)
    monkeypatch.setattr(os, "fchown", refused)
    with pytest.raises(CaFileError, match="Run the command as the file's owner"):
        writing.add_roots(str(path), manifest.bundled())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["own.pem"]


@pytest.mark.skipif(os.name != "posix", reason="links")
@pytest.mark.parametrize("update", [False, True])
def test_a_link_in_the_place_of_the_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: bool
) -> None:
    """C15: the folder's owner may swap files at any moment; mode, owner and content of others stay as they are."""
    folder, secret = tmp_path / "app", tmp_path / "secret"
    folder.mkdir()
    secret.write_text("root's own")
    secret.chmod(0o600)
    path = folder / "ca.pem"
    if update:
        path.write_text(Authority.root("Own").pem)
        path.chmod(0o777)
    real = os.fsync

    def swapped(descriptor: int) -> None:
        (temporary,) = folder.glob(".*.tmp")
        temporary.unlink()
        temporary.symlink_to(secret)
        real(descriptor)

    swaps = []
    monkeypatch.setattr(os, "fsync", swapped)
    # As early as the file exists, and again after it is complete.
    real_mode = os.fchmod

    def swapped_early(descriptor: int, mode: int) -> None:
        for temporary in folder.glob(".*.tmp"):
            temporary.unlink()
            temporary.symlink_to(secret)
            swaps.append(temporary)
        real_mode(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", swapped_early)
    with pytest.raises(CaFileError, match="replaced by something else"):
        (writing.add_roots if update else writing.write_new)(str(path), manifest.bundled())
    assert swaps
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert secret.stat().st_nlink == 1
    assert secret.read_text() == "root's own"


@pytest.mark.skipif(os.name != "posix", reason="links")
def test_a_link_that_leads_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "link.pem"
    path.symlink_to(tmp_path / "nowhere.pem")
    assert not writing.write_new(str(path), manifest.bundled())
    (problem,) = ca_file.read(str(path)).problems(None)
    assert (problem.code, "is a link to" in problem.message) == ("ca.file_missing", True)
    assert os.listdir(tmp_path) == ["link.pem"]
