"""psycopg2 among gevent's greenlets: with a wait callback, such as psycogreen's, libpq does not keep connect_timeout.

psycopg2 then connects step by step (PQconnectPoll) and leaves the time to the callback, which waits for ever. libpq
alone knows which of several servers it is at, so each gets a connect of its own.
"""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from azpg_backend.errors import causes
from azpg_backend.plan.hosts import Endpoint
from azpg_backend.plan.libpq import connect_timeout_of

Params = Mapping[str, Any]
# What the plan's list of servers becomes one of.
_SERVER = ("host", "hostaddr", "port")


def connected(driver: Any, call: Callable[..., Any], params: Params, endpoints: tuple[Endpoint, ...]) -> Any:
    """Call the driver's connect, and keep connect_timeout where libpq would for anybody but a greenlet.

    driver: the driver's module.
    params: libpq keywords; connect_timeout is in seconds, for each address.
    Raises what the driver raises, and its OperationalError for a server that stays silent.
    """
    gevent = sys.modules.get("gevent")
    if gevent is None or not _waits_by_callback(driver) or not (seconds := connect_timeout_of(params)):
        return call(**params)
    failed: list[str] = []
    for each, shown in _one_by_one(params, endpoints, failed):
        silence = driver.OperationalError(f"connection to server at {shown} failed: timeout expired")
        try:
            with gevent.Timeout(seconds, silence):
                return call(**each)
        except driver.OperationalError as error:
            failed.append(str(error).rstrip("\n"))
            if not _leads_on(failed[-1]):
                raise
    raise driver.OperationalError("\n".join(failed))


def _waits_by_callback(driver: Any) -> bool:
    extensions = getattr(driver, "extensions", None)
    return extensions is not None and extensions.get_wait_callback() is not None


def _one_by_one(params: Params, endpoints: tuple[Endpoint, ...], failed: list[str]) -> Iterator[tuple[Params, str]]:
    """Yield what to connect with for one address after the other, as libpq tries them, and the address's name.

    failed: what became of those that were yielded before.
    """
    addresses = [each for endpoint in _ordered(params, endpoints) for each in _addresses(params, endpoint)]
    # A connection service has its servers in a file of libpq's.
    addresses = addresses or [(params, "the service's address")]
    if params.get("target_session_attrs") != "prefer-standby":
        yield from addresses
        return
    for each, shown in addresses:
        yield {**each, "target_session_attrs": "standby"}, shown
    # Nobody is a standby: then any that has answered.
    answered = [each for each, said in zip(addresses, list(failed), strict=True) if "hot standby mode" in said]
    for each, shown in answered:
        yield {**each, "target_session_attrs": "any"}, shown


def _ordered(params: Params, endpoints: tuple[Endpoint, ...]) -> list[Endpoint]:
    found = list(endpoints)
    if params.get("load_balance_hosts") == "random":
        random.shuffle(found)
    return found


def _addresses(params: Params, endpoint: Endpoint) -> list[tuple[Params, str]]:
    """Return the same for every address of one server; its name is looked up here, where other greenlets go on."""
    rest = {key: each for key, each in params.items() if key not in _SERVER}
    one = {**rest, "port": endpoint.port, **({"host": endpoint.host} if endpoint.host else {})}
    known = [endpoint.hostaddr] if endpoint.hostaddr else _looked_up(endpoint)
    shown = f'"{endpoint.host or endpoint.hostaddr}"'
    if not known:
        # A socket of this machine, or a name that libpq will say the same of.
        return [(one, f"{shown}, port {endpoint.port}")]
    return [({**one, "hostaddr": each}, f"{shown} ({each}), port {endpoint.port}") for each in known]


def _looked_up(endpoint: Endpoint) -> list[str]:
    if endpoint.host.startswith(("/", "@")):
        return []
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
    except OSError:
        return []
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def _leads_on(text: str) -> bool:
    """Whether libpq goes on to the next server after such a failure."""
    problem = causes.of_login(text)
    return problem is not None and (problem.transient or "could not translate host name" in text)
