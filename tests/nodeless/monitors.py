"""Stands in for the monitors of pods that nobody runs: each answers with the rows that a test gave it.

A mock, because there are no pods on a bare API server; the e2e tier reads real monitors.
"""

import json
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelward.facts import PodFacts
from modelward.monitoring.client import Answer
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import zero
from modelward_drift.counting.reading import Intake, Reading
from modelward_drift.errors import ProfileError
from modelward_drift.profiles.reference import Feature, Reference


def reference(*, source: Any = "training", shift: float = 0.0) -> Reference:
    """Two features of 5000 rows: `amount`, normal around `shift`, and `output:label`."""
    rows = np.random.default_rng(1).normal(shift, 1, 5000)
    labels = ["good" if value < shift + 1 else "bad" for value in rows]
    return Reference(
        (
            Feature("input", "amount", None, profile_of("amount", "numeric", rows)),
            Feature("output", "label", None, profile_of("output:label", "categorical", labels)),
        ),
        source,
    )


@dataclass
class FakeMonitor:
    """One pod's. `reference`: None while it learns; `unreadable`: why the operator can't read it; `refuses`: what it
    says of one that it is given."""

    reference: Reference | None
    epoch: str = "e1"
    sequence: int = 0
    counts: Any = None
    intake: Intake = field(default_factory=Intake)
    final: bool = False
    learning: tuple[int, int] = (0, 5000)
    problem: str | None = None
    mute: bool = False
    unreadable: str = ""
    refuses: str = ""

    def take(self, rows: int, shift: float = 0.0, seed: int = 0) -> None:
        """Count normal rows around `shift`."""
        assert self.reference is not None
        values = np.random.default_rng(seed).normal(shift, 1, rows)
        labels = ["good" if value < 1 else "bad" for value in values]
        amount, label = self.reference.profiles
        before = self.counts or (zero(amount), zero(label))
        self.counts = (before[0] + count(amount, values), before[1] + count(label, labels))
        self.sequence += 1
        self.intake = Intake(self.intake.counted + rows)

    def answer(self, pod: PodFacts) -> Answer:
        if self.mute:
            return Answer()
        if self.problem:
            return Answer(problem=self.problem)
        if self.reference is None:
            return Answer(learning=self.learning)
        counts = self.counts or tuple(map(zero, self.reference.profiles))
        reading = Reading(pod.uid, self.epoch, self.sequence, self.reference.digest, counts, self.intake, self.final)
        return Answer(json.loads(json.dumps(reading.to_dict())))


class FakeMonitors:
    """Instead of Monitors. `by_pod`: by the pod's name; a pod that nobody named has `usual`."""

    def __init__(self, usual: Reference | None = None) -> None:
        self.usual = usual
        self.by_pod: dict[str, FakeMonitor] = {}
        self.asked = 0

    def of(self, name: str) -> FakeMonitor:
        return self.by_pod.setdefault(name, FakeMonitor(self.usual))

    async def counts(self, pod: PodFacts) -> Answer:
        self.asked += 1
        return self.of(pod.name).answer(pod)

    async def reference(self, pod: PodFacts) -> Reference | None:
        monitor = self.of(pod.name)
        if monitor.unreadable:
            raise ProfileError(monitor.unreadable)
        return monitor.reference

    async def log(self, _pod: PodFacts) -> Answer:
        """As of a revision that keeps none: what became of rows is told by real monitors (the e2e tier)."""
        return Answer({})

    async def adopt(self, pod: PodFacts, given: Reference) -> Answer:
        monitor = self.of(pod.name)
        if monitor.refuses:
            return Answer(problem=monitor.refuses)
        if monitor.reference is None or monitor.reference.source == "learned":
            monitor.reference, monitor.counts, monitor.epoch = given, None, f"{monitor.epoch}+"
        return Answer({})


def as_monitors(monitors: FakeMonitors) -> Any:
    """In the place of the real ones."""
    return monitors
