"""The decision: what libpq is told for one alias, and what is wrong with its settings.

The engine, dbshell, the system checks and azpg_check all start from the Plan made here. Nothing in this module opens
a connection or changes what it is given, and no secret enters a Plan, so that it can be shown and compared.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from azpg_backend import trust
from azpg_backend.errors import settings as find
from azpg_backend.errors.problem import Place, Problem
from azpg_backend.errors.redact import SECRET_KEYWORDS
from azpg_backend.plan import hosts, libpq, options
from azpg_backend.plan.hosts import Endpoint
from azpg_backend.plan.options import Options

# sslmode's values from weakest to strongest (libpq, "SSL Mode Descriptions").
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
PROTOCOLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
MINIMUM_PROTOCOL = "TLSv1.2"

# Given to libpq for every connection unless the user set the keyword.
TIMEOUTS: Mapping[str, int] = {
    # Seconds for each address of each host. Azure's own examples wait this long or longer; a healthy login takes
    # well below a second.
    "connect_timeout": 10,
    # Azure's load balancers forget an idle flow after 240 s without telling either side. A probe after 60 s keeps the
    # flow known, and a peer that is gone is noticed 50 s later, or on Linux 10 s later, because of tcp_user_timeout.
    "keepalives": 1,
    "keepalives_idle": 60,
    "keepalives_interval": 10,
    "keepalives_count": 5,
    # Milliseconds that sent data may go unacknowledged (Linux; ignored elsewhere).
    "tcp_user_timeout": 30_000,
}

# Taken out of OPTIONS or set by Django, or arguments of the drivers' own connect(), hence not for libpq.
_NOT_FOR_LIBPQ = frozenset(
    {"azpg", "pool", "isolation_level", "assume_role", "server_side_binding"}
    | {"cursor_factory", "connection_factory", "row_factory", "context", "prepare_threshold", "autocommit"}
    | {"async", "async_", "client_encoding"}
)
# Keywords by which a second set of parameters, or libpq's oldest TLS switch, could slip past this module.
_REFUSED = {
    "dsn": "is a whole connection string",
    "conninfo": "is a whole connection string",
    "requiressl": "is libpq's obsolete name for sslmode 'require' or 'prefer', and would replace sslmode",
}
# Keywords whose value from the environment or a service file must not take effect; the others are always sent.
_UNSET_IF_INHERITED = ("ssl_max_protocol_version",)


@dataclass(frozen=True)
class Plan:
    """What one alias asks of libpq.

    params: libpq keywords and values, without any secret.
    problems: mistakes and warnings; with an error among them the engine does not connect.
    endpoints: the servers in the order in which libpq tries them.
    options: OPTIONS["azpg"], or the defaults where it can't be read.
    plaintext: every server is local and plaintext_on_loopback is set, so TLS is not required.
    user: the user name that libpq would send, or "" where neither settings nor environment name one.
    may_negotiate: the engine may choose how TLS begins (sslnegotiation), because nobody else did.
    """

    alias: str
    params: Mapping[str, Any]
    problems: tuple[Problem, ...]
    endpoints: tuple[Endpoint, ...]
    options: Options
    plaintext: bool
    user: str
    may_negotiate: bool
    writes: bool = True

    @property
    def errors(self) -> list[Problem]:
        return [each for each in self.problems if each.is_error]

    def raise_errors(self) -> None:
        """Raise ImproperlyConfigured with every error in it, if there are any."""
        if self.errors:
            raise ImproperlyConfigured("\n".join(map(str, self.errors)))


def decide(
    alias: str,
    settings_dict: Mapping[str, Any],
    *,
    environ: Mapping[str, str] = os.environ,
    knows: Callable[[str], bool] = libpq.knows,
) -> Plan:
    """Decide what libpq is told for an alias.

    settings_dict: ``DATABASES[alias]``. environ: the environment that libpq will read.
    knows: whether the libpq in use takes a keyword.
    """
    return _Decision(alias, settings_dict, environ, knows).plan()


class _Decision:
    def __init__(
        self,
        alias: str,
        settings_dict: Mapping[str, Any],
        environ: Mapping[str, str],
        knows: Callable[[str], bool],
    ) -> None:
        self.alias = alias
        self.settings = settings_dict
        self.environ = environ
        self.knows = knows
        self.problems: list[Problem] = []
        self.entra = False
        self.user_options: Mapping[str, Any] = settings_dict.get("OPTIONS") or {}
        self.service = str(self.user_options.get("service") or environ.get("PGSERVICE") or "")
        self.inherited = libpq.service_values(self.service, environ) if self.service else {}

    def plan(self) -> Plan:
        params = self._user_params()
        parsed = self._parsed_options()
        endpoints = self._endpoints(params)
        self.entra = parsed.auth == "entra"
        plaintext = parsed.plaintext_on_loopback and self._all_local(endpoints) and not self.entra
        if self.entra:
            self._judge_entra(params, parsed)
        elif parsed.plaintext_on_loopback:
            self._judge_plaintext(endpoints)
        if plaintext:
            params.setdefault("sslmode", "disable")
            params.setdefault("gssencmode", "disable")
        else:
            self._judge_tls(params)
            self._judge_endpoints(params, endpoints)
            self._add_tls(params)
        for keyword, value in TIMEOUTS.items():
            self._default(params, keyword, value)
        self._judge_habits(endpoints)
        shown = {key: value for key, value in params.items() if key not in SECRET_KEYWORDS}
        return Plan(
            self.alias,
            shown,
            tuple(self.problems),
            endpoints,
            parsed,
            plaintext,
            user=self._effective(shown, "user"),
            # A service may choose it in a file that is not read here.
            may_negotiate=not plaintext and not self.service and not self._effective(shown, "sslnegotiation"),
        )

    def place(self, key: str) -> Place:
        return Place(self.alias, key)

    # What the user wrote

    def _user_params(self) -> dict[str, Any]:
        params: dict[str, Any] = {}
        name = self.settings.get("NAME")
        if name is None:
            params["dbname"] = "postgres"
        elif str(name).startswith(("postgres://", "postgresql://")):
            # Not shown: a URL holds a password more often than not.
            self._add(
                find.invalid(
                    self.place("NAME"),
                    "is a connection URL, not the name of a database",
                    "Put the parts into NAME, USER, PASSWORD, HOST and PORT, or let dj-database-url do it.",
                )
            )
        elif name:
            params["dbname"] = name
        for key, value in self.user_options.items():
            if key in _REFUSED:
                hint = "Write the keywords as keys of OPTIONS; this backend chooses sslmode itself."
                self._add(find.invalid(self.place(key), _REFUSED[key], hint))
            elif key in _NOT_FOR_LIBPQ or value is None:
                continue
            elif self.knows(key) or key == "database":
                params["dbname" if key == "database" else key] = self._text(key, value)
            else:
                self._add(find.invalid(self.place(key), "is not known to libpq or Django", self._closest(key)))
        for key, keyword in (("USER", "user"), ("HOST", "host"), ("PORT", "port")):
            if value := self.settings.get(key):
                params[keyword] = self._text(key, value)
        return params

    def _text(self, key: str, value: Any) -> Any:
        if not isinstance(value, str) and isinstance(value, os.PathLike):
            value = os.fspath(value)
        if isinstance(value, bytes):
            value = os.fsdecode(value)
        if isinstance(value, str) and "\0" in value:
            self._add(find.invalid(self.place(key), "has a NUL character in it", "Remove it."))
            value = value.replace("\0", "")
        return value

    def _closest(self, key: str) -> str:
        close = difflib.get_close_matches(str(key).lower(), [*libpq.KEYWORDS, *_NOT_FOR_LIBPQ], 1)
        meant = f" Did you mean {close[0]!r}?" if close and close[0] != key else ""
        return f"The driver's libpq is {libpq.version_text()}; remove the key or install a newer driver.{meant}"

    def _parsed_options(self) -> Options:
        try:
            return options.parse(self.user_options.get("azpg"))
        except options.InvalidOption as error:
            key = f"azpg.{error.key}" if error.key else "azpg"
            self._add(find.invalid(self.place(key), error.problem, error.remedy))
            return Options()

    # Where the connection goes

    def _effective(self, params: Mapping[str, Any], keyword: str) -> str:
        """Return the value that libpq would use: parameter, else service file, else environment."""
        for value in (params.get(keyword), self.inherited.get(keyword)):
            if value is not None:
                return str(value)
        return self.environ.get(libpq.ENVIRONMENT[keyword], "")

    def _endpoints(self, params: Mapping[str, Any]) -> tuple[Endpoint, ...]:
        host, hostaddr, port = (self._effective(params, keyword) for keyword in ("host", "hostaddr", "port"))
        try:
            return hosts.endpoints(host, hostaddr, port)
        except ValueError as error:
            hint = "Give one port, or as many ports and addresses as hosts."
            self._add(
                find.invalid(self.place("PORT" if "port" in str(error) else "HOST"), f"does not fit: {error}", hint)
            )
            return ()

    def _all_local(self, endpoints: tuple[Endpoint, ...]) -> bool:
        # A service may name other hosts than those that are known here.
        return bool(endpoints) and not self.service and all(each.is_local for each in endpoints)

    def _judge_plaintext(self, endpoints: tuple[Endpoint, ...]) -> None:
        place = self.place("azpg.plaintext_on_loopback")
        if self.service:
            self._add(
                find.invalid(
                    place,
                    f"is True, but the connection service {self.service!r} (OPTIONS['service'] or PGSERVICE) may "
                    "send the connection elsewhere",
                    "Remove one of the two.",
                )
            )
        for each in endpoints:
            if not each.is_local:
                self._add(find.not_loopback(place, each.hostaddr if hosts.is_local(each.host) else each.host))

    def _judge_endpoints(self, params: Mapping[str, Any], endpoints: tuple[Endpoint, ...]) -> None:
        for each in endpoints:
            if not each.host:
                self._add(find.missing_host(self.place("HOST")))
            elif hosts.is_socket_directory(each.host):
                why = "a socket directory, over which libpq never uses TLS"
                hint = "Set HOST to the server's full name, or OPTIONS['azpg']['plaintext_on_loopback'] to True for a "
                self._add(find.weak_tls(self.place("HOST"), each.host, why, hint + "server on this machine."))
            elif hosts.cloud_of(each.host) is None or ".privatelink." in each.host.lower():
                suffixes = [cloud.suffix for cloud in hosts.CLOUDS]
                self._add(find.not_azure_host(self.place("HOST"), each.host, suffixes))

    # How it is protected

    def _judge_tls(self, params: dict[str, Any]) -> None:
        """Judge the keywords that decide on protection, and take out those that are refused.

        So a Plan is safe to act on even where it has errors: azpg_check goes on looking with the defaults.
        """
        for key, judge in (
            ("sslmode", self._mode_problem),
            ("ssl_min_protocol_version", self._protocol_problem),
            ("ssl_max_protocol_version", self._protocol_problem),
            ("gssencmode", self._gss_problem),
            ("sslrootcert", self._root_problem),
        ):
            problem = judge(self.place(key), params[key]) if key in params else None
            if problem is not None:
                self._add(problem)
                if problem.is_error:
                    del params[key]

    def _mode_problem(self, place: Place, mode: Any) -> Problem | None:
        if mode == "verify-full":
            return None
        if mode == "verify-ca":
            return find.entra_needs_verify_full(place, mode) if self.entra else find.verify_ca(place)
        hint = "Remove it (verify-full is set for you)."
        if mode in SSL_MODES:
            why = "the server's certificate would not be verified, so anyone on the path could read the password"
            return find.weak_tls(place, mode, why, hint)
        if mode == "verify-all":
            hint += " Microsoft's page says 'verify-all', but libpq's word is 'verify-full'."
        return find.invalid(place, f"is {mode!r}, which libpq does not know", hint)

    def _protocol_problem(self, place: Place, value: Any) -> Problem | None:
        names = {name.lower(): rank for rank, name in enumerate(PROTOCOLS)}
        hint = f"Remove it ({MINIMUM_PROTOCOL} or newer is set for you), or use 'TLSv1.2' or 'TLSv1.3'."
        if value == "":
            # libpq takes an empty maximum for none, which is what it is without the keyword.
            lower = place.key == "ssl_min_protocol_version"
            return find.weak_tls(place, value, "empty means no lower limit to libpq", hint) if lower else None
        if str(value).lower() not in names:
            return find.invalid(place, f"is {value!r}, which libpq does not know", hint)
        if names[str(value).lower()] < PROTOCOLS.index(MINIMUM_PROTOCOL):
            return find.weak_tls(place, value, "TLS 1.0 and 1.1 are broken and Azure refuses them", hint)
        return None

    def _gss_problem(self, place: Place, value: Any) -> Problem | None:
        if value == "disable":
            return None
        why = "with a Kerberos ticket libpq would encrypt with GSSAPI instead of verified TLS"
        return find.weak_tls(place, value, why, "Remove it; Azure Database for PostgreSQL has no GSSAPI.")

    def _root_problem(self, place: Place, value: Any) -> Problem | None:
        if not isinstance(value, str) or not value:
            return find.invalid(
                place, f"is {value!r}, not the path of a file", "Remove it to use the roots in this package."
            )
        if value == "system":
            return find.system_roots(place)
        if value.startswith("~"):
            hint = f"Write os.path.expanduser({value!r}) or Path.home() / ... in settings.py."
            return find.invalid(place, f"is {value!r}, and libpq takes '~' for a folder of that name", hint)
        return None

    def _add_tls(self, params: dict[str, Any]) -> None:
        self._default(params, "sslmode", "verify-full")
        self._default(params, "sslrootcert", trust.BUNDLE)
        self._default(params, "ssl_min_protocol_version", MINIMUM_PROTOCOL)
        self._default(params, "gssencmode", "disable")
        for keyword in _UNSET_IF_INHERITED:
            if self._effective(params, keyword):
                self._default(params, keyword, "")
        if not params.keys() & {"sslcert", "sslkey", "sslcertmode"}:
            if self.knows("sslcertmode"):
                params["sslcertmode"] = "disable"
            else:
                # Before libpq 16 only a file that isn't there keeps it from ~/.postgresql/postgresql.crt, which may
                # belong to another account and then breaks every connection.
                params["sslcert"] = f"{trust.BUNDLE}.no-client-certificate"

    def _default(self, params: dict[str, Any], keyword: str, value: Any) -> None:
        if keyword not in params and self.knows(keyword):
            params[keyword] = value

    def _judge_entra(self, params: dict[str, Any], parsed: Options) -> None:
        """A token is a password that the server reads in the clear: only TLS to the right server protects it."""
        for key, given in (("PASSWORD", self.settings.get("PASSWORD")), ("password", params.pop("password", None))):
            if given:
                self._add(find.entra_with_password(self.place(key)))
        if parsed.plaintext_on_loopback:
            self._add(find.entra_needs_verify_full(self.place("azpg.plaintext_on_loopback"), True))
        if params.get("channel_binding") == "require":
            hint = "Remove channel_binding from this alias."
            problem = "is 'require', which a login with a Microsoft Entra token can't do"
            self._add(find.invalid(self.place("channel_binding"), problem, hint))
            del params["channel_binding"]
        methods = str(params.get("require_auth") or "")
        named = methods.replace(" ", "").split(",")
        if methods and ("!password" in named if named[0].startswith("!") else "password" not in named):
            problem = f"is {methods!r}, which excludes 'password', the way a Microsoft Entra token is sent"
            self._add(find.invalid(self.place("require_auth"), problem, "Remove require_auth from this alias."))
            del params["require_auth"]
        # What the environment asks of passwords must not stop a token.
        for keyword, value in (("channel_binding", "prefer"), ("require_auth", "password,scram-sha-256,md5")):
            if self._effective(params, keyword):
                self._default(params, keyword, value)

    # What works today and fails on a bad day

    def _judge_habits(self, endpoints: tuple[Endpoint, ...]) -> None:
        user = str(self.settings.get("USER") or "")
        _, _, server = user.partition("@")
        if server and any(server.lower() == each.host.partition(".")[0].lower() for each in endpoints):
            self._add(find.user_at_server(self.place("USER"), user))
        pooled = [each.port for each in endpoints if each.port in hosts.PGBOUNCER_PORTS]
        if pooled:
            if not self.settings.get("DISABLE_SERVER_SIDE_CURSORS"):
                self._add(find.server_side_cursors(self.place("PORT"), pooled[0]))
            if self.user_options.get("options"):
                self._add(find.startup_parameter(self.place("options"), pooled[0]))
            if self.user_options.get("assume_role"):
                self._add(find.session_role(self.place("assume_role"), pooled[0]))
            if self.user_options.get("prepare_threshold") is not None:
                self._add(find.prepared_statements(self.place("prepare_threshold"), pooled[0]))
            if self.user_options.get("channel_binding") == "require":
                self._add(find.no_channel_binding(self.place("channel_binding"), pooled[0]))
        if self.settings.get("CONN_MAX_AGE", 0) != 0 and not self.settings.get("CONN_HEALTH_CHECKS"):
            self._add(find.health_checks(self.place("CONN_MAX_AGE")))

    def _add(self, problem: Problem) -> None:
        if problem not in self.problems:
            self.problems.append(problem)
