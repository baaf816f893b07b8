"""What servers do before TLS, and what they say at login, with the code that each should get."""

from __future__ import annotations

import socket

from tests.support import servers


def plaintext_after_agreement(visitor: socket.socket) -> None:
    servers.request(visitor)
    visitor.sendall(b"S" + servers.error_response("too late"))
    servers.silent(visitor)


TLS_CASES: dict[str, tuple[servers.Behaviour, str, str]] = {
    "N": (servers.answering(b"N"), "tls.not_offered", "no TLS"),
    "ErrorResponse": (
        servers.answering(servers.error_response("sorry, too many clients already")),
        "tls.not_offered",
        "sorry, too many clients already",
    ),
    "ErrorResponse that looks like S": (
        servers.answering(servers.error_response("SSSS")),
        "tls.not_offered",
        "SSSS",
    ),
    "protocol 2 error": (servers.answering(b"Esorry\n\0"), "tls.not_offered", "sorry"),
    "HTTP": (servers.answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "tls.not_postgresql", "HTTP/1.1 400"),
    "SSH": (servers.answering(b"SSH-2.0-OpenSSH_9.2\r\n"), "tls.handshake_failed", "starts with b'SH-2.0"),
    "SMTP": (servers.answering(b"220 mail ESMTP\r\n"), "tls.not_postgresql", "220 mail"),
    "terminal escapes": (servers.answering(b"\x1b[31m\x07"), "tls.not_postgresql", "\\x1b"),
    "close": (servers.answering(then=lambda visitor: None), "tls.closed", "closed the connection"),
    "reset": (servers.answering(then=servers.reset), "tls.closed", "cut"),
    # What the client sent is read first, because a socket that is closed with something unread resets.
    "close after S": (servers.answering(b"S", then=lambda visitor: visitor.recv(65536)), "tls.closed", "closed"),
    "reset after S": (servers.answering(b"S", then=servers.reset), "tls.closed", "cut"),
    "plaintext after S": (plaintext_after_agreement, "tls.handshake_failed", "not TLS"),
    "silence": (servers.silent, "tls.timeout", "silent"),
    "silence after S": (servers.answering(b"S"), "tls.timeout", "silent"),
    "drip after S": (
        servers.answering(b"S", then=servers.dripping(b"\x16\x03\x03\x40\x00\x02" + bytes(1000), 0.1)),
        "tls.timeout",
        "silent",
    ),
    "endless handshake": (servers.answering(b"S", then=servers.endless), "tls.handshake_failed", ""),
    "TLS alert": (
        servers.answering(b"S", b"\x15\x03\x03\x00\x02\x02\x28"),
        "tls.handshake_failed",
        "alert handshake failure",
    ),
    "protocol version alert": (servers.answering(b"S", b"\x15\x03\x03\x00\x02\x02\x46"), "tls.protocol_version", ""),
}


LOGIN_TEXTS: list[tuple[str, str]] = [
    ('password authentication failed for user "app"', "login.wrong_password"),
    (
        "Invalid Username specified. Please check the Username and retry connection. The Username should be in "
        "<username@hostname> format.",
        "login.wrong_password",
    ),
    ('no pg_hba.conf entry for host "203.0.113.7", user "app", database "app", SSL encryption', "login.no_hba_entry"),
    ('no pg_hba.conf entry for host "203.0.113.7", user "app", database "app", SSL on', "login.no_hba_entry"),
    ('no pg_hba.conf entry for host "203.0.113.7", user "app", database "app", no encryption', "login.no_hba_entry"),
    (
        'pg_hba.conf rejects connection for host "10.0.0.1", user "app", database "x", SSL encryption',
        "login.no_hba_entry",
    ),
    ('database "app" does not exist', "login.unknown_database"),
    ("no such database: app", "login.unknown_database"),
    ('permission denied for database "app"', "login.permission_denied"),
    ('role "app" is not permitted to log in', "login.permission_denied"),
    ("sorry, too many clients already", "login.too_many_connections"),
    (
        'remaining connection slots are reserved for roles with privileges of the "pg_use_reserved_connections" role',
        "login.too_many_connections",
    ),
    ("remaining connection slots are reserved for roles with the SUPERUSER attribute", "login.too_many_connections"),
    (
        "remaining connection slots are reserved for non-replication superuser connections",
        "login.too_many_connections",
    ),
    ("no more connections allowed (max_client_conn)", "login.too_many_connections"),
    ("the database system is starting up", "login.starting_up"),
    ("the database system is shutting down", "login.starting_up"),
    ("the database system is in recovery mode", "login.starting_up"),
    ("server login has been failing, cached error: x (server_login_retry)", "login.starting_up"),
    ("query_wait_timeout", "login.too_many_connections"),
    ("The access token has expired. Acquire a new token and try again.", "login.token_failed"),
    ("The access token has expired. Please acquire a new token and retry.", "login.token_failed"),
    (
        "The access token does not have a valid audience claim. Please acquire a new token for the resource "
        '"https://ossrdbms-aad.database.windows.net".',
        "login.token_failed",
    ),
    ("The access token doesn't have a valid oid claim. Acquire a new token and try again", "login.token_failed"),
    ("The access token has invalid format", "login.token_failed"),
    (
        "An error occurred while validating the access token. Please acquire a new token and retry",
        "login.token_failed",
    ),
    ("Azure AD access token not valid for role app (does not contain group ID 123)", "login.token_failed"),
    (
        'Microsoft Entra user token for role "app" is neither an AAD_AUTH_TOKENTYPE_APP_USER or an '
        "AAD_AUTH_TOKENTYPE_APP_OBO token.",
        "login.token_failed",
    ),
    (
        'Service principals cannot generate AAD_AUTH_TOKENTYPE_APP_USER tokens for role "app"',
        "login.token_failed",
    ),
    ("unsupported startup parameter: search_path", "login.failed"),
    ("unsupported startup parameter in options: statement_timeout", "login.failed"),
    ("cannot read pg_class without having selected a database", "login.token_failed"),
    # PgBouncer's, which name neither user nor reason
    ("SASL authentication failed", "login.wrong_password"),
    ("password authentication failed", "login.wrong_password"),
    ("PAM authentication failed", "login.wrong_password"),
    ("LDAP authentication failed", "login.wrong_password"),
    ("certificate authentication failed", "login.wrong_password"),
    ('"trust" authentication failed', "login.wrong_password"),
    ("auth failed", "login.wrong_password"),
    ("empty password returned by client", "login.wrong_password"),
    ("no such user", "login.permission_denied"),
    ("no such user: app", "login.permission_denied"),
    ('database "app" is disabled', "login.permission_denied"),
    ("login rejected", "login.no_hba_entry"),
    ("SSL required", "login.no_hba_entry"),
    ("bouncer config error", "login.failed"),
    ("SCRAM authentication failed: user has MD5 secret", "login.failed"),
    ("client sent partial pkt in startup phase", "login.failed"),
    ("client connections exceeded (max_user_client_connections)", "login.too_many_connections"),
    ("client_login_timeout (server down)", "login.starting_up"),
    ("pgbouncer cannot connect to server", "login.starting_up"),
    ("server login has been failing, try again later (server_login_retry)", "login.starting_up"),
    ('database "template0" is not currently accepting connections', "login.permission_denied"),
    ('too many connections for role "app"', "login.too_many_connections"),
    ('too many connections for database "app"', "login.too_many_connections"),
    ('unrecognized configuration parameter "x"', "login.failed"),
    ("something that nobody has seen yet", "login.failed"),
]
