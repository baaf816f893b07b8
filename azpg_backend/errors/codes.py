"""Every code of ``azpg_check``, every id of a system check: declared once, with the summary that lists show.

A code is "<step>.<name>"; scripts rely on it, so a code is never renamed or given another meaning. Besides these each
step has ``<step>.ok`` for a pass and ``<step>.skipped`` for a step that was not run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from azpg_backend.errors.problem import Severity

STEP_CODES: Mapping[str, str] = {
    "settings.invalid": "an unknown key, an invalid value, or a known trap",
    "settings.weak_tls": "a setting that would weaken TLS; the engine refuses it",
    "settings.raised_sslmode": "a weak sslmode that the engine raises to verify-full",
    "settings.verify_ca": "the server's name is not verified",
    "settings.missing_host": "there is no name to verify",
    "settings.not_azure_host": "Azure gives no server this name",
    "ca.download_failed": "the official copies can't be compared; the packaged roots serve",
    "ca.fingerprint_mismatch": "an official URL served another certificate",
    "ca.file_missing": "the file does not exist and can't be written",
    "ca.file_invalid": "libpq can't load the file: DER, HTML, empty, damaged, unreadable",
    "ca.root_missing": "the file lacks a root that Azure uses now",
    "ca.not_a_root": "the file pins an intermediate or server certificate",
    "ca.root_expiring": "a root in the file ends soon, or has ended",
    "dns.not_found": "the name does not exist for this machine",
    "dns.temporary_failure": "no name server answered",
    "dns.timeout": "looking up the name took too long",
    "tcp.refused": "nothing listens: stopped, restarting, or PgBouncer off",
    "tcp.timeout": "no answer: a firewall rule is missing, or packets are dropped on the way",
    "tcp.unreachable": "there is no route",
    "tcp.reset": "the connection was reset",
    "tls.not_offered": "the server has no TLS, or answered with an error instead",
    "tls.protocol_version": "no TLS version in common",
    "tls.handshake_failed": "no cipher in common, or what came was not TLS",
    "tls.closed": "the connection was cut before TLS was ready",
    "tls.timeout": "the server went silent before TLS was ready",
    "tls.not_postgresql": "another service answers there",
    "certificate.expired": "a certificate of the chain has expired",
    "certificate.not_yet_valid": "a certificate of the chain is not valid yet",
    "certificate.host_mismatch": "the certificate is for another name",
    "certificate.self_signed": "the server's certificate is signed by itself",
    "certificate.untrusted_root": "the chain ends in a root that the CA file does not hold",
    "certificate.incomplete_chain": "the server does not send an intermediate certificate",
    "certificate.wrong_purpose": "a certificate may not be used like this",
    "certificate.weak": "a key or signature that OpenSSL no longer accepts",
    "certificate.expiring": "a certificate of the chain ends soon",
    "certificate.will_break": "an announced change will make libpq refuse the server (--forecast)",
    "login.wrong_password": "password, role or user@server form",
    "login.no_hba_entry": "the firewall, or a rule for this user and database",
    "login.unknown_database": "NAME does not exist",
    "login.permission_denied": "the role may not log in, or not to this database",
    "login.too_many_connections": "all connections are taken",
    "login.starting_up": "the server is restarting",
    "login.token_failed": "the Microsoft Entra token could not be fetched, or was refused",
    "login.tls_refused": "libpq refused the TLS that the steps above accepted",
    "login.timeout": "the login took too long",
    "login.failed": "anything else, in the server's or libpq's own words",
    "session.read_only": "a replica, or a server whose storage is full",
    "session.cannot_create": "the role lacks a right that migrate needs",
    "session.tls_not_confirmed": "client or server sees no TLS",
    "session.unsupported_version": "the server is older than Django supports",
    "session.failed": "the first query failed",
    "session.timeout": "the server logged in and then answered no query",
    "azure.not_installed": "the extra [azure] is not installed",
    "azure.no_token": "the identity got no token for Azure's management API",
    "azure.forbidden": "the identity may not read the server's resource",
    "azure.unreachable": "Azure's management API gave no usable answer",
    "azure.timeout": "Azure's management API took too long",
    "azure.not_found": "the identity can read no server with this name",
    "azure.incomplete": "a part of the server's resource could not be read",
    "azure.stopped": "the server is stopped",
    "azure.not_ready": "the server is starting, updating or in another state that takes no logins",
    "azure.no_firewall_rule": "no firewall rule lets anybody in",
    "azure.other_firewall_rule": "the firewall rules let in other addresses than this machine's",
    "azure.public_access_off": "public access is off, and there is no private endpoint",
    "azure.private_endpoint": "no private endpoint is approved",
    "azure.zone_not_linked": "this machine's network does not use the server's private DNS zone",
    "azure.route": "the server is ready, its network settings fit, and packets get lost on the way",
    "azure.pgbouncer_off": "HOST's port is PgBouncer's, which is off",
    "azure.pgbouncer_burstable": "HOST's port is PgBouncer's, which the Burstable tier does not have",
    "azure.extension_not_allowed": "azure.extensions lacks an extension that migrations create",
    "azure.transport": "the server also takes connections without TLS, or no TLS version in common",
    "azure.max_connections": "the pool may open more connections than the server has",
    "azure.pending_restart": "a server parameter waits for a restart",
    "azure.entra_off": "the alias logs in with Microsoft Entra, which the server does not take",
    "azure.password_off": "the alias logs in with a password, which the server does not take",
    "azure.no_entra_admin": "the server has no Microsoft Entra administrator",
    "azure.standby": "high availability is on and the standby is not healthy",
    "azure.replica": "the alias writes and its server is a read replica, or a replica is broken",
    "azure.maintenance": "maintenance is under way, or comes within two days",
    "azure.storage_full": "the storage is full or nearly so, which makes the server read-only",
}
# The step that runs only if it is asked for: --azure.
AZURE = "azure"
ALL_STEPS = tuple(dict.fromkeys(code.partition(".")[0] for code in STEP_CODES))
# The steps of every check, in the order in which they run.
STEPS = tuple(step for step in ALL_STEPS if step != AZURE)


class Check(NamedTuple):
    """A system check.

    code: azpg_check's code for the same problem.
    severity: how gravely ``manage.py check`` reports it.
    """

    code: str
    severity: Severity
    summary: str


CHECKS: Mapping[str, Check] = {
    "azpg.E001": Check("settings.weak_tls", Severity.ERROR, "a setting that would weaken TLS"),
    "azpg.E002": Check("settings.invalid", Severity.ERROR, "an unknown key or an invalid value"),
    # An image is built without a server, so `manage.py check` only warns; to connect, both are errors.
    "azpg.E003": Check("settings.missing_host", Severity.WARNING, "no host to verify"),
    "azpg.E009": Check("settings.invalid", Severity.WARNING, "no database name"),
    "azpg.E004": Check("settings.weak_tls", Severity.ERROR, "plaintext_on_loopback with a host elsewhere"),
    "azpg.E005": Check("ca.file_invalid", Severity.ERROR, "an sslrootcert file that libpq can't load"),
    "azpg.E006": Check("settings.invalid", Severity.ERROR, "a password beside Microsoft Entra"),
    "azpg.E007": Check("settings.weak_tls", Severity.ERROR, "Microsoft Entra with less than verify-full"),
    "azpg.E008": Check("settings.invalid", Severity.ERROR, "Microsoft Entra without azure-identity"),
    "azpg.W001": Check("settings.verify_ca", Severity.WARNING, "sslmode=verify-ca"),
    "azpg.W002": Check("settings.not_azure_host", Severity.WARNING, "a host that Azure's certificates don't name"),
    "azpg.W003": Check("settings.invalid", Severity.WARNING, "the retired form user@server"),
    "azpg.W004": Check("settings.invalid", Severity.WARNING, "PgBouncer's port without DISABLE_SERVER_SIDE_CURSORS"),
    "azpg.W005": Check("settings.invalid", Severity.WARNING, "PgBouncer's port with start-up settings in options"),
    "azpg.W006": Check("settings.invalid", Severity.WARNING, "CONN_MAX_AGE without CONN_HEALTH_CHECKS"),
    "azpg.W007": Check("settings.invalid", Severity.WARNING, "sslrootcert=system"),
    "azpg.W008": Check("ca.file_missing", Severity.WARNING, "an sslrootcert file that does not exist yet"),
    "azpg.W009": Check("ca.root_missing", Severity.WARNING, "an sslrootcert file that lacks a root in use"),
    "azpg.W010": Check(
        "ca.not_a_root", Severity.WARNING, "an sslrootcert file that pins an intermediate or server certificate"
    ),
    "azpg.W011": Check("ca.root_expiring", Severity.WARNING, "an sslrootcert file with a root that ends soon"),
    "azpg.W012": Check("settings.invalid", Severity.WARNING, "PgBouncer's port with assume_role"),
    "azpg.W013": Check("settings.invalid", Severity.WARNING, "PgBouncer's port with channel_binding=require"),
    "azpg.W014": Check("settings.invalid", Severity.WARNING, "PgBouncer's port with prepared statements"),
    "azpg.W015": Check("settings.raised_sslmode", Severity.WARNING, "a weak sslmode, raised to verify-full"),
    "azpg.W016": Check("settings.invalid", Severity.WARNING, "a password that does not look like one"),
    "azpg.W017": Check("settings.invalid", Severity.WARNING, "no user"),
    "azpg.W018": Check("settings.invalid", Severity.WARNING, "a relative sslrootcert"),
    "azpg.W019": Check("settings.invalid", Severity.WARNING, "CONN_MAX_AGE under ASGI"),
    "azpg.W020": Check("settings.invalid", Severity.WARNING, "a pool without CONN_HEALTH_CHECKS"),
    "azpg.W021": Check("settings.not_azure_host", Severity.WARNING, "a cloud without published roots"),
    "azpg.W022": Check("settings.invalid", Severity.WARNING, "a setting of another package in OPTIONS"),
    "azpg.W023": Check("settings.invalid", Severity.WARNING, "a key that nothing reads"),
    "azpg.W024": Check("settings.invalid", Severity.WARNING, "text instead of True or False"),
}


def step_codes(step: str) -> tuple[str, ...]:
    """Return the codes of one step, besides its ok and skipped."""
    return tuple(code for code in STEP_CODES if code.startswith(f"{step}."))
