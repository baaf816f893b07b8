"""The Plan: what libpq is told for one alias, as data without any secret, which may be shown."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.db.utils import OperationalError

from azpg_backend.errors.codes import CHECKS
from azpg_backend.errors.problem import Problem, Severity
from azpg_backend.plan import hosts, libpq
from azpg_backend.plan.hosts import Endpoint
from azpg_backend.plan.options import Options


class NotConfiguredYet(ImproperlyConfigured, OperationalError):
    """Only what an image build leaves out is missing, such as HOST.

    It is an OperationalError too, so that ``makemigrations`` and others that can do without a database go on.
    """


@dataclass(frozen=True)
class Plan:
    """What one alias asks of libpq.

    params: libpq keywords and values, without any secret and without a value that was refused.
    problems: mistakes and warnings; with an error among them the engine does not connect.
    endpoints: the servers in the order in which libpq tries them.
    options: OPTIONS["azpg"], or the defaults if it can't be read.
    plaintext: every server is local and plaintext_on_loopback is set, so TLS is not required.
    user: the user name that libpq would send, or "" if neither settings nor environment name one.
    may_negotiate: the engine may choose how TLS begins (sslnegotiation), because nobody else did.
    may_choose_role: the engine may choose which kind of server it asks for (target_session_attrs), likewise.
    writes: the alias is meant to write; False for a reader endpoint, a replica, and sessions that are read-only.
    withheld: keys of OPTIONS that are not for the driver, because another package or this one reads them.
    by_service: libpq reads a connection service.
    named_by_service: that service says what the server calls this process.
    """

    alias: str
    params: Mapping[str, Any]
    problems: tuple[Problem, ...]
    endpoints: tuple[Endpoint, ...]
    options: Options
    plaintext: bool
    user: str
    may_negotiate: bool
    may_choose_role: bool = False
    writes: bool = True
    withheld: frozenset[str] = frozenset({"azpg"})
    by_service: bool = False
    named_by_service: bool = False

    @cached_property
    def errors(self) -> list[Problem]:
        return [each for each in self.problems if each.is_error]

    @cached_property
    def connect_seconds(self) -> float:
        """Seconds after which a connect gives up: every host's connect_timeout, then the time for retries.

        Infinite if the user told libpq to wait for ever.
        """
        seconds = libpq.connect_timeout_of(self.params)
        return seconds * max(1, len(self.endpoints)) + self.options.connect_retry_seconds if seconds else math.inf

    @cached_property
    def pooled(self) -> bool:
        """Whether one of the servers is Azure's PgBouncer."""
        return any(each.port in hosts.PGBOUNCER_PORTS for each in self.endpoints)

    def raise_errors(self) -> None:
        """Raise ImproperlyConfigured with every error in it, if there are any."""
        if self.errors:
            later = all(CHECKS[each.id].severity is not Severity.ERROR for each in self.errors)
            raise (NotConfiguredYet if later else ImproperlyConfigured)("\n".join(map(str, self.errors)))
