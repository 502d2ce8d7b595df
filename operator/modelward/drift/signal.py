"""A signal: one thing that a policy looks at to say whether a model still fits, with its value and its bound. Pure.

A window's divergence is one kind. Whoever adds another (the quality of what was foretold, fairness, a business metric)
writes one file with its `Kind`, and one line in registry.py: a breached signal is part of the verdict, starts a run or
holds it up as its action says, and is stored and shown, whatever its kind.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from modelward.api.driftpolicy import Spec
from modelward.values.stored import Stored, Text, known
from modelward.values.times import read_time, show_time

WINDOW: Final = "window"
"""The kind of a window's divergence from the reference: a signal for each feature."""

LONGEST: Final = 300
"""Characters of a sentence that are kept."""


@dataclass(frozen=True)
class Signal:
    """`name`: unique within its kind; `value`, `bound`: as people read them; `breached`: whether the value is beyond
    the bound; `since`: when that began, seconds since the epoch; `message`: both in a sentence; `missing`: why there is
    no value (any more), which breaches nothing by itself."""

    kind: str
    name: str
    value: str | None = None
    bound: str | None = None
    breached: bool = False
    since: float | None = None
    message: str = ""
    missing: str | None = None

    @property
    def key(self) -> str:
        """Unique among all kinds. Features had these names before there were other kinds."""
        return self.name if self.kind == WINDOW else f"{self.kind}/{self.name}"


@dataclass(frozen=True)
class Sight:
    """What a kind judges by. `last`: its own signals as they were, of the same revision; `now`: seconds since the
    epoch; `sources`: what the installation can ask, by name: a kind says in `missing` what it lacks."""

    revision: str
    last: tuple[Signal, ...] = ()
    now: float = 0.0
    sources: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """One line of the registry.

    `action`: Retrain, Warn or Hold, for a signal of this name. `signals`: those that spec asks for, as they are now;
    None where the verdict has them already, as it has a window's.
    """

    name: str
    action: Callable[[Spec, str], str]
    signals: Callable[[Spec, Sight], Iterable[Signal]] | None = None


def show_signal(signal: Signal) -> dict[str, Any]:
    """As status and memory have it."""
    shown = {
        "kind": signal.kind,
        "name": signal.name,
        "value": signal.value,
        "bound": signal.bound,
        "breached": signal.breached or None,
        "since": None if signal.since is None else show_time(signal.since),
        "message": signal.message[:LONGEST],
        "missing": None if signal.missing is None else signal.missing[:LONGEST],
    }
    return {name: value for name, value in shown.items() if value not in (None, "")}


class _StoredSignal(Stored):
    kind: Text
    name: Text
    value: str | None = None
    bound: str | None = None
    breached: bool = False
    since: str | None = None
    message: str = ""
    missing: str | None = None


def read_signal(raw: Any) -> Signal:
    """The inverse of show_signal. Raises ValueError for something else."""
    stored = known(_StoredSignal, raw)
    since = None if stored.since is None else read_time(stored.since)
    return Signal(
        stored.kind, stored.name, stored.value, stored.bound, stored.breached, since, stored.message, stored.missing
    )
