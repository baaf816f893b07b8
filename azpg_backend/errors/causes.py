"""What a failed login's words mean on Azure.

While connecting, neither driver hands on an SQLSTATE (``pgcode`` and ``sqlstate`` are None), so the text is all there
is. Each row has a test with the verbatim text. Order decides: what a server says beats what a socket says, because an
error of several lines names one address after the other and only one of them reached the server.
"""

from __future__ import annotations

import dataclasses
import re
from typing import NamedTuple

from azpg_backend.errors.problem import Problem


class Cause(NamedTuple):
    """A row of the tables below.

    code: the check's code.
    pattern: a regular expression that is found in the text.
    reason: what it means on Azure.
    hint: what to do.
    transient: whether waiting may help (Microsoft, "Handle transient connectivity errors").
    """

    code: str
    pattern: str
    reason: str
    hint: str
    transient: bool = False

    def matches(self, text: str) -> bool:
        return re.search(self.pattern, text, re.IGNORECASE | re.DOTALL) is not None

    def problem(self) -> Problem:
        return Problem(self.code, self.reason, self.hint, transient=self.transient)


# What both drivers say of a name that can't be resolved.
UNKNOWN_NAME = r"could not translate host name|failed to resolve host"

# What a credential says when it has no token.
TOKEN_CAUSES = (
    Cause(
        "login.token_failed",
        r"(?:AADSTS7000215|AADSTS7000222|AADSTS700027|invalid_client)",
        "the application's secret or certificate is wrong or has expired",
        "Make a new one (az ad app credential reset) and put it where the settings read it; or use a managed identity, "
        "which has none.",
    ),
    Cause(
        "login.token_failed",
        r"AADSTS70021",
        "no federated credential of the identity has this issuer, subject and audience",
        "Compare with: az identity federated-credential list. The subject of a Kubernetes service account is "
        "'system:serviceaccount:<namespace>:<name>'.",
    ),
    Cause(
        "login.token_failed",
        r"(?:AADSTS700016|AADSTS90002|AADSTS900023|unauthorized_client)",
        "the tenant has no such application, or there is no such tenant",
        "Check AZURE_CLIENT_ID and AZURE_TENANT_ID (or client_id and tenant_id in credential_kwargs), and that "
        "AZURE_AUTHORITY_HOST is that of your cloud.",
    ),
    Cause(
        "login.token_failed",
        r"Token request error: \(invalid_scope\) (?:429|5\d\d|None)",
        "the identity endpoint of this host (App Service, Container Apps, Functions) did not answer with a token",
        "Try again shortly. If it stays so, check that the scope is that of the host's cloud and that the identity is "
        "assigned to this app: az webapp identity show.",
    ),
    Cause(
        "login.token_failed",
        r"Token request error: \(invalid_scope\)",
        "this app has no such identity, or the scope is of another cloud",
        "Assign the identity (az webapp identity assign); for a user-assigned one check its client id in "
        "credential_kwargs or AZURE_CLIENT_ID.",
    ),
    Cause(
        "login.token_failed",
        r"(?:AADSTS500011|AADSTS70011|AADSTS1002012|invalid_scope|invalid_resource)",
        "Microsoft Entra knows no service of this scope in this cloud",
        "Leave OPTIONS['azpg']['scope'] out, so that it follows the host's cloud; AZURE_AUTHORITY_HOST must name the "
        "same cloud.",
    ),
    Cause(
        "login.token_failed",
        r"(?:AADSTS700024|AADSTS50013|not within its valid time range|is this machine's clock right)",
        "this machine's clock differs from Microsoft's",
        "Set the clock by NTP.",
    ),
    Cause(
        "login.token_failed",
        r"(?:No identity has been assigned|Identity not found|No User Assigned or Delegated|"
        r"no response from the IMDS|No managed identity endpoint|identity configuration not found)",
        "no credential that was tried has an identity here: the host has no managed identity (or not the one with "
        "this client_id), and nobody is signed in",
        "On Azure assign an identity (az webapp identity assign, az vm identity assign), with a user-assigned one "
        "put its client id into AZURE_CLIENT_ID or credential_kwargs; on your own machine: az login.",
    ),
    Cause(
        "login.token_failed",
        r"(?:no answer within|timed out|Failed to establish a new connection|Failed to resolve|"
        r"Name or service not known|Max retries exceeded|Connection (?:refused|reset|aborted)|Cannot connect to host|"
        r"certificate verify failed|Proxy)",
        "the service that issues tokens was not reached",
        "This machine needs a way to login.microsoftonline.com (service tag AzureActiveDirectory), past its firewall "
        "and proxy; for a managed identity, to the identity endpoint of its host.",
    ),
    Cause(
        "login.token_failed",
        r"",
        "the credential gave no token",
        "Its own words are above. On Azure, assign a managed identity to the host; on your own machine: az login.",
    ),
)
# Said to a client that is in: by the answer that proves a login, or by any query.
_NO_SERVER_CONNECTION = Cause(
    "login.too_many_connections",
    r"query_wait_timeout",
    "PgBouncer had no connection to the server free: other transactions used all that default_pool_size allows, or "
    "the server behind it is away",
    "Look for transactions that stay open (pg_stat_activity, state 'idle in transaction') and make them shorter, or "
    "raise default_pool_size: on Azure the server parameter pgbouncer.default_pool_size.",
    transient=True,
)
# What libpq and the server say.
CAUSES = (
    # The TLS of the connection itself
    Cause(
        "login.tls_refused",
        # The second is what a root with the right name and another key leads to.
        r"certificate verify failed|provider signature failure",
        "libpq could not verify the server's certificate against the CA file",
        "azpg_check tells which certificate is at fault, and why. Lowering sslmode would only hide it.",
    ),
    Cause(
        "login.tls_refused",
        r"server certificate for .* does not match host name|host name must be specified for a verified SSL",
        "the certificate belongs to another name than HOST",
        "Set HOST to the server's full name from the Azure portal; an address goes into OPTIONS['hostaddr'].",
    ),
    Cause(
        "login.tls_refused",
        r"certificate's name contains embedded null|certificate contains IP address with invalid length"
        r"|could not get server's host name from server certificate|certificate's name entry is missing",
        "libpq can't read the name in the server's certificate, or there is none",
        "Azure's certificates are never like this: check HOST and PORT. Issue your own server's anew, with its name as "
        "a DNS name in the subject alternative names.",
    ),
    Cause(
        "login.tls_refused",
        r"root certificate file .* does not exist|could not read root certificate file",
        "libpq can't load the CA file that sslrootcert names",
        "Remove sslrootcert to use the roots in this package, or let manage.py azpg_check write the file.",
    ),
    Cause(
        "login.tls_refused",
        r"server does not support SSL|received invalid response to SSL negotiation|SSL error: (?:wrong version number"
        r"|.*alert protocol version|no protocols available|unsupported protocol|.*handshake failure)"
        r"|received unencrypted data after SSL response|invalid SSL protocol version range",
        "TLS could not be agreed on",
        "Check that HOST and PORT name an Azure server (5432, or 6432 for its PgBouncer) and not a proxy.",
    ),
    # Microsoft Entra
    Cause(
        "login.token_failed",
        r"access token has expired",
        "the Microsoft Entra token had expired when the server read it",
        "Use OPTIONS['azpg']['auth'] = 'entra' instead of a token in PASSWORD: each connection then gets a live one.",
    ),
    Cause(
        "login.token_failed",
        r"valid audience claim",
        "the token was issued for another service or another Azure cloud",
        "Leave OPTIONS['azpg']['scope'] out, so that it follows the host's cloud.",
    ),
    Cause(
        "login.token_failed",
        r"access token has invalid format|validating the access token",
        "what arrived in the password field is not a token that this server accepts",
        "For an Entra role set OPTIONS['azpg']['auth'] to 'entra' and leave PASSWORD out; for a password role use its "
        "password. A server in a virtual network needs a way out to the service tag AzureActiveDirectory.",
    ),
    Cause(
        "login.token_failed",
        r"valid oid claim|access token not valid for role|AAD_AUTH_TOKENTYPE",
        "the token belongs to another identity, or another kind of identity, than the role in USER",
        "USER must be the exact name of the identity that signs in: the UPN of a user, the display name of a group, "
        "service principal or managed identity. List them with SELECT * FROM pgaadauth_list_principals(false).",
    ),
    Cause(
        "login.token_failed",
        r"cannot read pg_class without having selected a database",
        "the server's own Microsoft Entra login fails, a known fault with PostgreSQL 18 (Azure/azure-postgresql#132)",
        "Nothing here can mend it: restart the server and ask Azure support with that number. A role with a password "
        "can log in meanwhile.",
    ),
    # What the server says
    Cause(
        "login.no_hba_entry",
        r"no pg_hba\.conf entry for host .* no encryption",
        "the connection came without TLS, and the server requires it (require_secure_transport)",
        "Remove sslmode and plaintext_on_loopback from OPTIONS: TLS is set for you.",
    ),
    Cause(
        "login.no_hba_entry",
        r"no pg_hba\.conf entry for host",
        "no firewall rule of the server allows the address that the message names, or this user may not use this "
        "database",
        "Add that address in the Azure portal under Networking (it takes up to five minutes), or: az postgres "
        "flexible-server firewall-rule create. The address is this machine's as Azure sees it.",
    ),
    Cause(
        "login.no_hba_entry",
        # The others are PgBouncer's.
        r"pg_hba\.conf rejects connection|login rejected|no authentication method (?:is )?found",
        "the server's rules reject this user and database by name, as for azure_maintenance",
        "Use a database and a role of your own.",
    ),
    Cause(
        "login.wrong_password",
        r"should be in <username@hostname> format",
        "this server is a retired Single Server, which wants user@server",
        "Migrate it to flexible server; until then write USER as 'user@server'.",
    ),
    Cause(
        "login.failed",
        r"bouncer config error|auth_type=any requires forced user|broken auth file"
        r"|expected \d+ columns from auth_query|wrong password type|user has MD5 secret",
        "PgBouncer could not check the password, because of its own configuration",
        "With a PgBouncer of your own look at auth_type, auth_file and auth_query, and into its log. Azure's: use port "
        "5432 and ask Azure support.",
    ),
    Cause(
        "login.failed",
        r"partial pkt in startup phase|password too long|user ?name too long|too long db name",
        "PgBouncer could not read the login: user, database, or password or token is longer than it allows",
        "Use port 5432. A token is shorter for an identity in fewer groups; a managed identity's is short.",
    ),
    Cause(
        "login.wrong_password",
        # PgBouncer says which kind of login failed, and names no user.
        r"(?:password|SASL|SCRAM|PAM|LDAP|certificate|\"trust\"|GSSAPI|RADIUS|Ident|Peer|BSD) authentication failed"
        r"|\bauth failed|invalid server signature",
        "the password is wrong or past its VALID UNTIL, or the role does not exist or has no password (the server does "
        "not say which)",
        "Check USER (without '@server') and PASSWORD. To set a new password: az postgres flexible-server update "
        "--admin-password for the administrator, ALTER ROLE ... PASSWORD '...' for another role. A role of Microsoft "
        "Entra logs in with OPTIONS['azpg']['auth'] = 'entra'.",
    ),
    Cause(
        "login.wrong_password",
        r"no password supplied|empty password returned|no authentication response received",
        "the server asked for a password and there is none",
        "Set PASSWORD; if it comes from an environment variable, that variable is empty in this process.",
    ),
    Cause(
        "login.unknown_database",
        r'database ".*" does not exist|no such database',
        "the server has no database of this name",
        "Correct NAME, or create it: az postgres flexible-server db create.",
    ),
    Cause(
        "login.permission_denied",
        r"permission denied for database|is not permitted to log in",
        "the role exists, but may not log in to this database",
        "As an administrator: ALTER ROLE ... LOGIN, or GRANT CONNECT ON DATABASE ... TO ...",
    ),
    Cause(
        "login.permission_denied",
        r'is not currently accepting connections|database does not allow connections|database ".*" is disabled',
        "this database takes no connections from anybody, like template0",
        "Correct NAME; or, as an administrator in another database: ALTER DATABASE ... ALLOW_CONNECTIONS true; for a "
        "PgBouncer of your own, in its console: ENABLE <database>;",
    ),
    Cause(
        "login.permission_denied",
        r'no such user|role ".*" does not exist',
        "PgBouncer or the server knows no role of this name",
        "Check USER, and whether OPTIONS['options'] (or PGOPTIONS) sets a role. With a PgBouncer of your own the role "
        "must also be in auth_file, or auth_query must find it.",
    ),
    Cause(
        "login.too_many_connections",
        r"too many connections for (?:role|database)",
        "the role or the database that the message names has a CONNECTION LIMIT of its own, and it is reached",
        "Use fewer connections; or, as an administrator, raise the limit: ALTER ROLE ... CONNECTION LIMIT ..., or "
        "ALTER DATABASE ... CONNECTION LIMIT ... (-1 for none).",
        transient=True,
    ),
    Cause(
        "login.too_many_connections",
        r"too many clients already|remaining connection slots are reserved",
        "all connections that the server allows are taken (a B1ms has 35 for applications)",
        "Use the built-in PgBouncer (PORT 6432), a smaller pool or fewer workers; under ASGI set CONN_MAX_AGE to 0 or "
        "use OPTIONS['pool']. SELECT * FROM pg_stat_activity shows who holds them.",
        transient=True,
    ),
    Cause(
        "login.too_many_connections",
        r"max_client_conn|max_(?:user|db)_(?:client_)?connections",
        "PgBouncer lets no more clients in, the limit is in its words",
        "Use a smaller pool or fewer workers; under ASGI set CONN_MAX_AGE to 0 or use OPTIONS['pool']. Or raise the "
        "limit: on Azure the server parameter pgbouncer.max_client_conn.",
        transient=True,
    ),
    _NO_SERVER_CONNECTION,
    Cause(
        "login.starting_up",
        r"database system is (?:starting up|shutting down|in recovery mode|not (?:yet )?accepting connections)"
        r"|must be superuser to connect (?:during database shutdown|in binary upgrade mode)"
        r"|pooler is shutting down|server shutting down|server login has been failing"
        r"|client_login_timeout|pgbouncer cannot connect to server|server conn(?:ection)? crashed"
        r"|terminating connection due to administrator command",
        "the server is restarting: failover, maintenance or scaling, usually over in one or two minutes",
        "Try again shortly. If it lasts, look at Resource health in the Azure portal.",
        transient=True,
    ),
    Cause(
        "login.starting_up",
        # libpq's words for an answer other than yes or no to its request for TLS.
        r"server sent an error response during SSL exchange|could not fork new process|out of memory"
        r"|too many open files|no space left on device",
        "the server could not start a process for this connection: it is out of memory or storage, or restarting",
        "Try again shortly. If it lasts, look at the server's memory, storage and connections in the Azure portal.",
        transient=True,
    ),
    Cause(
        "login.failed",
        r"unsupported startup parameter|unsupported options startup parameter",
        "PgBouncer ends connections that ask for settings at start-up",
        "Remove 'options' from OPTIONS (and PGOPTIONS from the environment) and use ALTER ROLE ... SET instead.",
    ),
    Cause(
        "login.no_hba_entry",
        r"SSL required|unencrypted connection",
        "the connection came without TLS, and PgBouncer requires it",
        "Remove sslmode and plaintext_on_loopback from OPTIONS: TLS is set for you.",
    ),
    Cause(
        "login.failed",
        r"channel binding required",
        "channel_binding is 'require', which neither PgBouncer nor a Microsoft Entra login can do",
        "Remove channel_binding; libpq still uses it if the server offers it.",
    ),
    Cause(
        "login.failed",
        r"authentication method requirement",
        "require_auth excludes the method that the server asks for",
        "Remove require_auth, or allow 'scram-sha-256' for passwords and 'password' for Microsoft Entra.",
    ),
    Cause(
        "login.failed",
        r"definition of service .* not found|service file .* not found",
        "the connection service that OPTIONS['service'] or PGSERVICE names is in no service file",
        "Correct the name, or remove it and write HOST, PORT, NAME and USER; libpq looks into PGSERVICEFILE or "
        "~/.pg_service.conf.",
    ),
    Cause(
        "login.failed",
        r"syntax error in service file|nested service specifications|too long in service file",
        "libpq can't read the service file at the place that it names",
        "Write one keyword of libpq a line, in lower case and as keyword=value without blanks, quotes or comments; or "
        "remove the service and write HOST, PORT, NAME and USER.",
    ),
    Cause(
        "login.failed",
        r"protocol version .*min_protocol_version|invalid m(?:in|ax)_protocol_version value",
        "min_protocol_version or max_protocol_version (or PGMINPROTOCOLVERSION, PGMAXPROTOCOLVERSION) asks for a "
        "version of PostgreSQL's protocol that libpq or the server does not have",
        "Remove it from OPTIONS, the service file or the environment.",
    ),
    Cause(
        "login.failed",
        r"GSSAPI continuation error|GSSAPI authentication not supported|SSPI",
        "the server asks for a Kerberos login, which Azure does not have",
        "Check HOST and PORT: this is not Azure's server. On your own server set scram-sha-256 in pg_hba.conf.",
    ),
    Cause(
        "login.failed",
        r"unrecognized configuration parameter|invalid value for parameter|invalid command-line argument for server"
        r'|(?:-c |--)\S+ requires a value|parameter ".*" cannot be (?:changed|set)|permission denied to set '
        r"(?:parameter|role|session authorization)|requires a Boolean value|is outside the valid range for parameter"
        r"|invalid configuration parameter name|does not support leap seconds|appears to use leap seconds",
        "OPTIONS['options'] (or PGOPTIONS, PGTZ, PGDATESTYLE or PGGEQO in the environment) holds something that the "
        "server does not take from this role",
        'Correct or remove it. In options, write "-c name=value" for each parameter, and a blank in a value '
        'as "\\\\ ".',
    ),
    Cause(
        "login.failed",
        r"permission denied to start WAL sender|replication role to start walsender|for replication connection",
        "OPTIONS['replication'] asks for a replication connection, in which Django can't work",
        "Remove 'replication' from OPTIONS.",
    ),
    Cause(
        "login.failed",
        r"private key file|could not load (?:private key|certificate) file|could not read certificate file"
        r"|did not request an SSL certificate|requires a valid client certificate",
        "the client certificate is at fault, and Azure asks for none",
        "Remove sslcert, sslkey and sslcertmode from OPTIONS. A server of your own that wants a certificate needs "
        "sslcert and sslkey, and a key file that others can't read (chmod 600).",
    ),
    Cause(
        "login.failed",
        r"session is (?:not )?read-only|server is (?:not )?in hot standby mode",
        "target_session_attrs asks for another kind of server than the one that answered; during a failover or "
        "promotion that passes",
        "If it stays so, use the virtual endpoint for it (.writer or .reader), or prefer-standby for a reader.",
        transient=True,
    ),
    Cause(
        "login.failed",
        r"due to (?:idle-session|idle-in-transaction|transaction|statement|lock) timeout",
        "the server ended the connection or the statement, because of a time-out that this session has",
        "Raise the parameter that its words name (idle_session_timeout, statement_timeout, ...) where it is set: in "
        "OPTIONS['options'], with ALTER ROLE or ALTER DATABASE, or among the server parameters.",
    ),
    Cause(
        "login.failed",
        r"canceling authentication due to timeout",
        "the login took longer than the server waits for one (authentication_timeout)",
        "Try again shortly. If it stays so, this machine or the server is overloaded, or the path between "
        "them is slow.",
        transient=True,
    ),
    # What the network says
    Cause(
        "login.timeout",
        r"timeout expired|couldn't get a connection after|connection timed out|operation timed out",
        "nothing answered: no firewall rule lets this machine in, or packets are dropped on the way",
        "If the server's address is public, add this machine's address in the Azure portal under Networking (az "
        "postgres flexible-server firewall-rule create) and check that the server is running. If it is private, check "
        "network security groups, routes, peering and the private endpoint.",
        transient=True,
    ),
    Cause(
        "login.failed",
        r"could not translate host name .* (?:temporary failure|try again)|failed to resolve host .*(?:Errno -3\b"
        r"|temporary failure)",
        "the name could not be resolved just now",
        "Check this machine's DNS servers.",
        transient=True,
    ),
    Cause(
        "login.failed",
        rf"{UNKNOWN_NAME}|no address associated|nodename nor servname",
        "the name in HOST does not exist for this machine's DNS",
        "Check the spelling; for a private server link its DNS zone to this network (on App Service: "
        "WEBSITE_DNS_SERVER=168.63.129.16).",
    ),
    Cause(
        "login.failed",
        r"connection refused",
        "nothing listens there: the server is stopped or restarting, or PgBouncer is off (port 6432; not offered on "
        "Burstable)",
        "Start the server, or use port 5432.",
        transient=True,
    ),
    Cause(
        "login.failed",
        r"server closed the connection unexpectedly|connection reset by peer|EOF detected|unexpected eof"
        r"|SSL connection has been closed|could not receive data|could not send data|connection aborted",
        "the connection was cut: a restart or failover, a PgBouncer that found no free server in time, or a firewall "
        "that inspects TLS",
        "Try again shortly; if it stays so, let traffic to the server bypass TLS inspection.",
        transient=True,
    ),
    Cause(
        "login.failed",
        r"network is unreachable|no route to host",
        "this machine has no route to the server's address",
        "Check the network this machine is in (VPN, peering, private endpoint).",
        transient=True,
    ),
)


# What is said to a statement: of migrate, if it lacks a right, or of anybody, if PgBouncer has nowhere to send it.
STATEMENT_CAUSES = (
    _NO_SERVER_CONNECTION,
    Cause(
        "session.cannot_create",
        r"permission denied for schema",
        "the role may not create tables there: on PostgreSQL 15 and newer the schema public belongs to the "
        "administrators, even in a database of the role's own",
        "As an administrator, in this database: GRANT USAGE ON SCHEMA public TO <role>; GRANT CREATE ON SCHEMA public "
        "TO <role>;",
    ),
    Cause(
        "session.cannot_create",
        r"is not allow-listed for|permission denied to create extension",
        "Azure creates only extensions that the server parameter azure.extensions lists",
        "Add it: az postgres flexible-server parameter set --name azure.extensions --value <all that you need>, then "
        "run migrate again.",
    ),
)
# How both drivers name the server that a line of their text is about: its host, perhaps an address, and its port.
_SERVER = re.compile(
    r"""(?:server (?:at|on socket)|host name|host:?) ['"]([^'"]+)['"]"""
    r"""(?: \([^)]*\))?(?:, port:? ['"]?(\d+))?"""
)


def of_login(text: str) -> Problem | None:
    """Return what an error of libpq or of the server means, or None if no row knows it.

    One server whose failure may pass is enough to make the whole transient: the next attempt may reach that one. Two
    ports of one host are two servers, two addresses of one name are not.
    """
    found = next((cause for cause in CAUSES if cause.matches(text)), None)
    if found is None:
        return None
    by_server: dict[tuple[str, ...], str] = {}
    server: tuple[str, ...] = ()
    for line in text.splitlines():
        named = _SERVER.search(line)
        server = (named[1], named[2] or "") if named else server
        by_server[server] = f"{by_server.get(server, '')}{line}\n"
    causes = [next((cause for cause in CAUSES if cause.matches(part)), None) for part in by_server.values()]
    transient = found.transient or any(cause is not None and cause.transient for cause in causes)
    return dataclasses.replace(found.problem(), transient=transient)


def of_statement(text: str) -> Problem | None:
    """Return what a statement's refusal means, or None if no row knows it."""
    return next((cause.problem() for cause in STATEMENT_CAUSES if cause.matches(text)), None)


def of_token(text: str) -> Problem:
    """Return what a credential's own words mean, for a login that did not begin because there was no token."""
    return next(cause for cause in TOKEN_CAUSES if cause.matches(text)).problem()
