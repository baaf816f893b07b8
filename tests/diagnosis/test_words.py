"""The words that a reader acts on: the likeliest cause first, nothing that is not so."""

from __future__ import annotations

import dataclasses
import datetime
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from azpg_backend.diagnosis import steps, verdict
from azpg_backend.diagnosis.report import STEPS, Status
from azpg_backend.diagnosis.steps import login, tcp
from azpg_backend.errors import causes
from azpg_backend.errors.codes import ALL_STEPS, STEP_CODES
from demo_project.localpg import Chain, LocalPostgres, azure_chain
from demo_project.localpg.certificates import common_name
from tests.support import servers
from tests.support.chains import Presented, named, of_names
from tests.support.diagnosis import Check, Report, codes
from tests.support.settings import HOST, SettingsFor


def test_steps_are_data() -> None:
    assert tuple(step.name for step in steps.ALL) == STEPS
    every = steps.chosen(azure=True)
    assert tuple(step.name for step in every) == ALL_STEPS
    assert [code for step in every for code in step.codes] == list(STEP_CODES)
    for step in every:
        assert step.late in step.codes
        assert not step.surprise or step.surprise in step.codes
        assert step.late_hint


# Time-outs


@pytest.mark.parametrize(
    ("address", "public"),
    [("20.42.65.92", True), ("10.0.0.4", False), ("172.16.5.4", False), ("192.168.1.1", False), ("fd00::1", False)],
)
def test_a_time_out_names_the_firewall_rule_first_on_a_public_address(
    at_port: Any, check: Check, monkeypatch: pytest.MonkeyPatch, address: str, public: bool
) -> None:
    """B15"""

    def fail(*args: Any, **kwargs: Any) -> Any:
        raise TimeoutError

    monkeypatch.setattr(socket, "create_connection", fail)
    steps = check(at_port(5432, hostaddr=address))
    assert codes(steps) == ["tcp.timeout"]
    hint = steps["tcp"].hint or ""
    assert (hint.find("firewall rule is missing") != -1) is public
    if public:
        assert hint.index("firewall rule is missing") < hint.index("network security groups")


def test_no_text_says_that_azure_s_firewall_answers() -> None:
    for hint in (
        tcp._timeout_hint("20.1.1.1"),
        *(cause.hint for cause in causes.CAUSES if cause.code == "login.timeout"),
    ):
        assert "instead of dropping" not in hint
        assert "firewall-rule create" in hint


# Passing states


@pytest.mark.parametrize(
    ("text", "transient"),
    [
        ("session is read-only", True),
        ("server is in hot standby mode", True),
        ("server is not in hot standby mode", True),
        ("server sent an error response during SSL exchange", True),
        ("pgbouncer cannot connect to server", True),
        ("password authentication failed", False),
        ("bouncer config error", False),
        ("client sent partial pkt in startup phase", False),
        ("cannot read pg_class without having selected a database", False),
    ],
)
def test_what_passes_by_itself(text: str, transient: bool) -> None:
    found = causes.of_login(f'connection to server at "127.0.0.1", port 5432 failed: FATAL:  {text}\n')
    assert found is not None
    assert found.transient is transient


def test_an_error_before_tls_is_explained(at_port: Any, check: Check) -> None:
    answer = servers.answering(servers.error_response("sorry, too many clients already"))
    with servers.listening(answer) as port:
        steps = check(at_port(port))
    assert codes(steps) == ["tls.not_offered"]
    assert "all connections that the server allows are taken" in (steps["tls"].hint or "")


# Passwords that are none


@pytest.mark.parametrize(
    ("password", "part"),
    [
        ("s3cret-value\n", "line break"),
        ("'s3cret-value'", "quotes"),
        ('"s3cret-value"', "quotes"),
        ("@Microsoft.KeyVault(SecretUri=https://v.vault.azure.net/secrets/s3cret-value)", "Key Vault"),
    ],
)
def test_the_form_of_a_password_is_named_and_never_its_value(
    server: LocalPostgres, settings_for: SettingsFor, report: Report, password: str, part: str
) -> None:
    """A5"""
    found = report(settings_for(server, PASSWORD=password))
    (step,) = (each for each in found.steps if each.status is Status.FAIL)
    assert step.code in {"login.wrong_password", "settings.invalid"}
    assert part in f"{step.message} {step.hint}"
    assert "s3cret-value" not in repr(found)
    assert part in login._shape(password) or step.code == "settings.invalid"


# This machine


def test_a_local_server_without_tls(at_port: Any, check: Check) -> None:
    """A14"""
    with servers.listening(servers.answering(b"N")) as port:
        steps = check({**at_port(port), "HOST": "localhost"})
        elsewhere = check(at_port(port))
    assert (steps["tls"].hint or "").index("plaintext_on_loopback") < (steps["tls"].hint or "").index("ssl = on")
    assert "plaintext_on_loopback" not in (elsewhere["tls"].hint or "")


# Several hosts


def test_one_bad_certificate_of_two_says_why_the_login_is_tried(at_port: Any, check: Check, chain: Chain) -> None:
    """B16"""
    other = azure_chain(HOST)
    answer = servers.logging_in(servers.error_response("sorry, too many clients already"))
    good = servers.TLSServer(chain.server_pem, chain.key_pem, then=answer)
    bad = servers.TLSServer(other.server_pem, other.key_pem, then=answer)
    with servers.listening(good) as first, servers.listening(bad) as second:
        settings = at_port(f"{first},{second}", hostaddr="127.0.0.1,127.0.0.1")
        steps = check({**settings, "HOST": f"{HOST},{HOST}"})
    assert steps["certificate"].code == "certificate.untrusted_root"
    assert f"because the certificate of {HOST}:{first} is good" in (steps["certificate"].hint or "")
    assert steps["login"].status is Status.FAIL


# CA files


def _leaf(presented: Presented) -> x509.Certificate:
    return x509.load_pem_x509_certificates(presented.sent.encode())[0]


@pytest.mark.parametrize(
    ("presented", "host", "message", "hint"),
    [
        (named("a.example.org"), HOST, "is for a.example.org, not", "Set HOST to 'a.example.org'"),
        (named("*.*.azure.com", "*.example.org", "b.example.org"), HOST, "is for *.*", "Set HOST to 'b.example.org'"),
        (named("*.example.org"), HOST, "is for *.example.org", "fits '*.example.org'"),
        (named("*.*.azure.com"), HOST, "is for *.*", "No HOST matches it"),
        (named(f"{HOST}."), HOST, "is for ", "No HOST matches it"),
        (named(subject="my server"), HOST, "is for my server", "No HOST matches it"),
        (named(subject=""), HOST, "is for nobody", "No HOST matches it"),
        (named(HOST), "", "and HOST is empty", f"Set HOST to '{HOST}'"),
        (of_names(common_name("x"), (2, b"m\xfcller")), HOST, "can't be read", "No HOST matches it"),
    ],
)
def test_a_name_to_write_is_one_that_can_be_written(presented: Presented, host: str, message: str, hint: str) -> None:
    problem = verdict.wrong_name(_leaf(presented), host)
    assert message in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    ("days", "shape"),
    [((1 / 24, 90), r"from \S+ \d\d:\d\d UTC"), ((-9, -1 / 24), r"on \S+ \d\d:\d\d UTC"), ((-90, -9), r"on [\d-]+$")],
)
def test_a_clock_that_is_off_by_an_hour_is_seen(
    at_port: Any, check: Check, days: tuple[float, float], shape: str
) -> None:
    made = azure_chain(HOST, days=days)
    with servers.listening(servers.TLSServer(made.server_pem, made.key_pem)) as port:
        step = check(at_port(port))["certificate"]
    problem = next(each for each in step.problems if each.code in {"certificate.expired", "certificate.not_yet_valid"})
    assert re.search(shape, problem.message)
    assert (" UTC)" in problem.hint) is (" UTC" in problem.message)


def test_a_relative_path_is_never_written_to(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B7"""
    monkeypatch.chdir(tmp_path)
    steps = check(settings_for(server, {"sslrootcert": "azure.pem"}), update=True)
    assert steps["ca"].code == "ca.file_missing"
    assert str(tmp_path / "azure.pem") in (steps["ca"].hint or "")
    assert os.listdir(tmp_path) == []
    Path("own.pem").write_bytes(Path(settings_for(server)["OPTIONS"]["sslrootcert"]).read_bytes())
    before = Path("own.pem").read_bytes()
    check(settings_for(server, {"sslrootcert": "own.pem"}), update=True)
    assert Path("own.pem").read_bytes() == before


def test_no_folders_from_typing_errors(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path
) -> None:
    """B7"""
    steps = check(settings_for(server, {"sslrootcert": str(tmp_path / "no" / "such" / "ca.pem")}))
    assert steps["ca"].code == "ca.file_missing"
    assert "Correct the path" in (steps["ca"].hint or "")
    assert os.listdir(tmp_path) == []
    steps = check(settings_for(server, {"sslrootcert": str(tmp_path / "one" / "ca.pem")}))
    assert "its folder" in steps["ca"].message


def test_no_internet_is_a_note_unless_a_file_was_written(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """B8"""
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{servers.closed_port()}")
    settings = settings_for(server)
    del settings["OPTIONS"]["sslrootcert"]
    steps = check(settings, offline=False, timeout=20)
    assert steps["ca"].code == "ca.ok"
    assert "nothing depends on it" in steps["ca"].message
    steps = check(settings_for(server, {"sslrootcert": str(tmp_path / "ca.pem")}), offline=False, timeout=20)
    assert (steps["ca"].code, steps["ca"].status) == ("ca.download_failed", Status.WARN)


@pytest.mark.parametrize("suffix", [".sovcloud-api.fr", ".sovcloud-api.de", ".sovcloud-api.sg"])
def test_a_cloud_whose_roots_nobody_knows(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, suffix: str
) -> None:
    """FACTS 21: it says so instead of passing in silence."""
    settings = settings_for(server, HOST=f"demo.postgres.database{suffix}")
    del settings["OPTIONS"]["sslrootcert"]
    steps = check(settings)
    assert (steps["ca"].code, steps["ca"].status) == ("ca.root_missing", Status.WARN)
    assert "has not published" in steps["ca"].message


def test_a_certificate_s_text_is_nowhere_in_the_report(
    server: LocalPostgres, settings_for: SettingsFor, report: Report, chain: Chain
) -> None:
    """A9"""
    found = report(settings_for(server, {"sslrootcert": chain.root_pem}))
    assert chain.root_pem.splitlines()[3] not in repr(found)


def test_too_long_a_token_is_claimed_only_for_what_it_causes() -> None:
    assert {"login.unknown_database", "login.too_many_connections"}.isdisjoint(login._CODES_OF_TOO_LONG)


def test_a_chain_that_is_judged_in_time(chain: Chain) -> None:
    from azpg_backend.diagnosis import verdict
    from azpg_backend.diagnosis.handshake import Handshake

    handshake = Handshake("TLSv1.3", "x", None, False, (chain.leaf,), (), ())
    end = chain.leaf.not_valid_after_utc
    assert verdict.expiring(handshake, end - datetime.timedelta(days=40)) is None
    soon = verdict.expiring(handshake, end - datetime.timedelta(days=1))
    assert soon is not None
    assert dataclasses.asdict(soon)["code"] == "certificate.expiring"


def test_a_slow_login_is_not_blamed_on_the_network(at_port: Any, check: Check, chain: Chain) -> None:
    """The steps before it have reached the server."""
    with servers.listening(servers.TLSServer(chain.server_pem, chain.key_pem)) as port:
        steps = check(at_port(port), timeout=2)
    assert codes(steps) == ["login.timeout"]
    assert "firewall" not in (steps["login"].hint or "")
    assert "never ends a login" in (steps["login"].hint or "")


@pytest.mark.parametrize("options", [{"service": "nope"}, {"cursor_factory": "x"}])
def test_settings_that_only_the_driver_can_judge(
    server: LocalPostgres, settings_for: SettingsFor, check: Check, options: dict[str, Any]
) -> None:
    steps = check(settings_for(server, options), timeout=5)
    (step,) = (each for each in steps.values() if each.status is Status.FAIL)
    said = f"{step.message} {step.hint}"
    assert next(iter(options)) in said
    assert "report it" not in said
    assert "PostgreSQL's documentation" not in said
