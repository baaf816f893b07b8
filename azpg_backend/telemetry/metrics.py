"""OpenTelemetry's instruments, if anything in this process uses its metrics.

Whoever collects metrics has imported opentelemetry.metrics, so it is looked for among the modules that are loaded and
never imported here. An instrument that is made before the application sets its MeterProvider starts to count then.
"""

from __future__ import annotations

import functools
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from azpg_backend.process.memory import Kept
from azpg_backend.telemetry import names
from azpg_backend.telemetry.names import Metric

Attributes = Mapping[str, str | int]
API = "opentelemetry.metrics"
# Seconds. OpenTelemetry's own default is meant for milliseconds.
_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)


class Figure(NamedTuple):
    """One value of an observable instrument."""

    metric: Metric
    value: float
    attributes: Attributes


Figures = Callable[[Any], Iterable[Figure]]


class _Watched(NamedTuple):
    figures: Figures
    across_forks: bool


class _State:
    """The instruments by name, and what observable ones look at; nothing is kept alive for that."""

    def __init__(self) -> None:
        # Two, for a reader holds OpenTelemetry's own lock while it asks for figures, and so does who makes instruments.
        self.making = threading.Lock()
        self.watching = threading.Lock()
        self.instruments: dict[str, Any] = {}
        self.watched: weakref.WeakKeyDictionary[Any, _Watched] = weakref.WeakKeyDictionary()

    def in_child(self) -> _State:
        """Return a forked child's: OpenTelemetry's instruments live on; locks and the parent's pools don't."""
        inherited = _State()
        inherited.instruments = self.instruments
        inherited.watched.update({each: how for each, how in self.watched.items() if how.across_forks})
        return inherited


_state = Kept(_State, in_child=_State.in_child)


def are_collected() -> bool:
    """Whether anything in this process uses OpenTelemetry's metrics."""
    return API in sys.modules


def count(metric: Metric, attributes: Attributes) -> None:
    """Add one to a counter."""
    if instrument := _instruments().get(metric.name):
        instrument.add(1, attributes)


def record(metric: Metric, value: float, attributes: Attributes) -> None:
    """Add a value to a histogram."""
    if instrument := _instruments().get(metric.name):
        instrument.record(value, attributes)


def watch(each: Any, figures: Figures, *, across_forks: bool = False) -> None:
    """Let observable instruments ask for an object's figures while the object lives.

    figures: returns them; must not refer to the object, for that would keep it alive.
    across_forks: whether a forked child goes on with the object.
    """
    state = _state.get()
    with state.watching:
        state.watched[each] = _Watched(figures, across_forks)


def _instruments() -> Mapping[str, Any]:
    """Return the instruments; none if nothing in this process uses OpenTelemetry's metrics."""
    # Another thread may be importing it at this moment.
    get_meter = getattr(sys.modules.get(API), "get_meter", None)
    if get_meter is None:
        return {}
    state = _state.get()
    if not state.instruments:
        with state.making:
            if not state.instruments:
                meter = get_meter(names.METER)
                state.instruments = {metric.name: _made(meter, metric) for metric in names.METRICS}
    return state.instruments


def _made(meter: Any, metric: Metric) -> Any:
    create = getattr(meter, f"create_{metric.kind}")
    about = {"unit": metric.unit, "description": metric.meaning}
    if metric.kind.startswith("observable"):
        return create(metric.name, callbacks=[functools.partial(_observed, metric)], **about)
    if metric.kind == names.HISTOGRAM:
        try:
            return create(metric.name, explicit_bucket_boundaries_advisory=_BUCKETS, **about)
        except TypeError:
            # Before release 1.30.
            pass
    return create(metric.name, **about)


def _observed(metric: Metric, options: object = None) -> Iterator[Any]:
    """Yield an observation for each set of attributes."""
    totals: dict[tuple[tuple[str, str | int], ...], float] = {}
    for figure in _figures():
        if figure.metric is metric:
            key = tuple(figure.attributes.items())
            totals[key] = totals.get(key, 0) + figure.value
    for key, value in totals.items():
        yield sys.modules[API].Observation(value, dict(key))


def _figures() -> Iterator[Figure]:
    state = _state.get()
    with state.watching:
        watched = list(state.watched.items())
    for each, how in watched:
        yield from how.figures(each)
