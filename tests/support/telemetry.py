"""What log and OpenTelemetry are told, and the tables of docs/observability.md."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from pythonjsonlogger.json import JsonFormatter

from azpg_backend.process import memory
from azpg_backend.telemetry import names
from tests.support.examples import ROOT

PAGE = ROOT / "docs" / "observability.md"


class Records(logging.Handler):
    """The records of the engine's logger, as a JSON formatter writes them."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.found: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(json.loads(self.format(record)))

    def events(self) -> list[str]:
        return [each["azpg_event"] for each in self.found]


@contextmanager
def recorded() -> Iterator[Records]:
    """Collect what is logged, from DEBUG on."""
    logger, records = logging.getLogger(names.LOGGER), Records()
    level = logger.level
    logger.addHandler(records)
    logger.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        logger.removeHandler(records)
        logger.setLevel(level)


class Meters:
    """A provider of its own: OpenTelemetry lets a process set the global one only once."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        self.provider = MeterProvider([self._reader], shutdown_on_exit=False)

    def points(self) -> dict[str, list[tuple[dict[str, Any], float]]]:
        """Return attributes and value of each metric; the value of a histogram is its count."""
        data = self._reader.get_metrics_data()
        found: dict[str, list[tuple[dict[str, Any], float]]] = {}
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    found[metric.name] = [
                        (dict(each.attributes), getattr(each, "value", None) or getattr(each, "count", 0))
                        for each in metric.data.data_points
                    ]
        return found

    def total(self, metric: names.Metric) -> float:
        return sum(value for _, value in self.points().get(metric.name, ()))


@contextmanager
def metered(monkeypatch: Any) -> Iterator[Meters]:
    """Let the engine's instruments belong to a provider of the test's own."""
    from opentelemetry import metrics as api

    meters = Meters()
    with monkeypatch.context() as patch:
        patch.setattr(api, "get_meter", meters.provider.get_meter)
        memory.forget()
        yield meters
    memory.forget()
    meters.provider.shutdown()


def tables() -> dict[str, str]:
    """Return the tables of the page by name, from what the package declares."""
    events = [
        [
            f"`{each.name}`",
            logging.getLevelName(each.level),
            " ".join(f"`azpg_{key}`" for key in each.keys),
            each.meaning,
        ]
        for each in names.EVENTS
    ]
    keys = [[f"`azpg_{key}`", meaning] for key, meaning in names.KEYS.items()]
    instruments = [
        [f"`{each.name}`", each.kind.replace("_", " "), f"`{each.unit}`", each.meaning] for each in names.METRICS
    ]
    attributes = [[f"`{name}`", meaning] for name, meaning in names.ATTRIBUTES.items()]
    return {
        "events": _table(["event", "level", "keys", "meaning"], events),
        "keys": _table(["key", "meaning"], keys),
        "metrics": _table(["metric", "instrument", "unit", "meaning"], instruments),
        "attributes": _table(["attribute", "meaning"], attributes),
    }


def _keys(event: names.Event) -> str:
    return " ".join(f"`azpg_{key}`" for key in event.keys)


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])
