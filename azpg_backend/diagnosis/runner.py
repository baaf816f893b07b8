"""The order of the steps, what each needs, and the limits on their time."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Sequence

from azpg_backend import client
from azpg_backend.base import DatabaseWrapper
from azpg_backend.diagnosis.bounded import Task
from azpg_backend.diagnosis.ca_files import Roots
from azpg_backend.diagnosis.context import Context, private_copy
from azpg_backend.diagnosis.report import STEPS, DatabaseReport, Status, StepResult, failed, skipped
from azpg_backend.diagnosis.steps import ca, certificate, dns, login, session, settings, tcp, tls
from azpg_backend.errors import explain, redact

# Seconds that a step may take beyond --timeout. What waits inside a step has the shorter limit and knows better words
# for it; this one is for what can't be interrupted.
GRACE = 2.0

RUN: dict[str, Callable[[Context], StepResult]] = {
    "settings": settings.run,
    "ca": ca.run,
    "dns": dns.run,
    "tcp": tcp.run,
    "tls": tls.run,
    "certificate": certificate.run,
    "login": login.run,
    "session": session.run,
}
# What a step is called that never ended, or that raised what it doesn't expect. For those without a time-out of their
# own it takes a stuck disk or a bug.
_LATE = {
    "settings": "settings.invalid",
    "ca": "ca.download_failed",
    "dns": "dns.timeout",
    "tcp": "tcp.timeout",
    "tls": "tls.timeout",
    "certificate": "certificate.untrusted_root",
    "login": "login.timeout",
    "session": "session.failed",
}

Progress = Callable[[str, StepResult], None]


def diagnose(
    wrappers: Sequence[DatabaseWrapper], roots: Roots, timeout: float, progress: Progress
) -> Iterator[DatabaseReport]:
    """Diagnose aliases side by side and yield their reports in the order given.

    timeout: seconds for each step. The whole takes at most ``len(STEPS) * (timeout + GRACE)`` seconds, however many
    aliases there are. progress: called with alias and result whenever a step ends, from any thread.
    """
    tasks = [
        Task(lambda wrapper=wrapper: _one(wrapper, roots, timeout, progress), f"azpg-check-{wrapper.alias}")  # type: ignore[misc]
        for wrapper in wrappers
    ]
    for task in tasks:
        yield task.result(len(STEPS) * (timeout + GRACE))


def _one(wrapper: DatabaseWrapper, roots: Roots, timeout: float, progress: Progress) -> DatabaseReport:
    plan = wrapper.plan()
    context = Context(private_copy(wrapper, timeout), plan, timeout, roots)
    results: dict[str, StepResult] = {}
    for step in STEPS:
        why = _missing(step, context, results)
        result = skipped(step, why) if why else _bounded(step, context)
        results[step] = result
        progress(plan.alias, result)
    context.close()
    return DatabaseReport(
        alias=plan.alias,
        host=",".join(dict.fromkeys(each.host or each.hostaddr for each in plan.endpoints)),
        port=plan.endpoints[0].port if plan.endpoints else 0,
        psql=client.shown_command(plan),
        steps=tuple(results.values()),
    )


def _missing(step: str, context: Context, results: dict[str, StepResult]) -> str:
    """Return why a step can't run, or ""."""
    if step in {"settings", "ca"}:
        return ""
    if step in {"dns", "tcp", "tls", "certificate"} and not context.remote:
        if context.plan.plaintext:
            return "a socket directory on this machine needs no network"
        return "there is no host to look at"
    if context.plan.plaintext and step in {"tls", "certificate"}:
        return "plaintext_on_loopback: no TLS on this machine's own addresses"
    needs = {
        "tcp": ("dns", bool(context.addresses)),
        "tls": ("tcp", bool(context.sockets)),
        "certificate": ("tls", bool(context.handshakes)),
        "session": ("login", results.get("login", skipped("login", "")).status is Status.PASS),
    }
    if step in needs and not needs[step][1]:
        return f"needs {needs[step][0]}"
    if step == "certificate" and context.system_roots:
        return "sslrootcert=system: only the driver's own OpenSSL knows these roots"
    if step == "certificate" and not context.ca_usable:
        return "needs ca"
    if step == "login":
        if context.plan.errors:
            return "needs settings"
        if context.system_roots:
            return "" if context.handshakes else "needs tls"
        if not context.plan.plaintext and not context.trusted:
            return "needs certificate"
        if context.plan.plaintext and context.remote and not context.sockets:
            return "needs tcp"
    return ""


def _bounded(step: str, context: Context) -> StepResult:
    started = time.monotonic()
    task = Task(lambda: RUN[step](context), f"azpg-check-{context.plan.alias}-{step}")
    try:
        result = task.result(context.timeout + GRACE)
    except TimeoutError:
        message = f"no answer within {context.timeout:g} s"
        hint = "Something between this machine and the server, or the server itself, does not answer in time."
        result = failed(_LATE[step], message, hint)
    except Exception as error:  # noqa: BLE001 (one step's surprise must not hide what the others have to say)
        secrets = explain.secrets_of(context.wrapper.settings_dict)
        message = redact.printable(redact.without(f"{type(error).__name__}: {error}", secrets))
        result = failed(_LATE[step], message, "This is not expected: please report it with this text.")
    return dataclasses.replace(result, duration_ms=round((time.monotonic() - started) * 1000, 1))
