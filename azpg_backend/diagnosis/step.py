"""A step of the check, as data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from azpg_backend.diagnosis.context import Context
from azpg_backend.diagnosis.report import StepResult
from azpg_backend.errors.codes import step_codes

# Returns why a step can't run, or "".
Need = Callable[[Context], str]

SILENCE = "Something between this machine and the server, or the server itself, does not answer in time."


@dataclass(frozen=True)
class Step:
    """One step of the check.

    run: looks, and returns how it went.
    late: the code if it does not end in time.
    late_hint: what to do then.
    surprise: the code if it raises what it should not; "" for the one above.
    needs: in the order in which they are asked.
    """

    name: str
    run: Callable[[Context], StepResult]
    late: str
    late_hint: str = SILENCE
    surprise: str = ""
    needs: tuple[Need, ...] = ()

    @property
    def codes(self) -> tuple[str, ...]:
        return step_codes(self.name)

    def missing(self, context: Context) -> str:
        """Return why the step can't run, or ""."""
        return next(filter(None, (need(context) for need in self.needs)), "")


def network(context: Context) -> str:
    if context.remote:
        return ""
    if context.plan.plaintext:
        return "a socket directory on this machine needs no network"
    return "there is no host to look at"


def encryption(context: Context) -> str:
    return "plaintext_on_loopback: no TLS on this machine's own addresses" if context.plan.plaintext else ""


def addresses(context: Context) -> str:
    return "" if context.addresses else "needs dns"


def sockets(context: Context) -> str:
    return "" if context.sockets else "needs tcp"


def handshakes(context: Context) -> str:
    return "" if context.handshakes else "needs tls"
