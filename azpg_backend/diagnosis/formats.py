"""The formats of a report by name, each rendered from the same outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.core.management.color import no_style

from azpg_backend.diagnosis import as_github, as_html, as_json, as_junit, as_prometheus, as_support, as_text
from azpg_backend.diagnosis.outcome import Outcome

# Columns of a report in a file.
_WIDTH = 100


def _text(outcome: Outcome) -> str:
    return as_text.whole(outcome, no_style(), _WIDTH)


RENDERERS: Mapping[str, Callable[[Outcome], str]] = {
    "text": _text,
    "json": as_json.render,
    "junit": as_junit.render,
    "github": as_github.render,
    "prometheus": as_prometheus.render,
    "html": as_html.render,
    "support": as_support.render,
}


def render(name: str, outcome: Outcome) -> str:
    """Return a report in one of the formats, with a newline at its end."""
    return RENDERERS[name](outcome).rstrip("\n") + "\n"
