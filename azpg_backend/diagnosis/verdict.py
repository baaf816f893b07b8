"""OpenSSL's objections to a chain, as codes and words."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from azpg_backend.diagnosis import host_names
from azpg_backend.diagnosis.handshake import Handshake, VerifyError
from azpg_backend.trust import manifest

EXPIRY_WARNING = datetime.timedelta(days=30)

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_NOT_YET_VALID = 9
_EXPIRED = 10
_SIGNATURE = 7
_SELF_SIGNED_LEAF = 18
_SELF_SIGNED_IN_CHAIN = 19
_MISSING_ISSUER = {2, 20, 21}
_WEAK = {66, 67, 68}
_REVOCATION = {3, 4, 6, 8, 11, 12, 23, 33, 44}
_PURPOSE = {
    24: "its issuer is not marked as an authority",
    25: "its authority may not have so many others below it (path length)",
    26: "its extended key usage does not allow a TLS server",
    32: "its issuer's key usage does not allow signing certificates",
    37: "an intermediate is not marked as an authority",
    47: "its authority may not issue for this name (name constraints)",
    48: "its authority may not issue for this name (name constraints)",
    49: "an authority's name constraints can't be read",
    51: "an authority's name constraints are of a kind that OpenSSL can't check",
    52: "an authority's name constraints can't be read",
    53: "a name in it can't be checked against an authority's name constraints",
    79: "its issuer is not a valid authority",
}


@dataclass(frozen=True)
class Objection:
    """Why a certificate is refused (or, for certificate.expiring and certificate.weak, why it soon will be).

    depth: which certificate is at fault; 0 is the server's own.
    """

    code: str
    message: str
    hint: str
    depth: int


def objections(handshake: Handshake, host: str, *, match_name: bool) -> list[Objection]:
    """Return every reason to refuse the server, gravest first; an empty list is an acceptance.

    match_name: False under sslmode=verify-ca.
    """
    found = [_judged(error, handshake) for error in _root_causes(handshake.errors)]
    if match_name and handshake.chain and not host_names.carries(handshake.chain[0], host):
        found.append(wrong_name(handshake.chain[0], host))
    return found


def _root_causes(errors: tuple[VerifyError, ...]) -> list[VerifyError]:
    """Drop the errors that only follow from another: once an issuer is missing, OpenSSL objects on every level."""
    missing = [error for error in errors if error.number in _MISSING_ISSUER]
    others = [error for error in errors if error.number not in _MISSING_ISSUER]
    # 20 names the certificate whose issuer is missing; 21 and 2 say the same again.
    first = sorted(missing, key=lambda error: error.number != 20)[:1]
    return (
        [error for error in others if error.number in {_NOT_YET_VALID, _EXPIRED}]
        + first
        + [error for error in others if error.number not in {_NOT_YET_VALID, _EXPIRED}]
    )


def _judged(error: VerifyError, handshake: Handshake) -> Objection:
    certificate, depth = error.certificate, error.depth
    who = _described(certificate, depth, handshake)
    if error.number == _EXPIRED:
        return Objection(
            "certificate.expired",
            f"{who} expired on {_date(certificate.not_valid_after_utc)}",
            _clock_hint("renew it, or for Azure wait for the rotation to finish"),
            depth,
        )
    if error.number == _NOT_YET_VALID:
        return Objection(
            "certificate.not_yet_valid",
            f"{who} is valid only from {_date(certificate.not_valid_before_utc)}",
            _clock_hint("use it from that day on"),
            depth,
        )
    if error.number == _SELF_SIGNED_LEAF:
        return Objection(
            "certificate.self_signed",
            f"{who} is signed by itself, not by an authority",
            "Azure never does this: check HOST and PORT. For a server of your own put this certificate into the file "
            "that sslrootcert names.",
            depth,
        )
    if error.number == _SELF_SIGNED_IN_CHAIN:
        return untrusted_root(host_names.common_name(certificate.subject), "the server sent it", depth)
    if error.number in _MISSING_ISSUER:
        return _missing_issuer(certificate, depth, handshake)
    if error.number == _SIGNATURE:
        issuer = host_names.common_name(certificate.issuer)
        return Objection(
            "certificate.untrusted_root",
            f"{who} is not signed by the {issuer!r} in the CA file: it has the same name but another key",
            "Use the roots in this package (remove sslrootcert), or replace the file's copy of that root.",
            depth,
        )
    if error.number in _WEAK:
        return Objection(
            "certificate.weak",
            f"{who} has {_strength(certificate)}, which OpenSSL no longer accepts",
            "Azure's certificates are stronger: check HOST and PORT. A server of your own needs RSA 2048 or EC P-256 "
            "and SHA-256 at least.",
            depth,
        )
    if error.number in _PURPOSE:
        return Objection(
            "certificate.wrong_purpose",
            f"{who} may not be used like this: {_PURPOSE[error.number]}",
            "Whoever issued it must issue one for a TLS server (extended key usage serverAuth), by an authority that "
            "may issue for this name.",
            depth,
        )
    what = "its revocation could not be ruled out" if error.number in _REVOCATION else f"OpenSSL error {error.number}"
    return Objection(
        "certificate.untrusted_root",
        f"{who} is refused: {what}",
        "With sslcrl, sslcrldir or a root.crl in the home folder, libpq wants a current list for every authority."
        if error.number in _REVOCATION
        else "See OpenSSL's documentation of this error (openssl-verification-options).",
        depth,
    )


def _missing_issuer(certificate: x509.Certificate, depth: int, handshake: Handshake) -> Objection:
    issuer = host_names.common_name(certificate.issuer)
    if any(each.subject == certificate.issuer for each in handshake.chain):
        return _stopped_by_the_file(certificate, depth, handshake)
    known_root = any(root.name == issuer for root in manifest.roots())
    cross_signed = manifest.is_intermediate(issuer)
    issued = _described(certificate, depth, handshake)
    if cross_signed or (depth == 0 and not known_root):
        return Objection(
            "certificate.incomplete_chain",
            f"the server does not send the certificate of {issuer!r}, which issued {issued}",
            "The server's chain is incomplete: on Azure ask support; on a server of your own append the issuing "
            "certificate to ssl_cert_file. Where a device in between inspects TLS, let this traffic bypass it.",
            depth,
        )
    return untrusted_root(issuer, f"it issued {issued}", depth)


def _stopped_by_the_file(certificate: x509.Certificate, depth: int, handshake: Handshake) -> Objection:
    """The server sent the issuer, but OpenSSL took this certificate from the file and looks for the rest there too."""
    top = certificate
    for _ in handshake.chain:
        top = next((each for each in handshake.chain if each.subject == top.issuer and each != top), top)
    name, root = host_names.common_name(certificate.subject), host_names.common_name(top.issuer)
    return Objection(
        "certificate.untrusted_root",
        f"the chain leads to {root!r}, but the CA file holds {name!r}, which is not a root, and ends the search there",
        f"Delete {name!r} from the file and let it hold the root, {root!r}; or remove sslrootcert to use the roots in "
        "this package.",
        depth,
    )


def untrusted_root(root: str, why: str, depth: int) -> Objection:
    known = next((each for each in manifest.roots() if each.name == root), None)
    message = f"the chain ends in {root!r} ({why}), which the CA file does not hold"
    if known is not None:
        hint = (
            f"{root} is one of Azure's roots: remove sslrootcert to use the roots in this package, or run manage.py "
            "azpg_check --update-ca."
        )
    else:
        hint = (
            f"{root!r} is not one of Azure's roots. If it is the name of your company or of a security product, a "
            "device in between inspects TLS: let traffic to the server bypass it. If the server is your own, point "
            "sslrootcert at its root."
        )
    return Objection("certificate.untrusted_root", message, hint, depth)


def wrong_name(certificate: x509.Certificate, host: str) -> Objection:
    carried = host_names.san_texts(certificate) or [host_names.common_name(certificate.subject)]
    shown = ", ".join(carried[:5]) + (f" and {len(carried) - 5} more" if len(carried) > 5 else "")
    if host.endswith("."):
        hint = "Write HOST without the dot at its end."
    elif ".privatelink." in host:
        hint = f"Use {host.replace('.privatelink.', '.')!r}: with a private endpoint it leads to the private address."
    else:
        hint = f"Set HOST to {carried[0]!r} if that is your server; keep the address you dial in OPTIONS['hostaddr']."
    return Objection("certificate.host_mismatch", f"the certificate is for {shown}, not for {host!r}", hint, 0)


def expiring(handshake: Handshake, now: datetime.datetime) -> Objection | None:
    """Return a warning for the certificate of the chain that ends first, within 30 days."""
    soonest = min(handshake.chain, key=lambda each: each.not_valid_after_utc, default=None)
    if soonest is None or soonest.not_valid_after_utc - now > EXPIRY_WARNING:
        return None
    depth = handshake.chain.index(soonest)
    return Objection(
        "certificate.expiring",
        f"{_described(soonest, depth, handshake)} ends on {_date(soonest.not_valid_after_utc)}",
        "Azure renews its certificates by itself: look again in a week. On a server of your own renew it now.",
        depth,
    )


def _described(certificate: x509.Certificate, depth: int, handshake: Handshake) -> str:
    name = host_names.common_name(certificate.subject)
    if depth == 0:
        return f"the server's certificate {name!r}"
    return f"the {'intermediate' if certificate in handshake.chain else 'root'} certificate {name!r}"


def _strength(certificate: x509.Certificate) -> str:
    try:
        digest = certificate.signature_hash_algorithm
    except Exception:  # noqa: BLE001 (an algorithm that the library doesn't know is described by the key alone)
        digest = None
    key = certificate.public_key()
    size = f"a {key.key_size}-bit RSA key" if isinstance(key, rsa.RSAPublicKey) else f"a {type(key).__name__}"
    weak = isinstance(digest, (hashes.SHA1, hashes.MD5))
    return f"{size} and a {digest.name.upper()} signature" if weak and digest else size


def _clock_hint(then: str) -> str:
    today = datetime.datetime.now(datetime.timezone.utc)
    return f"If this machine's clock is right (it says {_date(today)}): {then}."


def _date(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%d")
