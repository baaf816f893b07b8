"""What libpq is told unless the user says otherwise, with the reasons."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from azpg_backend import trust

MINIMUM_PROTOCOL = "TLSv1.2"

# Given to libpq for every connection.
TIMEOUTS: Mapping[str, int] = {
    # Seconds for each address of each host. Azure's own examples wait this long or longer; a healthy login takes
    # well below a second.
    "connect_timeout": 10,
    # A half-open path (the other side is gone, and nobody says so) is given up within 20 s, whether the connection
    # was sending or only waiting: after 10 s of silence a probe every 2 s, five in all. A pause of 15 s is survived,
    # because a probe falls between second 15 and second 18, when tcp_user_timeout ends the connection. Azure's load
    # balancers, which forget an idle flow after 240 s, hear from it in time.
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 2,
    "keepalives_count": 5,
    # Milliseconds that sent data, probes included, may go unacknowledged (Linux; ignored elsewhere).
    "tcp_user_timeout": 18_000,
}
PLAINTEXT: Mapping[str, Any] = {"sslmode": "disable", "gssencmode": "disable"}
TLS: Mapping[str, Any] = {
    "sslmode": "verify-full",
    "sslrootcert": trust.BUNDLE,
    "ssl_min_protocol_version": MINIMUM_PROTOCOL,
    # With a Kerberos ticket, libpq would first try GSSAPI, which Azure does not have.
    "gssencmode": "disable",
}
# Keywords whose value from the environment or a service file must not take effect: a lower maximum, and a file into
# which libpq 18 would write the session's keys.
UNSET_IF_INHERITED = ("ssl_max_protocol_version", "sslkeylogfile")


def chosen(
    plaintext: bool, own: Mapping[str, Any], inherited: Mapping[str, Any], knows: Callable[[str], bool]
) -> dict[str, Any]:
    """Return our defaults for an alias: what beats the environment and a service file, and yields to OPTIONS."""
    values: dict[str, Any] = {**(PLAINTEXT if plaintext else TLS), **TIMEOUTS}
    if not plaintext:
        values |= {keyword: "" for keyword in UNSET_IF_INHERITED if keyword in inherited}
        values |= _no_client_certificate(own, knows)
    return {keyword: value for keyword, value in values.items() if knows(keyword)}


def _no_client_certificate(own: Mapping[str, Any], knows: Callable[[str], bool]) -> dict[str, Any]:
    if own.keys() & {"sslcert", "sslkey", "sslcertmode"}:
        return {}
    if knows("sslcertmode"):
        return {"sslcertmode": "disable"}
    # Before libpq 16, only a file that isn't there keeps it from ~/.postgresql/postgresql.crt, which may belong to
    # another account and then breaks every connection.
    return {"sslcert": f"{trust.BUNDLE}.no-client-certificate"}
