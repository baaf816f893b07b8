"""What the local server is told: postgresql.conf, pg_hba.conf, and names in SQL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

SUPERUSER = "postgres"

SETTINGS: Mapping[str, object] = {
    "listen_addresses": "127.0.0.1",
    "ssl": "on",
    "ssl_cert_file": "server.pem",
    "ssl_key_file": "server.key",
    "password_encryption": "scram-sha-256",
    "log_line_prefix": "%m %e ",
    "max_connections": 50,
    "shared_buffers": "32MB",
    # Files in the data folder: /dev/shm would keep those of a server that was killed.
    "dynamic_shared_memory_type": "mmap",
    "lc_messages": "C",
}
# Speed instead of durability: the data is gone at the end anyway.
FAST: Mapping[str, object] = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


def settings_file(settings: Mapping[str, object], socket_folder: str | None) -> str:
    # Several folders may stand there, so that one with a space needs quotes of its own.
    folders = f'"{socket_folder}"' if socket_folder else ""
    values = {**settings, "unix_socket_directories": folders}
    return "".join(f"{key} = {_literal(value)}\n" for key, value in values.items())


def _literal(value: object) -> str:
    text = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
    return "'{}'".format(text.replace("\\", "\\\\").replace("'", "''"))


def hba_file(first: Iterable[str], socket_folder: str | None) -> str:
    """Return pg_hba.conf: the superuser's way in, the caller's lines, and TLS with a password for all others.

    Like Azure with require_secure_transport: without TLS no line matches, and the server says so. A line that rejects
    would make it say something else.
    """
    door = f"local all {SUPERUSER}" if socket_folder else f"hostssl all {SUPERUSER} 127.0.0.1/32"
    return "\n".join([f"{door} scram-sha-256", *first, "hostssl all all all scram-sha-256", ""])


def quoted(name: str) -> str:
    """Return an SQL identifier."""
    return '"{}"'.format(name.replace('"', '""'))
