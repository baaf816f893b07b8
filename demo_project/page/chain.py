"""The path from the server's certificate to a root, put together from what the check reports."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from demo_project.page.checked import Checked

SERVER, INTERMEDIATE, ROOT, UNTRUSTED = "Server", "Intermediate", "Trusted root", "Not a trusted root"


@dataclass(frozen=True)
class Certificate:
    """One certificate of the path.

    name: the CN.
    role: SERVER, INTERMEDIATE, ROOT or UNTRUSTED.
    begins, ends: its validity; None if the check does not say.
    broken: whether the path breaks here.
    """

    name: str
    role: str
    issuer: str = ""
    begins: datetime | None = None
    ends: datetime | None = None
    sha256: str = ""
    sans: tuple[str, ...] = ()
    broken: bool = False


@dataclass(frozen=True)
class Path:
    """Certificates from the server's to the root's.

    spare: how many more the server sent that the path does not need.
    """

    certificates: tuple[Certificate, ...]
    spare: int = 0


def path(checked: Checked) -> Path:
    """Return the path that the certificate step found; no certificates if it saw none."""
    detail = checked.detail("certificate")
    sent: Sequence[Mapping[str, Any]] = detail.get("chain") or []
    if not sent:
        return Path(())
    root = detail.get("root")
    steps = _walk(sent, root)
    broken_at = detail.get("broken_at")
    broken = sent[broken_at] if isinstance(broken_at, int) and 0 <= broken_at < len(sent) else None
    found = [_sent(each, SERVER if each is sent[0] else INTERMEDIATE, each is broken) for each in steps]
    return Path((*found, *_top(steps[-1], root, checked)), len(sent) - len(steps))


def _walk(sent: Sequence[Mapping[str, Any]], root: str | None) -> list[Mapping[str, Any]]:
    """Follow the issuers as far as certificates were sent, and no further than the trusted root."""
    steps, rest = [sent[0]], list(sent[1:])
    while steps[-1]["issuer"] != steps[-1]["subject"] and common_name(steps[-1]["issuer"]) != root:
        above = next((each for each in rest if each["subject"] == steps[-1]["issuer"]), None)
        if above is None:
            break
        rest.remove(above)
        steps.append(above)
    # A root that was sent as well is drawn from what is trusted, not from what was sent.
    if len(steps) > 1 and root is not None and common_name(steps[-1]["subject"]) == root:
        steps.pop()
    return steps


def _top(last: Mapping[str, Any], root: str | None, checked: Checked) -> list[Certificate]:
    if root is None:
        alone = last["issuer"] == last["subject"]
        return [] if alone else [Certificate(common_name(last["issuer"]), UNTRUSTED)]
    trusted = (each for each in checked.detail("ca").get("roots", []) if each["name"] == root)
    anchor: Mapping[str, Any] = next(trusted, {})
    return [Certificate(root, ROOT, ends=_time(anchor.get("not_after")), sha256=anchor.get("sha256", ""))]


def _sent(certificate: Mapping[str, Any], role: str, broken: bool) -> Certificate:
    return Certificate(
        common_name(certificate["subject"]),
        role,
        common_name(certificate["issuer"]),
        _time(certificate["not_before"]),
        _time(certificate["not_after"]),
        certificate["sha256"],
        tuple(certificate["sans"]),
        broken,
    )


def _time(text: str | None) -> datetime | None:
    # Python 3.10 does not read the Z.
    return datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None


def day(moment: datetime) -> str:
    return f"{moment.day} {moment:%b %Y}"


def common_name(distinguished: str) -> str:
    """Return the CN of a name as RFC 4514 writes it; the whole text if it has none."""
    found = re.search(r"(?:^|,)CN=((?:\\.|[^,\\])*)", distinguished)
    return re.sub(r"\\(.)", r"\1", found[1]) if found else distinguished
