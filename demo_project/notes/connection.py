"""What the server itself says of the connection that Django uses."""

from __future__ import annotations

from dataclasses import dataclass

from django.db import connections


@dataclass(frozen=True)
class Seen:
    """The server's view.

    protocol, cipher, bits: None without TLS.
    """

    server: str
    database: str
    user: str
    pid: int
    tls: bool
    protocol: str | None
    cipher: str | None
    bits: int | None


def seen_by_server(alias: str = "default") -> Seen:
    with connections[alias].cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version'), current_database(), current_user, pid, "
            "ssl, version, cipher, bits FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
        )
        return Seen(*cursor.fetchone())
