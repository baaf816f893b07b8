"""What became of each test, with one engine and with the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

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

    must: outcomes of those that have to pass here. recipes: how many of them are for this engine only. mended: what
    each test shows that may fail with Django's engine. explained: why a test may go another way here.
    """

    stock: Outcomes
    ours: Outcomes
    must: Outcomes
    recipes: int = 0
    mended: Mapping[str, str] = field(default_factory=dict)
    explained: Mapping[str, str] = field(default_factory=dict)

    @property
    def mends(self) -> list[str]:
        """Tests that are known to fail with Django's engine, did so, and passed with this one."""
        return [
            name
            for name, outcome in self.ours.items()
            if outcome == "passed" and self.stock.get(name) in {"failed", "error"} and _bare(name) in self.mended
        ]

    @property
    def exceptions(self) -> list[str]:
        """Tests that went another way than with Django's engine, for a reason that is known."""
        return [name for name in self._changed if _bare(name) in self.explained and name not in self.must]

    @property
    def _changed(self) -> list[str]:
        names = {*self.stock, *self.ours}
        return [name for name in names if self.stock.get(name) != self.ours.get(name) or self.stock[name] == BROKEN]

    @property
    def differences(self) -> list[str]:
        """Each test that went another way than with Django's engine, and each recipe that does not work."""
        changed = sorted(set(self._changed) - {*self.mends, *self.exceptions})
        return [
            *(f"{name}: {self.stock.get(name, 'not run')}, here {self.ours.get(name, 'not run')}" for name in changed),
            *(f"{name}: {outcome}" for name, outcome in sorted(self.must.items()) if outcome != "passed"),
            *([] if self.ours or self.must else ["no test was run"]),
        ]

    @property
    def verdict(self) -> str:
        if self.differences:
            return f"{len(self.differences)} differ"
        parts = ["same" if self.stock else ""]
        parts += [f"only here: {said}" for said in _said(self.mends, self.mended)]
        parts += [f"but {said}" for said in _said(self.exceptions, self.explained)]
        parts += ["the recipe works"] if self.recipes else []
        return "; ".join(filter(None, parts))


def _bare(name: str) -> str:
    """Return a test's own name, without its file or module, its class and its parameters."""
    return name.partition("[")[0].rpartition("::")[2].rpartition(".")[2]


def _said(names: Iterable[str], words: Mapping[str, str]) -> Collection[str]:
    return dict.fromkeys(words[_bare(name)] for name in sorted(names))
