"""certificate: would libpq trust this server?"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from azpg_backend import trust
from azpg_backend.diagnosis import forecast, host_names, verdict
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.forecast import Forecast
from azpg_backend.diagnosis.handshake import Handshake
from azpg_backend.diagnosis.report import StepResult, from_problems, passed
from azpg_backend.diagnosis.step import Need, Step, encryption, handshakes, network
from azpg_backend.errors import causes
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.errors.redact import printable
from azpg_backend.plan import hosts, libpq
from azpg_backend.plan.hosts import Endpoint
from azpg_backend.trust import ca_file
from azpg_backend.trust.announcements import Announcements


def run(context: Context) -> StepResult:
    now = datetime.datetime.now(datetime.timezone.utc)
    refusals: list[Problem] = []
    warnings: list[Problem] = []
    for endpoint, handshake in context.handshakes.items():
        match_name = context.plan.params.get("sslmode") != "verify-ca"
        found = verdict.objections(handshake, endpoint.host, match_name=match_name)
        if found and not libpq_accepts(context, endpoint):
            refusals += found
            continue
        warnings += found
        context.trusted.append(endpoint)
        if not match_name and not host_names.carries(handshake.chain[0], endpoint.host):
            warnings.append(verdict.wrong_name(handshake.chain[0], endpoint.host))
        if soon := verdict.expiring(handshake, now):
            warnings.append(soon)
    shown = next(iter(context.handshakes.values()))
    detail = _detail(shown, [each for each in refusals if verdict.depth_of(each) < len(shown.chain)])
    if context.announcements is not None and context.trusted:
        coming = _coming(context, context.announcements, now)
        detail["forecast"] = coming.row()
        warnings += filter(None, [coming.problem(now.date())])
    if refusals and context.trusted:
        refusals = [_beside_others(each, context) for each in refusals]
    if refusals or warnings:
        return from_problems([*refusals, *_as_warnings(warnings)], **detail)
    leaf = host_names.common_name(shown.chain[0].subject)
    until = shown.chain[0].not_valid_after_utc.strftime("%Y-%m-%d")
    return passed("certificate", f"{leaf} until {until}, issued under {detail['root']}", **detail)


def _coming(context: Context, known: Announcements, now: datetime.datetime) -> Forecast:
    """Return the forecast that is the worst of all trusted endpoints."""
    trusted = ca_file.read(context.ca_file).certificates
    found = []
    for endpoint in context.trusted:
        cloud = hosts.cloud_of(endpoint.host)
        chain = context.handshakes[endpoint].chain
        found.append(forecast.of(chain, trusted, cloud.name if cloud else None, known, now))
    return min(found, key=lambda each: (not each.breaks, each.day or datetime.date.max))


def _as_warnings(problems: Iterable[Problem]) -> list[Problem]:
    return [dataclasses.replace(each, severity=Severity.WARNING) for each in problems]


def _beside_others(problem: Problem, context: Context) -> Problem:
    """Say why the login is tried all the same: libpq has other hosts to go to."""
    others = ", ".join(map(str, context.trusted))
    why = f"The login below is tried all the same, because the certificate of {others} is good."
    return dataclasses.replace(problem, hint=f"{problem.hint} {why}")


def libpq_accepts(context: Context, endpoint: Endpoint) -> bool:
    """Ask libpq itself whether it trusts a server that we would refuse, without logging in.

    The two can differ if their OpenSSL versions judge a weak key or digest differently; libpq's answer counts.
    No password is given, and a libpq that can be told so refuses every way of logging in (``require_auth=none``), so
    the connection ends right after TLS.
    """
    database = context.wrapper.Database
    params: dict[str, Any] = {**context.plan.params, "host": endpoint.host, "port": endpoint.port}
    # A file that isn't there: neither ~/.pgpass nor the user's own may hand out a password here.
    params.update(passfile=f"{trust.BUNDLE}.no-password-file", connect_timeout=max(2, int(context.timeout)))
    if endpoint.hostaddr:
        params["hostaddr"] = endpoint.hostaddr
    if libpq.knows("require_auth"):
        params["require_auth"] = "none"
    try:
        database.connect(**params).close()
    except database.Error as error:
        cause = causes.of_login(str(error))
        # Only an answer from beyond TLS shows that libpq got there.
        return (
            cause is not None
            and cause.code in {"login.wrong_password", "login.no_hba_entry"}
            or any(words in str(error) for words in ("authentication method requirement", "FATAL:"))
        )
    except UnicodeDecodeError:
        return False
    return True


def _detail(handshake: Handshake, refusals: list[Problem]) -> dict[str, Any]:
    chain = [_certificate(each) for each in handshake.chain]
    return {
        "chain": chain,
        "root": _root(handshake),
        "broken_at": min(map(verdict.depth_of, refusals), default=None),
    }


def _root(handshake: Handshake) -> str | None:
    """Return the name of the trusted root that OpenSSL's path ends in, or None if it found none."""
    if handshake.errors or not handshake.path:
        return None
    return printable(host_names.common_name(handshake.path[-1].subject))


def _certificate(certificate: x509.Certificate) -> dict[str, Any]:
    return {
        "subject": printable(certificate.subject.rfc4514_string()),
        "issuer": printable(certificate.issuer.rfc4514_string()),
        "not_before": certificate.not_valid_before_utc.isoformat(),
        "not_after": certificate.not_valid_after_utc.isoformat(),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "sans": [printable(each) for each in host_names.san_texts(certificate)],
    }


def _known_roots(context: Context) -> str:
    if context.system_roots:
        return "sslrootcert=system: only the driver's own OpenSSL knows these roots"
    return "" if context.ca_usable else "needs ca"


def _or_no_forecast(need: Need) -> Need:
    """Let whoever asked for a forecast know that there is none."""

    def asked(context: Context) -> str:
        why = need(context)
        return f"{why}, so there is no forecast" if why and context.announcements is not None else why

    return asked


STEP = Step(
    "certificate",
    run,
    late="certificate.untrusted_root",
    needs=tuple(map(_or_no_forecast, (network, encryption, handshakes, _known_roots))),
)
