"""Write the lists of ``docs/codes.md`` from the package's own: ``python scripts/write_codes.py [--check]``.

Each code has a section. What stands above the comment comes from ``errors/codes.py``, ``errors/causes.py`` and the
engine's own words for a sample; the text below it is written by hand and kept. With ``--check`` nothing is
written: the exit status is 1 if the page is not what this would write, or if a section explains nothing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import django
from django.conf import settings

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "codes.md"
MARK = "<!-- above: written by scripts/write_codes.py; below: by hand -->"
AZURE = {"ENGINE": "azpg_backend", "NAME": "app", "USER": "me", "HOST": "mydemoserver.postgres.database.azure.com"}
POOLED = {"PORT": 6432, "DISABLE_SERVER_SIDE_CURSORS": True}
# What brings a system check about. Those that need a file, another package or a pool are explained by hand.
SAMPLES: Mapping[str, Mapping[str, Any]] = {
    "azpg.E001": {"OPTIONS": {"sslmode": "disable"}},
    "azpg.E002": {"OPTIONS": {"azpg": {"auht": "entra"}}},
    "azpg.E003": {"HOST": ""},
    "azpg.E004": {"OPTIONS": {"azpg": {"plaintext_on_loopback": True}}},
    "azpg.E006": {"PASSWORD": "...", "OPTIONS": {"azpg": {"auth": "entra"}}},
    "azpg.E007": {"OPTIONS": {"sslmode": "verify-ca", "azpg": {"auth": "entra"}}},
    "azpg.E009": {"NAME": ""},
    "azpg.W001": {"OPTIONS": {"sslmode": "verify-ca"}},
    "azpg.W002": {"HOST": "10.0.0.4"},
    "azpg.W003": {"USER": "me@mydemoserver"},
    "azpg.W004": {"PORT": 6432},
    "azpg.W005": {**POOLED, "OPTIONS": {"options": "-c statement_timeout=30s"}},
    "azpg.W006": {"CONN_MAX_AGE": 60},
    "azpg.W007": {"OPTIONS": {"sslrootcert": "system"}},
    "azpg.W012": {**POOLED, "OPTIONS": {"assume_role": "owner"}},
    "azpg.W013": {**POOLED, "OPTIONS": {"channel_binding": "require"}},
    "azpg.W014": {**POOLED, "OPTIONS": {"prepare_threshold": 5}},
    "azpg.W015": {"OPTIONS": {"sslmode": "require"}},
    "azpg.W017": {"USER": ""},
    "azpg.W018": {"OPTIONS": {"sslrootcert": "certs/azure.pem"}},
    "azpg.W024": {"DISABLE_SERVER_SIDE_CURSORS": "True"},
}


def written(page: str) -> str:
    """Return the page with every list as the package has it now, in the package's order."""
    from azpg_backend.errors.codes import CHECKS, STEPS, step_codes

    introduction = page.partition("\n## ")[0].rstrip()
    by_hand = sections(page)
    parts = [introduction]
    for step in STEPS:
        parts.append(f"## Step: {step}")
        parts += [section(code, of_code(code), by_hand) for code in step_codes(step)]
    parts.append("## System checks")
    parts.append(by_hand.get("System checks", "").strip())
    parts += [section(each, of_check(each), by_hand) for each in sorted(CHECKS)]
    return "\n\n".join(part for part in parts if part) + "\n"


def sections(page: str) -> dict[str, str]:
    """Return what was written by hand, by heading."""
    found = {}
    for part in re.split(r"^##+ ", page, flags=re.MULTILINE)[1:]:
        heading, _, body = part.partition("\n")
        found[heading.strip("`")] = body.rpartition(MARK)[2].strip()
    return found


def section(name: str, generated: str, by_hand: Mapping[str, str]) -> str:
    return f"### `{name}`\n\n{generated}\n\n{MARK}\n\n{by_hand.get(name, '')}".rstrip()


def of_code(code: str) -> str:
    from azpg_backend.errors.causes import CAUSES, TOKEN_CAUSES
    from azpg_backend.errors.codes import CHECKS, STEP_CODES

    lines = [sentence(STEP_CODES[code])]
    checks = sorted(each for each, check in CHECKS.items() if check.code == code)
    if checks:
        links = ", ".join(f"[`{each}`](#{slug(each)})" for each in checks)
        lines.append(f"The same as the system check{'s' if len(checks) > 1 else ''} {links}.")
    causes = [each for each in (*CAUSES, *TOKEN_CAUSES) if each.code == code]
    if causes:
        rows = "\n".join(f"| {cell(each.reason)} | {cell(each.hint)} |" for each in causes)
        lines.append(f"| what it may mean | what to do |\n| --- | --- |\n{rows}")
    if any(each.transient for each in causes):
        often = "is" if all(each.transient for each in causes) else "may be"
        lines.append(f"Waiting can help, so connecting {often} tried again for `connect_retry_seconds`.")
    return "\n\n".join(lines)


def of_check(identifier: str) -> str:
    from azpg_backend.errors.codes import CHECKS
    from azpg_backend.plan.decision import decide

    check = CHECKS[identifier]
    kind = check.severity.name.capitalize()
    lines = [f"{kind}: {check.summary}. In `azpg_check`: [`{check.code}`](#{slug(check.code)})."]
    if identifier in SAMPLES:
        problems = decide("default", {**AZURE, **SAMPLES[identifier]}, environ={}).problems
        (problem,) = problems
        shown = ", ".join(f"{key!r}: {value!r}" for key, value in SAMPLES[identifier].items()).replace("'", '"')
        lines.append(f"```python\n{shown}\n```")
        lines.append(f"> {quoted(problem.message)}\n>\n> {quoted(problem.hint)}")
    return "\n\n".join(lines)


def sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."


def cell(text: str) -> str:
    return quoted(text).replace("|", "\\|")


def quoted(text: str) -> str:
    return re.sub(r"([<>*_\[\]])", r"\\\1", text)


def slug(name: str) -> str:
    """Return the anchor that Markdown gives to a heading."""
    return re.sub("[^a-z0-9_-]", "", name.lower())


def unexplained(page: str) -> list[str]:
    from azpg_backend.errors.codes import CHECKS, STEP_CODES

    by_hand = sections(page)
    return [each for each in (*STEP_CODES, *CHECKS) if not by_hand.get(each) and each not in SAMPLES]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="Write nothing; exit with 1 if something is to be done.")
    check = parser.parse_args().check
    if not settings.configured:
        settings.configure()
        django.setup()
    before = PAGE.read_text("utf-8")
    after = written(before)
    if not check:
        PAGE.write_text(after, "utf-8")
    elif after != before:
        print("docs/codes.md is out of date: run python scripts/write_codes.py")
    for each in unexplained(after):
        print(f"docs/codes.md: write below the heading {each} why it happens and what to do")
    return int((check and after != before) or bool(unexplained(after)))


if __name__ == "__main__":
    sys.exit(main())
