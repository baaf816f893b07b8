"""azure: what does Azure itself know of the server?"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django.core.exceptions import ImproperlyConfigured

from azpg_backend.azure import network, places, reading, refusals, service
from azpg_backend.azure.facts import Known, Seen, Server
from azpg_backend.azure.places import Place
from azpg_backend.diagnosis import rights
from azpg_backend.diagnosis.bounded import Deadline, Task, side_by_side
from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult, from_problems, passed
from azpg_backend.diagnosis.step import Step
from azpg_backend.entra import login
from azpg_backend.entra.tokens import Token, TokenError
from azpg_backend.errors import explain
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.plan import hosts, resource_id
from azpg_backend.plan.hosts import Endpoint

if TYPE_CHECKING:
    from azpg_backend.azure.client import Azure

T = TypeVar("T")
_SIGN_IN = (
    "On Azure assign an identity to the host, with the role Reader on the server; on your own machine: az login. "
    "--format json has all that the credential said."
)
_OWN_ADDRESS = re.compile(r'(?:no pg_hba\.conf entry|pg_hba\.conf rejects connection) for host "([0-9a-fA-F.:]+)"')


class _Unknown(Exception):
    """Azure did not tell. The problem says why.

    said: a credential's own words, which may be long; "" if it said nothing.
    """

    def __init__(self, problem: Problem, said: str = "") -> None:
        super().__init__(problem.message)
        self.problem = problem
        self.detail = {"credential_said": said} if said else {}


def run(context: Context) -> StepResult:
    try:
        # The step's own limit is longer: what waits here knows better words for it.
        known, unread = _ask(context, context.deadline())
    except _Unknown as error:
        return from_problems([error.problem], **error.detail)
    seen = _seen(context, _endpoint(context))
    problems = network.problems(known, seen) + service.problems(known, seen)
    if seen.logged_in:
        # It works, whatever Azure says of it.
        problems = [network.softened(each) for each in problems]
    problems += unread
    detail = _detail(known, seen)
    if problems:
        return from_problems(problems, **detail)
    return passed("azure", _in_words(known), **detail)


def _endpoint(context: Context) -> Endpoint:
    """Return the endpoint that the alias fails at, or its first: one server is looked at."""
    remote = context.remote
    return next((each for each in remote if each not in context.sockets), remote[0])


def _ask(context: Context, deadline: Deadline) -> tuple[Known, list[Problem]]:
    host = _endpoint(context).host.lower().removesuffix(".")
    try:
        from azpg_backend.azure.client import Azure
    except ImportError as error:
        raise _Unknown(refusals.not_installed(error)) from None
    try:
        place = places.place_of(host)
    except ValueError as error:
        raise _Unknown(refusals.no_place(error)) from None
    token = _token(context, place, deadline)
    azure = Azure(place, token, deadline.left)
    asking = _Asking(azure, [token.text, *explain.secrets_of(context.wrapper.settings_dict)], context.timeout, deadline)
    server = asking.server(context.plan.options.resource_id, host)
    return asking.parts(server)


def _token(context: Context, place: Place, deadline: Deadline) -> Token:
    source = dataclasses.replace(login.source_of(context.plan), scope=place.scope)
    said = ""
    try:
        return Task(lambda: login.fetch_once(source), "azpg-check-token").result(deadline.left())
    except TimeoutError:
        words, hint = f"no answer within {context.timeout:g} s", "Raise --timeout, or set AZURE_TOKEN_CREDENTIALS."
        problem = refusals.no_token(words, hint)
    except (TokenError, ImproperlyConfigured) as error:
        problem = refusals.no_token(str(error), _SIGN_IN)
        said = str(error)
    raise _Unknown(problem, said)


class _Asking:
    """The questions to Azure, all under one deadline.

    secrets: what no message may hold.
    timeout: the step's seconds, for messages.
    """

    def __init__(self, azure: Azure, secrets: list[str], timeout: float, deadline: Deadline) -> None:
        self._azure = azure
        self._secrets = secrets
        self._timeout = timeout
        self._deadline = deadline

    def server(self, known_id: str, host: str) -> Server:
        if known_id:
            wanted = resource_id.parse(known_id)
            found = self._one(lambda: reading.one(self._azure, wanted), "the server", reading.READ_SERVER)
            if _is_another(host, found):
                raise _Unknown(refusals.another_server(host, found.host))
            return found
        subscriptions = self._one(self._azure.subscriptions, "subscriptions", reading.READ_SUBSCRIPTIONS)
        doing = f"the servers of {len(subscriptions)} subscriptions"
        lists = self._all(lambda each: reading.servers(self._azure, each), subscriptions)
        servers = [each for found in lists if isinstance(found, list) for each in found]
        if server := self._named(host, servers):
            return server
        # A list that could not be read may hold it.
        if failed := next((each for each in lists if isinstance(each, Exception)), None):
            raise self._refused(failed, doing, reading.READ_SERVER)
        raise _Unknown(refusals.not_found(host, len(subscriptions)))

    def _named(self, host: str, servers: list[Server]) -> Server | None:
        """Return the server of a host name: its own, that of its private link, or a virtual endpoint's."""
        if server := next((each for each in servers if each.host in _names(host)), None):
            return server
        if not _is_virtual(host):
            return None
        endpoints = self._all(lambda each: reading.virtual_endpoints(self._azure, each), servers)
        pairs = zip(servers, endpoints, strict=True)
        return next((server for server, names in pairs if isinstance(names, tuple) and host in names), None)

    def parts(self, server: Server) -> tuple[Known, list[Problem]]:
        """Return the server with all its parts, then one problem if any of them could not be read."""
        wanted = [part for part in reading.PARTS if part.wanted(server)]
        answers = self._all(lambda part: part.read(self._azure, server), wanted)
        values: dict[str, Any] = {}
        refused = []
        for part, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, Exception):
                refused.append((part, refusals.of(answer, part.field, part.action, self._secrets)))
            else:
                values[part.field] = answer
        return Known(server, **values), self._incomplete(refused)

    def _incomplete(self, refused: list[tuple[reading.Part, Problem]]) -> list[Problem]:
        if not refused:
            return []
        named = ", ".join(part.field.replace("_", " ") for part, _ in refused)
        message = f"Azure did not tell everything: {named} ({refused[0][1].message})"
        actions = ", ".join(part.action for part, _ in refused)
        hint = f"{refused[0][1].hint} In all it needs: {actions}." if len(refused) > 1 else refused[0][1].hint
        return [Problem("azure.incomplete", message, hint, Severity.WARNING)]

    def _one(self, question: Callable[[], T], doing: str, action: str) -> T:
        try:
            return Task(question, "azpg-check-azure").result(self._deadline.left())
        except Exception as error:  # noqa: BLE001 (Azure's client raises its own, and an odd answer anything)
            problem = self._refused(error, doing, action)
        raise problem

    def _all(self, question: Callable[[Any], Any], items: list[Any]) -> list[Any]:
        try:
            return side_by_side(question, items, self._deadline.left())
        except TimeoutError as error:
            return [error] * len(items)

    def _refused(self, error: Exception, doing: str, action: str) -> _Unknown:
        if isinstance(error, TimeoutError):
            return _Unknown(refusals.late(self._timeout, doing))
        return _Unknown(refusals.of(error, doing, action, self._secrets))


def _names(host: str) -> set[str]:
    """Return the names that Azure may give the server of a host name: itself, or without its private link."""
    first, _, rest = host.partition(".")
    return {host, f"{first}.{rest.removeprefix('privatelink.')}"}


def _is_virtual(host: str) -> bool:
    """Whether a host name is that of a virtual endpoint, which moves from server to server."""
    return host.partition(".")[2].startswith(("reader.", "writer."))


def _is_another(host: str, server: Server) -> bool:
    """Whether a host name of Azure's is that of another server; a name of one's own can lead to any."""
    named = hosts.cloud_of(host) is not None and not _is_virtual(host)
    return named and bool(server.host) and server.host not in _names(host)


def _seen(context: Context, endpoint: Endpoint) -> Seen:
    results = context.results
    said = " ".join(results[step].message for step in ("tls", "login") if step in results)
    found = _OWN_ADDRESS.search(said)
    tcp = results.get("tcp")
    pool = context.application.settings_dict["OPTIONS"].get("pool")
    return Seen(
        host=endpoint.host,
        port=endpoint.port,
        addresses=tuple(context.addresses.get(endpoint, ())),
        own_address=found[1] if found else "",
        unanswered=tcp is not None and any(each.code == "tcp.timeout" for each in tcp.problems),
        logged_in=context.logged_in,
        entra=context.plan.options.auth == "entra",
        user=context.plan.user,
        writes=context.plan.writes,
        extensions=rights.extensions_of_migrations(context.application) if context.plan.writes else {},
        pool=_size(pool),
        tls_max=str(context.plan.params.get("ssl_max_protocol_version", "")),
    )


def _size(pool: Any) -> int:
    """Return how many connections a pool may open; psycopg's default is a fixed size of four."""
    if not pool:
        return 0
    options = pool if isinstance(pool, dict) else {}
    sizes = [options.get("max_size"), options.get("min_size", 4)]
    return next((each for each in sizes if isinstance(each, int)), 4)


def _detail(known: Known, seen: Seen) -> dict[str, Any]:
    server = known.server
    parameters = {
        name: each.value
        for name, each in sorted(known.parameters.items())
        if name in _PARAMETERS or name.startswith("pgbouncer.")
    }
    return {
        "resource_id": str(server.id),
        "state": server.state,
        "version": server.version,
        "tier": server.tier,
        "sku": server.sku,
        "high_availability": {"mode": server.ha_mode, "state": server.ha_state},
        "network": server.network,
        "private_dns_zone": server.zone or None,
        "private_endpoints": {each.name: each.status for each in server.endpoints},
        "firewall_rules": None if known.rules is None else [str(each) for each in known.rules],
        "own_address": seen.own_address or None,
        "parameters": parameters,
        "authentication": [name for name, on in (("password", server.password), ("entra", server.entra)) if on],
        "entra_administrators": None if known.administrators is None else list(known.administrators),
        "role": server.role,
        "replicas": dict(known.replicas or {}),
        "virtual_endpoints": list(known.virtual_endpoints or ()),
        "maintenance_window": server.window or None,
        "storage": {"gib": server.storage_gb, "percent": known.storage_percent, "auto_grow": server.auto_grow},
    }


_PARAMETERS = {
    "azure.extensions",
    "max_connections",
    "require_secure_transport",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
}


def _in_words(known: Known) -> str:
    server = known.server
    standby = "" if server.ha_mode == "Disabled" else f", {server.ha_mode} standby {server.ha_state}"
    return f"{server.state}, PostgreSQL {server.version}, {server.tier} {server.sku}{standby}, {server.network}"


def _needs_azure_host(context: Context) -> str:
    """Return why there is nothing to ask for, or ""."""
    if not context.remote:
        return "there is no host to look at"
    host = _endpoint(context).host
    cloud = hosts.cloud_of(host)
    if context.plan.options.resource_id:
        return ""
    if cloud is None:
        return f"{host or 'an address'} is no name of Azure's; set OPTIONS['azpg']['resource_id']"
    # HorizonDB has another management API.
    return "" if cloud.suffix.startswith(".postgres.") else f"{host} is no flexible server"


STEP = Step("azure", run, late="azure.timeout", surprise="azure.unreachable", needs=(_needs_azure_host,))
