"""A gate whose verdict is a sequential test of shares (statistics/sequential.py).

It fails as soon as its evidence is enough, however few requests that took; to pass a step, minSamples are needed as
well; to be promoted, it has to have been decided, or its time to be over.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, ClassVar, Final, Self

from modelward.api.rollout import FAIL, PASS
from modelward.facts import Judgement
from modelward.rollouts.gates.gate import Context, Observation, Stored
from modelward.rollouts.statistics import sequential
from modelward.rollouts.statistics.outcomes import Outcomes
from modelward.rollouts.statistics.sequential import Evidence
from modelward.values import stored
from modelward.values.stored import known

INCONCLUSIVE: Final = "Inconclusive"

NOT_SHOWN: Final = 0.05
"""Chance that a candidate passes a gate although it is worse than the margin."""


@dataclass(frozen=True)
class Tested(ABC):
    """`limit`: as spec gives it. Who compares what defines `block`, `seen` and `sentence`."""

    name: str
    limit: str
    test: sequential.Comparison

    is_test: ClassVar[bool] = True
    by_requests: ClassVar[bool] = True
    by_pairs: ClassVar[bool] = False

    @property
    def needs(self) -> frozenset[str]:
        return frozenset()

    @property
    def evidence(self) -> Evidence:
        return self.test.evidence

    @property
    def terms(self) -> object:
        return self.name, self.limit

    @property
    def compared(self) -> int:
        return self.evidence.candidate.trials

    @property
    @abstractmethod
    def seen(self) -> int:
        """What minSamples are counted in."""

    @property
    @abstractmethod
    def sentence(self) -> str:
        """The numbers in words."""

    @abstractmethod
    def block(self, seen: Observation) -> tuple[Outcomes, Outcomes]:
        """What the look brought of the stable and of the candidate."""

    def add(self, seen: Observation) -> Self:
        return replace(self, test=self.test.look(*self.block(seen)))

    def verdict(self, alpha: float) -> str:
        """Pass, Fail or Inconclusive."""
        return sequential.verdict(self.evidence, alpha, NOT_SHOWN)

    def opinion(self, context: Context) -> Judgement:
        verdict, said = self.verdict(context.alpha), f"{self.name}: {self.sentence}"
        if verdict == FAIL:
            return Judgement(f"{said}; that is worse than {self.limit} allows")
        if self.seen < context.gates.min_samples:
            return context.without_data(f"{self.name}: {self.seen} of {context.gates.min_samples} requests")
        if context.final and verdict != PASS and not context.late:
            return Judgement(waits_for=f"{said}; not decided yet")
        return Judgement()

    def dump(self, alpha: float) -> dict[str, Any]:
        evidence = self.evidence
        return {
            "name": self.name,
            "limit": self.limit,
            "verdict": str(self.verdict(alpha)),
            "message": self.sentence,
            **({"stable": _shown(evidence.stable)} if self.test.paired else {}),
            "candidate": _shown(evidence.candidate),
            "against": f"{evidence.against:.4f}",
            "supports": f"{evidence.supports:.4f}",
        }


def restored(name: str, limit: str, margin: float, gates: Stored, *, paired: bool) -> sequential.Comparison:
    """The test that goes on from what `dump` stored under this name; a new one where that had another limit, or can't
    be read: another version of the operator may have written it."""
    margin = min(margin, sequential.MAX_MARGIN)
    last = gates.get(name)
    if last is None or last.get("limit") != limit:
        return sequential.start(margin, paired=paired)
    try:
        evidence = known(_StoredTest, last).value()
    except ValueError:
        return sequential.start(margin, paired=paired)
    return sequential.restore(margin, evidence, paired=paired)


class _StoredOutcomes(stored.Stored):
    requests: int
    bad: int

    def value(self) -> Outcomes:
        return Outcomes(self.requests, self.bad)


class _StoredTest(stored.Stored):
    """`against`, `supports`: numbers as text, since a CRD has no good ones."""

    against: str
    supports: str
    stable: _StoredOutcomes | None = None
    candidate: _StoredOutcomes | None = None

    def value(self) -> Evidence:
        """Raises ValueError."""
        stable, candidate = (each.value() if each else Outcomes() for each in (self.stable, self.candidate))
        against, supports = float(self.against), float(self.supports)
        if not (isfinite(against) and isfinite(supports)):
            raise ValueError("evidence is a finite number; with another one nothing would ever be decided")
        return Evidence(stable, candidate, against, supports)


def _shown(outcomes: Outcomes) -> dict[str, int]:
    return {"requests": outcomes.trials, "bad": outcomes.bad}


def in_words(outcomes: Outcomes) -> str:
    percent = "" if outcomes.share is None else f" ({outcomes.share:.2%})"
    return f"{outcomes.bad:,} of {outcomes.trials:,}{percent}"
