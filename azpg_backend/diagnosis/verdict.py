"""OpenSSL's objections to a chain, in words."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa

from azpg_backend.diagnosis import host_names
from azpg_backend.diagnosis.handshake import Handshake, VerifyError
from azpg_backend.errors.problem import Link, Problem, Severity
from azpg_backend.plan import host_text
from azpg_backend.trust import lifetime, manifest

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


def objections(handshake: Handshake, host: str, *, match_name: bool) -> list[Problem]:
    """Return every reason to refuse the server, gravest first; an empty list is an acceptance.

    match_name: False under sslmode=verify-ca.
    """
    found = [_JUDGES.get(error.number, _unknown)(error, handshake) for error in _root_causes(handshake.errors)]
    if match_name and handshake.chain and not host_names.carries(handshake.chain[0], host):
        found.append(wrong_name(handshake.chain[0], host))
    return found


def depth_of(problem: Problem) -> int:
    """Return which certificate of the chain is at fault; 0 is the server's own."""
    return problem.where.depth if isinstance(problem.where, Link) else 0


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


def _problem(code: str, message: str, hint: str, certificate: x509.Certificate, depth: int) -> Problem:
    return Problem(code, message, hint, where=Link(depth, host_names.common_name(certificate.subject)))


def _expired(error: VerifyError, handshake: Handshake) -> Problem:
    ended = error.certificate.not_valid_after_utc
    message = f"{_who(error, handshake)} expired on {_date(ended)}"
    hint = _clock_hint(ended, "renew it, or for Azure wait for the rotation to finish")
    return _problem("certificate.expired", message, hint, error.certificate, error.depth)


def _not_yet_valid(error: VerifyError, handshake: Handshake) -> Problem:
    begins = error.certificate.not_valid_before_utc
    message = f"{_who(error, handshake)} is valid only from {_date(begins)}"
    hint = _clock_hint(begins, "wait until then, or use the previous certificate")
    return _problem("certificate.not_yet_valid", message, hint, error.certificate, error.depth)


def _self_signed(error: VerifyError, handshake: Handshake) -> Problem:
    return _problem(
        "certificate.self_signed",
        f"{_who(error, handshake)} is signed by itself, not by an authority",
        "Azure never does this: check HOST and PORT. If this is your own server, point sslrootcert at a file with this "
        "certificate.",
        error.certificate,
        error.depth,
    )


def _sent_root(error: VerifyError, handshake: Handshake) -> Problem:
    return untrusted_root(host_names.common_name(error.certificate.subject), "the server sent it", error)


def _other_key(error: VerifyError, handshake: Handshake) -> Problem:
    issuer = host_names.common_name(error.certificate.issuer)
    return _problem(
        "certificate.untrusted_root",
        f"{_who(error, handshake)} is not signed by the {issuer!r} in the CA file: same name, different key",
        "Use the roots in this package (remove sslrootcert), or replace the file's copy of that root.",
        error.certificate,
        error.depth,
    )


def _weak(error: VerifyError, handshake: Handshake) -> Problem:
    return _problem(
        "certificate.weak",
        f"{_who(error, handshake)} has {_strength(error.certificate)}, which OpenSSL no longer accepts",
        "Azure's certificates are stronger: check HOST and PORT. Your own server needs RSA 2048 or EC P-256 and "
        "SHA-256 at least.",
        error.certificate,
        error.depth,
    )


def _wrong_purpose(error: VerifyError, handshake: Handshake) -> Problem:
    return _problem(
        "certificate.wrong_purpose",
        f"{_who(error, handshake)} may not be used like this: {_PURPOSE[error.number]}",
        "Ask whoever issued it for a certificate for a TLS server (extended key usage serverAuth), from an authority "
        "that may issue for this name.",
        error.certificate,
        error.depth,
    )


def _not_ruled_out(error: VerifyError, handshake: Handshake) -> Problem:
    return _problem(
        "certificate.untrusted_root",
        f"{_who(error, handshake)} is refused: it was revoked, or its revocation could not be ruled out",
        "With sslcrl, sslcrldir or a root.crl in the home folder, libpq wants a current list for every authority: "
        "update the lists or remove the setting. If the certificate was revoked, don't connect.",
        error.certificate,
        error.depth,
    )


def _unknown(error: VerifyError, handshake: Handshake) -> Problem:
    return _problem(
        "certificate.untrusted_root",
        f"{_who(error, handshake)} is refused: OpenSSL error {error.number}",
        "See OpenSSL's documentation of this error (openssl-verification-options).",
        error.certificate,
        error.depth,
    )


def _missing_issuer(error: VerifyError, handshake: Handshake) -> Problem:
    certificate, depth = error.certificate, error.depth
    issuer = host_names.common_name(certificate.issuer)
    if any(each.subject == certificate.issuer for each in handshake.chain):
        return _stopped_by_the_file(error, handshake)
    known_root = any(root.name == issuer for root in manifest.roots())
    cross_signed = manifest.is_intermediate(issuer)
    issued = _who(error, handshake)
    if cross_signed or (depth == 0 and not known_root):
        return _problem(
            "certificate.incomplete_chain",
            f"the server does not send the certificate of {issuer!r}, which issued {issued}",
            "The server's chain is incomplete. On Azure, open a support request. On your own server, append the "
            "issuing certificate to ssl_cert_file. If a device in between inspects TLS, let this traffic bypass it.",
            certificate,
            depth,
        )
    return untrusted_root(issuer, f"it issued {issued}", error)


def _stopped_by_the_file(error: VerifyError, handshake: Handshake) -> Problem:
    """The server sent the issuer, but OpenSSL took this certificate from the file and looks for the rest there too."""
    top = error.certificate
    for _ in handshake.chain:
        top = next((each for each in handshake.chain if each.subject == top.issuer and each != top), top)
    name, root = host_names.common_name(error.certificate.subject), host_names.common_name(top.issuer)
    return _problem(
        "certificate.untrusted_root",
        f"the chain leads to {root!r}, but the CA file holds {name!r}, which is not a root, and ends the search there",
        f"Delete {name!r} from the file and let it hold the root, {root!r}; or remove sslrootcert to use the roots in "
        "this package.",
        error.certificate,
        error.depth,
    )


def untrusted_root(root: str, why: str, error: VerifyError) -> Problem:
    message = f"the chain ends in {root!r} ({why}), which the CA file does not hold"
    if any(each.name == root for each in manifest.roots()):
        hint = (
            f"{root} is one of Azure's roots: remove sslrootcert to use the roots in this package, or run manage.py "
            "azpg_check --update-ca."
        )
    else:
        hint = (
            f"{root!r} is not one of Azure's roots. If it is the name of your company or of a security product, a "
            "device in between inspects TLS: let traffic to the server bypass it. If this is your own server, point "
            "sslrootcert at its root."
        )
    return _problem("certificate.untrusted_root", message, hint, error.certificate, error.depth)


def wrong_name(certificate: x509.Certificate, host: str) -> Problem:
    carried = host_names.san_texts(certificate) or [host_names.common_name(certificate.subject)]
    shown = ", ".join(carried[:5]) + (f" and {len(carried) - 5} more" if len(carried) > 5 else "")
    what = f"the certificate is for {shown or 'nobody'}, not for {host!r}"
    readable = host_names.sans(certificate) is not None
    if not readable:
        what = "the names in the certificate (its subject alternative names) can't be read"
    elif not host:
        what = f"the certificate is for {shown}, and HOST is empty"
    if host.endswith("."):
        hint = "Write HOST without the dot at its end."
    elif ".privatelink." in host:
        hint = f"Use {host.replace('.privatelink.', '.')!r}: with a private endpoint it leads to the private address."
    else:
        hint = _name_to_write(carried if readable else ())
    return _problem("certificate.host_mismatch", what, hint, certificate, 0)


def _name_to_write(carried: Sequence[str]) -> str:
    """Return what to do if HOST is none of the names that a certificate carries."""
    if usable := next((each for each in carried if each and host_text.host(each) is None), ""):
        return f"Set HOST to {usable!r} if that is your server; put the address to dial into OPTIONS['hostaddr']."
    if pattern := next((each for each in carried if each.startswith("*.") and "*" not in each[1:]), ""):
        return f"Set HOST to your server's name if it has one that fits {pattern!r}, or check HOST and PORT."
    return "No HOST matches it: check HOST and PORT. If this is your own server, issue its certificate with its name."


def expiring(handshake: Handshake, now: datetime.datetime) -> Problem | None:
    """Return a warning for the certificate of the chain that ends first, if that is soon for its lifetime."""
    soonest = min(handshake.chain, key=lambda each: each.not_valid_after_utc, default=None)
    if soonest is None or not lifetime.ends_soon(soonest, now):
        return None
    depth = handshake.chain.index(soonest)
    return Problem(
        "certificate.expiring",
        f"{_described(soonest, depth, handshake)} ends on {_date(soonest.not_valid_after_utc)}",
        "Azure renews its certificates by itself: look again in a few days. On your own server renew it now.",
        Severity.WARNING,
        where=Link(depth, host_names.common_name(soonest.subject)),
    )


def _who(error: VerifyError, handshake: Handshake) -> str:
    return _described(error.certificate, error.depth, handshake)


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


def _clock_hint(moment: datetime.datetime, then: str) -> str:
    now = datetime.datetime.now(datetime.timezone.utc)
    return f"If this machine's clock is right (it says {_date(now, near=moment)}): {then}."


def _date(moment: datetime.datetime, near: datetime.datetime | None = None) -> str:
    """Return the day, and the time if the other moment (now, by default) is less than a day away."""
    other = near or datetime.datetime.now(datetime.timezone.utc)
    close = abs(moment - other) < datetime.timedelta(days=1)
    return moment.strftime("%Y-%m-%d %H:%M UTC" if close else "%Y-%m-%d")


_JUDGES: Mapping[int, Callable[[VerifyError, Handshake], Problem]] = {
    **dict.fromkeys(_REVOCATION, _not_ruled_out),
    **dict.fromkeys(_PURPOSE, _wrong_purpose),
    **dict.fromkeys(_WEAK, _weak),
    **dict.fromkeys(_MISSING_ISSUER, _missing_issuer),
    _SIGNATURE: _other_key,
    _EXPIRED: _expired,
    _NOT_YET_VALID: _not_yet_valid,
    _SELF_SIGNED_LEAF: _self_signed,
    _SELF_SIGNED_IN_CHAIN: _sent_root,
}
