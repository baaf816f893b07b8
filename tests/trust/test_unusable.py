"""Files that libpq can't load: each is named with its path, the kind that it is, and what to do."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from azpg_backend.trust import ca_file
from demo_project.localpg import Authority

ROOT = Authority.root("Some Root")
PEM = ROOT.pem.encode()
ELSEWHERE = "Name a PEM file of roots"
AGAIN = "azpg_check, which writes"
UNUSABLE = {
    "empty": (b"", "is empty", AGAIN),
    "DER": (ROOT.certificate.public_bytes(Encoding.DER), "is a DER file ('Some Root')", "openssl x509 -inform DER"),
    "HTML": (b"\n <!DOCTYPE html>", "is an HTML page", AGAIN),
    "capitals": (b"<HTML><BODY>", "is an HTML page", AGAIN),
    "PKCS#7": (b"-----BEGIN PKCS7-----\nMII", "PKCS#7", "openssl pkcs7"),
    "UTF-16": (ROOT.pem.encode("utf-16"), "UTF-16", "Set-Content"),
    "UTF-16 without its mark": (ROOT.pem.encode("utf-16-le"), "UTF-16", "Set-Content"),
    "cut": (PEM[:200], "damaged or cut", AGAIN),
    "cut, of the older name": (b"-----BEGIN X509 CERTIFICATE-----\nMII", "damaged or cut", AGAIN),
    "PKCS#7 in DER": (serialize_certificates([ROOT.certificate], Encoding.DER), "PKCS#7", "openssl pkcs7 -inform DER"),
    "without its lines": (b"".join(PEM.splitlines()[1:-1]), "is base64", "openssl enc -d -base64 -A"),
    "written-out line breaks": (PEM.replace(b"\n", b"\\n"), "written out as \\n", "printf '%b'"),
    "text": (b"TODO", "no certificate in it", ELSEWHERE),
    "JSON": (b'{"certificate": ""}', "no certificate in it", ELSEWHERE),
    "a private key": (b"-----BEGIN RSA PRIVATE KEY-----\nMII", "holds a private key", ELSEWHERE),
}


@pytest.mark.parametrize(("data", "kind", "remedy"), UNUSABLE.values(), ids=UNUSABLE)
def test_an_unusable_file(tmp_path: Path, data: bytes, kind: str, remedy: str) -> None:
    path = tmp_path / "roots.pem"
    path.write_bytes(PEM)
    assert ca_file.read(str(path)).unusable is None
    path.write_bytes(data)
    problem = ca_file.read(str(path)).unusable
    assert problem is not None
    assert kind in problem.message
    assert remedy in problem.hint
    assert str(path) in problem.message
    assert (problem.id, problem.code, problem.where) == ("azpg.E005", "ca.file_invalid", str(path))


@pytest.mark.parametrize("name", ["DER", "PKCS#7", "PKCS#7 in DER", "without its lines"])
def test_a_command_can_be_pasted(tmp_path: Path, name: str) -> None:
    path = tmp_path / "it's a root.pem"
    path.write_bytes(UNUSABLE[name][0])
    problem = ca_file.read(str(path)).unusable
    assert problem is not None
    assert str(path) in shlex.split(problem.hint.replace("Convert it: ", ""))


@pytest.mark.parametrize(("make", "kind"), [(os.mkdir, "a directory"), (os.mkfifo, "not a regular file")])
def test_what_is_no_file(tmp_path: Path, make: object, kind: str) -> None:
    path = str(tmp_path / "odd")
    make(path)  # type: ignore[operator]
    problem = ca_file.read(path).unusable
    assert problem is not None
    assert kind in problem.message
