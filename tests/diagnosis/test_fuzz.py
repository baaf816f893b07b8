"""Bytes from the network are never trusted: no traceback, no endless wait, whatever a server sends."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from azpg_backend.diagnosis import sslrequest
from azpg_backend.diagnosis.bounded import Deadline
from azpg_backend.diagnosis.handshake import Handshake, HandshakeFailed, perform
from azpg_backend.errors import redact
from azpg_backend.errors.codes import step_codes
from tests.support import servers
from tests.support.settings import HOST

TLS_CODES = set(step_codes("tls"))
FUZZ = settings(max_examples=150)


def outcome(answer: bytes) -> str:
    """Shake hands with a server that answers the TLS request with these bytes and hangs up; return the code."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_WR)
        try:
            result = perform(ours, HOST, {}, None, Deadline(30))
        except HandshakeFailed as error:
            assert len(redact.printable(error.problem.message)) <= 500
            return error.problem.code
    assert isinstance(result, Handshake)
    return "tls.ok"


@FUZZ
@given(st.binary(max_size=2000))
@example(b"E")
@example(b"E\x00\x00\x00")
@example(b"E\xff\xff\xff\xff" + b"M" * 1000)
def test_any_answer_to_the_request(answer: bytes) -> None:
    assert outcome(answer) in TLS_CODES


def records() -> st.SearchStrategy[bytes]:
    """Bytes in the shape of TLS records, so that they get past the first look."""
    body = st.binary(max_size=400)
    kinds = st.sampled_from([20, 21, 22, 23, 24, 0, 255])
    versions = st.sampled_from([b"\x03\x01", b"\x03\x03", b"\x03\x04", b"\x00\x00"])
    return st.lists(
        st.builds(
            lambda kind, version, data: bytes([kind]) + version + len(data).to_bytes(2, "big") + data,
            kinds,
            versions,
            body,
        ),
        max_size=4,
    ).map(b"".join)


@FUZZ
@given(records())
def test_any_records_after_the_agreement(answer: bytes) -> None:
    assert outcome(b"S" + answer) in TLS_CODES


@FUZZ
@given(st.binary(max_size=5000))
def test_any_error_response(body: bytes) -> None:
    assert isinstance(sslrequest.error_message(body), str)


@FUZZ
@given(st.text())
@example("\x1b[31mred\x1b[0m\x07\u202egpj.exe\x9b2J")
def test_whatever_is_shown_is_plain(text: str) -> None:
    shown = redact.printable(text)
    assert "\n" not in shown
    assert shown.isprintable()


@pytest.mark.slow
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300))
def test_any_answer_to_the_login(chain: Any, check: Any, at_port: Any, answer: bytes) -> None:
    server = servers.TLSServer(chain.server_pem, chain.key_pem, then=servers.logging_in_and_closing(answer))
    with servers.listening(server) as port:
        steps = check(at_port(port))
    assert steps["login"].status.value in {"fail", "pass"}
    assert "not expected" not in (steps["login"].hint or "")
