"""What became of each test, with one engine and with the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

Outcomes = Mapping[str, str]
# In the order in which they are told.
KINDS = ("passed", "failed", "error", "skipped", "xfailed", "xpassed", "broken")
# Of a run that did not come to its end, be it with Django's engine.
BROKEN = "broken"


def counted(outcomes: Outcomes) -> str:
    found = Counter(outcomes.values())
    return ", ".join(f"{found[kind]} {kind}" for kind in KINDS if found[kind]) or "nothing ran"


@dataclass(frozen=True)
class Comparison:
    """What became of the same tests with both engines.

    must: outcomes of those that have to pass here. recipes: how many of them are for this engine only. mended: tests
    that may fail with Django's engine.
    """

    stock: Outcomes
    ours: Outcomes
    must: Outcomes
    recipes: int = 0
    mended: Collection[str] = ()

    @property
    def mends(self) -> list[str]:
        """Tests that are known to fail with Django's engine, did so, and passed with this one."""
        return [
            name
            for name, outcome in self.ours.items()
            if outcome == "passed" and self.stock.get(name) in {"failed", "error"} and _bare(name) in self.mended
        ]

    @property
    def differences(self) -> list[str]:
        """Each test that went another way than with Django's engine, and each recipe that does not work."""
        mends = set(self.mends)
        names = sorted({*self.stock, *self.ours} - mends)
        changed = [name for name in names if self.stock.get(name) != self.ours.get(name) or self.stock[name] == BROKEN]
        return [
            *(f"{name}: {self.stock.get(name, 'not run')}, here {self.ours.get(name, 'not run')}" for name in changed),
            *(f"{name}: {outcome}" for name, outcome in sorted(self.must.items()) if outcome != "passed"),
            *([] if self.ours or self.must else ["no test was run"]),
        ]

    @property
    def verdict(self) -> str:
        if self.differences:
            return f"{len(self.differences)} differ"
        names = dict.fromkeys(_bare(name) for name in self.mends)
        parts = ["same" if self.stock else ""]
        parts += ["only here: " + ", ".join(map(_words, names))] if names else []
        parts += ["the recipe works"] if self.recipes else []
        return "; ".join(filter(None, parts))


def _bare(name: str) -> str:
    """Return a test's own name, without its file and its parameters."""
    return name.rpartition("::")[2].partition("[")[0]


def _words(name: str) -> str:
    return name.removeprefix("test_").replace("_s_", "'s ").replace("_", " ")
