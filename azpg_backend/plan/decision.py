"""The decision: from one alias's settings to its Plan.

The engine, dbshell, the system checks and azpg_check all start from the Plan made here. Nothing here opens a
connection or changes what it is given, and no secret enters a Plan.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from typing import Any

from azpg_backend.errors import settings as find
from azpg_backend.errors.problem import Place, Problem
from azpg_backend.errors.redact import SECRET_KEYWORDS
from azpg_backend.plan import (
    defaults,
    entra,
    hosts,
    libpq,
    options,
    purpose,
    sources,
    texts,
    tls,
    traps,
    values,
    written,
)
from azpg_backend.plan.defaults import TIMEOUTS
from azpg_backend.plan.hosts import Endpoint
from azpg_backend.plan.options import Options
from azpg_backend.plan.plan import NotConfiguredYet, Plan
from azpg_backend.plan.sources import Setting, Settings, merged

# What is always sent, so that nothing else can set it.
_OURS = frozenset({*defaults.TLS, *defaults.PLAINTEXT, *TIMEOUTS})

__all__ = ["TIMEOUTS", "NotConfiguredYet", "Plan", "decide"]


def decide(
    alias: str,
    settings_dict: Mapping[str, Any],
    *,
    environ: Mapping[str, str] = os.environ,
    knows: Callable[[str], bool] = libpq.knows,
) -> Plan:
    """Decide what libpq is told for an alias.

    settings_dict: ``DATABASES[alias]``.
    environ: the environment that libpq will read.
    knows: whether the libpq in use takes a keyword.
    """
    given = settings_dict if isinstance(settings_dict, Mapping) else {}
    return _Decision(alias, given, environ, knows).plan()


class _Decision:
    """One alias on its way to a Plan: the settings that are left, and the problems found so far."""

    def __init__(
        self, alias: str, given: Mapping[str, Any], environ: Mapping[str, str], knows: Callable[[str], bool]
    ) -> None:
        self.alias = alias
        self.given = given
        self.environ = environ
        self.knows = knows
        found = texts.settled(given.get("OPTIONS"))
        self.user_options: Mapping[Any, Any] = found if isinstance(found, Mapping) else {}
        self.problems: list[Problem] = []
        self.refused: set[str] = set()
        self.service = ""
        self.named_by_service = False

    def plan(self) -> Plan:
        options = self._own_options()
        entra_login = options.auth == "entra"
        own, service, environment = self._judged_sources(entra_login)
        inherited = merged(environment, service)
        known = merged(environment, service, own)
        endpoints = self._endpoints(known)
        plaintext = self._is_plaintext(own, endpoints, options)
        if entra_login:
            own = self._add(*entra.judged(self.alias, self.given, own, options))
        elif options.plaintext_on_loopback:
            self._judge_plaintext(endpoints)
        if plaintext:
            own = self._add(*tls.judged_local(own))
        else:
            own = self._add(*tls.judged(own, entra_login))
            self._judge_endpoints(known, endpoints, options)
        ours = sources.defaults(self._defaults(plaintext, entra_login, own, inherited))
        effective = merged(environment, service, ours, own)
        params = {keyword: each.value for keyword, each in merged(ours, own).items() if keyword not in SECRET_KEYWORDS}
        facts = traps.Alias(
            self.alias, self.given, self.user_options, endpoints, effective, entra_login, local=plaintext
        )
        self.problems += traps.found(facts)
        return Plan(
            self.alias,
            params,
            tuple(dict.fromkeys(self.problems)),
            endpoints,
            options,
            plaintext,
            user=sources.value(effective, "user"),
            # A service may choose it in a file that is not read here.
            may_negotiate=not plaintext and not self.service and "sslnegotiation" not in effective,
            may_choose_role=not self.service and "target_session_attrs" not in effective,
            writes=purpose.writes(self.alias, self.given, endpoints, effective),
            withheld=written.withheld(self.user_options),
            by_service=bool(self.service),
            named_by_service=self.named_by_service,
        )

    def _add(self, kept: dict[str, Setting], problems: list[Problem]) -> dict[str, Setting]:
        self.problems += problems
        return kept

    def _own_options(self) -> Options:
        try:
            return options.parse(self.user_options.get("azpg"))
        except options.InvalidOption as error:
            key = f"azpg.{error.key}" if error.key else "azpg"
            self.problems.append(find.invalid(Place(self.alias, key), error.problem, error.remedy))
            return Options()

    def _judged_sources(self, entra_login: bool) -> tuple[Settings, Settings, Settings]:
        """Return what settings, service and environment say, without what libpq must not be given.

        A value that something stronger overrules is not judged: it has no effect.
        """
        given, options = self.given, self.user_options
        self.problems += values.django_problems(self.alias, given, options)
        self.problems += written.key_problems(self.alias, given, options, self.knows)
        asked = written.settings(self.alias, given, options, self.knows)
        if entra_login:
            asked.pop("password", None)
        own = self._judge(asked)
        overruled = asked.keys() | _OURS | ({"password"} if entra_login else set())
        environment = sources.environment(self.alias, self.environ, overruled)
        self.service = self._service(asked, own, environment)
        service = sources.service(self.alias, self.service, self.environ)
        self.named_by_service = "fallback_application_name" in service
        overruled |= {"service"}
        inherited = self._judge(
            {key: each for key, each in merged(environment, service).items() if key not in overruled}
        )
        return own, _only(service, inherited), _only(environment, inherited)

    def _service(self, asked: Settings, own: Settings, environment: Settings) -> str:
        if "service" in asked:
            return sources.value(own, "service")
        return sources.value(self._judge(_only(environment, {"service"})), "service")

    def _judge(self, settings: Settings) -> dict[str, Setting]:
        kept = self._add(*values.judged(settings.values()))
        self.refused |= settings.keys() - kept.keys()
        return kept

    def _is_plaintext(self, own: Settings, endpoints: tuple[Endpoint, ...], options: Options) -> bool:
        """Whether the alias may do without TLS, and does not ask for a verified server all the same."""
        if not options.plaintext_on_loopback or options.auth == "entra":
            return False
        # A service may name other hosts than those that are known here.
        local = bool(endpoints) and not self.service and all(each.is_local for each in endpoints)
        return local and tls.meant_mode(sources.value(own, "sslmode")) not in tls.VERIFYING

    def _judge_plaintext(self, endpoints: tuple[Endpoint, ...]) -> None:
        place = Place(self.alias, "azpg.plaintext_on_loopback")
        if self.service:
            what = (
                f"is True, but the connection service {texts.shown(self.service)} (OPTIONS['service'] or PGSERVICE) "
                "may send the connection elsewhere"
            )
            self.problems.append(find.invalid(place, what, "Remove one of the two."))
        for each in endpoints:
            if not each.is_local:
                elsewhere = each.hostaddr if hosts.is_local(each.host) else each.host
                self.problems.append(find.not_loopback(place, elsewhere))

    def _endpoints(self, known: Settings) -> tuple[Endpoint, ...]:
        if self.refused & {"host", "hostaddr", "port"}:
            return ()
        try:
            return hosts.endpoints(*(sources.value(known, keyword) for keyword in ("host", "hostaddr", "port")))
        except hosts.Unpaired as error:
            where = known[error.keyword].where if error.keyword in known else Place(self.alias, "HOST")
            hint = "Give one port, or as many ports and addresses as hosts."
            self.problems.append(find.invalid(where, f"does not fit: {error}", hint))
            return ()

    def _judge_endpoints(self, known: Settings, endpoints: tuple[Endpoint, ...], options: Options) -> None:
        host = known.get("host") or Setting("host", "", Place(self.alias, "HOST"))
        service = texts.shown(self.service) if self.service else ""
        own_roots, local = "sslrootcert" in known, options.plaintext_on_loopback
        self.problems += tls.endpoint_problems(endpoints, host, own_roots, local, service)

    def _defaults(self, plaintext: bool, entra_login: bool, own: Settings, inherited: Settings) -> dict[str, Any]:
        values = defaults.chosen(plaintext, own, inherited, self.knows)
        if entra_login:
            values |= {key: value for key, value in entra.INSTEAD_OF_INHERITED.items() if key in inherited}
        return values


def _only(settings: Settings, keywords: Collection[str]) -> dict[str, Setting]:
    return {keyword: each for keyword, each in settings.items() if keyword in keywords}
