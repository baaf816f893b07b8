"""The tables of docs/azure.md that the tests write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from azpg_backend.azure import reading

DOCUMENT = Path(__file__).parents[2] / "docs" / "azure.md"


def actions() -> str:
    """Return the actions that the identity needs, as a table."""
    rows = [(reading.READ_SUBSCRIPTIONS, "to look for the server; not with `resource_id`")]
    rows.append((reading.READ_SERVER, "state, version, tier, network, authentication, high availability, storage"))
    rows += [(part.action, part.field.replace("_", " ")) for part in reading.PARTS]
    return "| action | for |\n| --- | --- |\n" + "".join(f"| `{action}` | {what} |\n" for action, what in rows)


def faults(met: Mapping[str, tuple[str, str, str]]) -> str:
    """Return the faults as a table.

    met: by name, the first code of the other steps, the code of the step azure, and its message.
    """
    lines = ["| fault | without Azure | with Azure | it says |\n| --- | --- | --- | --- |\n"]
    for name, (before, code, message) in sorted(met.items()):
        other = f"`{before}`" if before else "passes"
        lines.append(f"| {name} | {other} | `{code}` | {message.replace('|', chr(92) + '|')} |\n")
    return "".join(lines)


def write(met: Mapping[str, tuple[str, str, str]]) -> None:
    text = DOCUMENT.read_text("utf-8")
    for title, table in (("actions", actions()), ("faults", faults(met))):
        pattern = rf"(<!-- written by the tests: {title} -->\n).*?(<!-- end -->)"
        text = re.sub(pattern, lambda found, table=table: f"{found[1]}\n{table}\n{found[2]}", text, flags=re.S)  # type: ignore[misc]
    DOCUMENT.write_text(text, "utf-8")
