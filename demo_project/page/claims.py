"""What was verified, claim by claim, and how that went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from demo_project.page.chain import day, path
from demo_project.page.checked import Checked

_NAME = {"certificate.host_mismatch"}
_DATES = {"certificate.expired", "certificate.not_yet_valid"}


@dataclass(frozen=True)
class Claim:
    """One thing that was verified. status: as the check's steps have it, or "open" if nothing decided it."""

    title: str
    status: str
    text: str


def claims(checked: Checked) -> list[Claim]:
    """Return what the engine demands of a connection, in the order in which it is verified."""
    certificate, tls, roots = (checked.detail(name) for name in ("certificate", "tls", "ca"))
    parameters = checked.detail("settings").get("parameters", {})
    lowest = parameters.get("ssl_min_protocol_version", "TLSv1.2")
    agreed = ", ".join(filter(None, (tls.get("protocol"), tls.get("cipher"))))
    root, found = certificate.get("root"), path(checked).certificates
    ends = f"The server's certificate is valid until {day(found[0].ends)}." if found and found[0].ends else ""
    trusted = len(roots.get("roots", []))
    among = f"one of {trusted} trusted roots" if trusted > 1 else "the only trusted root"
    others = checked.codes("certificate") - _NAME - _DATES
    return [
        Claim("Encrypted", _plain(checked, "tls"), f"{agreed}; nothing below {lowest} is accepted." if agreed else ""),
        Claim(
            "Issued under a root you trust",
            _of_certificate(checked, others),
            f"The chain ends in {root}, {among}." if root else "The chain ends in no such root.",
        ),
        Claim("Valid today", _of_certificate(checked, _DATES), ends),
        _name(checked),
        Claim("Only then: the login", _plain(checked, "login"), checked.step("login")["message"]),
        Claim("Confirmed by the server", _plain(checked, "session"), checked.step("session")["message"]),
    ]


def verified(made: Sequence[Claim]) -> bool:
    """Return whether every claim holds. A warning is about what may change, or is about to."""
    return all(claim.status in {"pass", "warn"} for claim in made)


def _name(checked: Checked) -> Claim:
    title = "The server you named"
    if "settings.verify_ca" in checked.codes("settings"):
        return Claim(title, "open", "sslmode=verify-ca does not compare the name in the certificate with HOST.")
    return Claim(title, _of_certificate(checked, _NAME), f"The certificate must carry {checked.report['host']}.")


def _plain(checked: Checked, step: str) -> str:
    status = str(checked.step(step)["status"])
    return "open" if status == "skip" else status


def _of_certificate(checked: Checked, codes: set[str]) -> str:
    """Return how one part of the certificate step went: the codes are those that the part is answerable for."""
    status = _plain(checked, "certificate")
    return status if status in {"pass", "open"} or codes & checked.codes("certificate") else "open"
