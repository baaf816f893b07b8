"""A diagnosis as one text to attach to a ticket: report, versions, settings, addresses, each chain as PEM."""

from __future__ import annotations

import platform
import ssl
from collections.abc import Iterator
from importlib import metadata

from django.core.management.color import no_style
from OpenSSL import SSL

from azpg_backend.diagnosis import as_json, as_text
from azpg_backend.diagnosis.outcome import Outcome
from azpg_backend.diagnosis.report import DatabaseReport
from azpg_backend.errors.redact import printable
from azpg_backend.plan import libpq

_PACKAGES = (
    "django-azpg",
    "Django",
    "psycopg2-binary",
    "psycopg2",
    "psycopg",
    "psycopg-binary",
    "psycopg-c",
    "psycopg-pool",
    "azure-identity",
    "requests",
    "cryptography",
    "pyOpenSSL",
)
_WIDTH = 100
_HEAD = """\
azpg_check, for support
Written at {at}. Holds the names of hosts, users and databases, with addresses and certificates; no password, no token.
"""


def render(outcome: Outcome) -> str:
    """Return everything that somebody far away needs, without any secret."""
    parts = [_HEAD.format(at=outcome.checked_at.isoformat()), _titled("Versions", "\n".join(_versions()))]
    parts.append(_titled("Report", as_text.whole(outcome, no_style(), _WIDTH)))
    parts += [_titled(f"Alias {printable(each.alias)}", "\n".join(_alias(each))) for each in outcome.reports]
    parts.append(_titled("Report as JSON", as_json.render(outcome)))
    return "\n".join(parts)


def _titled(title: str, text: str) -> str:
    return f"{title}\n{'=' * len(title)}\n\n{text.rstrip()}\n"


def _versions() -> Iterator[str]:
    for package in _PACKAGES:
        try:
            yield f"{package} {metadata.version(package)}"
        except metadata.PackageNotFoundError:
            continue
    yield f"libpq {libpq.version_text()}"
    yield f"OpenSSL of the check: {SSL.OpenSSL_version(SSL.OPENSSL_VERSION).decode()}"
    yield f"OpenSSL of Python: {ssl.OPENSSL_VERSION}"
    yield f"Python {platform.python_version()} on {platform.platform()}"


def _alias(report: DatabaseReport) -> Iterator[str]:
    yield from (f"{key} = {printable(value)}" for key, value in report.settings.items())
    found: list[str] = next((each.detail.get("addresses", []) for each in report.steps if each.step == "dns"), [])
    yield f"\naddresses: {', '.join(map(printable, found)) or 'none'}"
    yield f"\n{report.pem.strip() or 'no certificates'}\n"
