"""The gate on outcomes: a metric of the candidate may be worse than the stable's by less than a margin.

Outcomes come late, so a Job joins them with the prediction log now and then (quality/comparison.py), and the gate is
told of each such look. It judges the interval of the difference: it fails where all of that lies beyond the margin, and
passes where none of it does. Looks share the chance of being wrong (statistics/spending.py). A look with fewer rows
than minSamples on a side is no look: intervals of few rows are no exact ones.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Final

from modelward.api.quality import LOWER_IS_BETTER, WORTH
from modelward.api.quality_gate import LAST_STEP, NAME, MetricMargin, QualityGate, quality_gate_of
from modelward.api.rollout import FAIL, HOLD, PASS, Gates
from modelward.facts import Judgement
from modelward.rollouts.gates.gate import Context, Kind, Observation
from modelward.rollouts.gates.gate import Stored as StoredGates
from modelward.rollouts.gates.tested import INCONCLUSIVE
from modelward.rollouts.statistics.sequential import Verdict
from modelward.values.durations import period
from modelward.values.hashing import content_hash
from modelward.values.stored import Stored, known
from modelward.values.times import read_time, show_time

WEEK: Final = 7 * 86400.0


@dataclass(frozen=True)
class Interval:
    """Of a difference; None: there is no formula for it."""

    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Compared:
    """One metric of two arms, on the same hours. `rows`, `stable_rows`: with an outcome that the metric is about;
    `difference`: of `arm` less `stable`, with its interval by which the gate fails, and that by which it passes."""

    arm: float
    rows: int
    stable: float
    stable_rows: int
    difference: float
    sure: Interval = Interval()
    likely: Interval = Interval()

    @property
    def least_rows(self) -> int:
        return min(self.rows, self.stable_rows)


@dataclass(frozen=True)
class OutcomeLook:
    """What a Job found out. `number`: of the look, by which its intervals are as wide as they are; `slot`: when it was
    due; `until`: of the predictions; `found`: by metric."""

    number: int
    slot: float
    until: float
    found: Mapping[str, Compared]


@dataclass(frozen=True)
class OutcomesTold:
    """What is known of a candidate's outcomes now. `since`: when its rollout began; `look`: the latest; `problem`: why
    there is no newer one; `following`: when the next one is due. Times in seconds since the epoch."""

    since: float
    now: float
    look: OutcomeLook | None = None
    problem: str | None = None
    following: float | None = None


@dataclass(frozen=True)
class OutcomeGate:
    """One metric. `basis`: a hash of all that its values depend on; `looks`: the number of the latest look that it
    judged; `seen`: the slot of the latest one, judged or not; `until`, `last`: of that."""

    asked: QualityGate
    metric: MetricMargin
    verdict: str = INCONCLUSIVE
    looks: int = 0
    seen: float | None = None
    until: float | None = None
    last: Compared | None = None
    told: OutcomesTold | None = field(default=None, compare=False)

    is_test: ClassVar[bool] = True
    by_requests: ClassVar[bool] = True
    by_pairs: ClassVar[bool] = False
    compared: ClassVar[int] = 0
    needs: ClassVar[frozenset[str]] = frozenset()

    @property
    def name(self) -> str:
        return name_of(self.metric)

    @property
    def limit(self) -> str:
        return self.metric.margin

    @property
    def basis(self) -> str:
        return basis_of(self.asked, self.metric.name)

    @property
    def terms(self) -> object:
        return self.asked, self.metric

    def add(self, seen: Observation) -> "OutcomeGate":
        told: OutcomesTold | None = seen.own.get(NAME)
        if told is None:
            return self
        after, look = replace(self, told=told), told.look
        if look is None or (self.seen is not None and look.slot <= self.seen):
            return after
        found = look.found.get(self.metric.name)
        after = replace(after, seen=look.slot, until=look.until, last=found)
        if found is None or not self._is_enough(found) or look.number <= self.looks:
            return after  # of a number that was judged already the chance is spent
        return replace(after, verdict=self._verdict(found), looks=look.number)

    def _is_enough(self, found: Compared) -> bool:
        """To be judged: so many rows, and of so many units that there is an interval."""
        return found.least_rows >= self.asked.min_samples and found.sure != Interval()

    def _verdict(self, found: Compared) -> str:
        """What was shown once stays shown, unless the opposite is."""
        margin = float(self.metric.margin)
        least, _ = worsening(self.metric.name, found.sure)
        _, most = worsening(self.metric.name, found.likely)
        if least is not None and least > margin:
            return FAIL
        return PASS if most is not None and most <= margin else self.verdict

    @property
    def sentence(self) -> str:
        """The numbers in words."""
        last = self.last
        if last is None:
            return "no outcome is known yet" if self.seen is None else "it is not defined by the rows that there are"
        until = "" if self.until is None else f", of predictions until {show_time(self.until)}"
        between = "" if last.sure.low is None else f" ({last.sure.low:.4g} to {last.sure.high:.4g})"
        return (
            f"{last.arm:.4g} of {last.rows:,} outcomes, against {last.stable:.4g} of {last.stable_rows:,} of the "
            f"stable: a difference of {last.difference:.4g}{between}{until}"
        )

    def opinion(self, context: Context) -> Judgement:
        said = f"{self.name}: {self.sentence}"
        if self.verdict == FAIL:
            return Judgement(f"{said}; that is worse than {self.limit} allows")
        if self.asked.wait_at == LAST_STEP and not context.final:
            return Judgement()
        rows = 0 if self.last is None else self.last.least_rows
        if self.verdict != PASS and rows < self.asked.min_samples:
            return self._without_data(f"{self.name}: {rows:,} of {self.asked.min_samples:,} matured outcomes")
        if self.verdict != PASS and self.last is not None and not self._is_enough(self.last):
            whose = "" if self.asked.unit is None else f"; {rows:,} outcomes are of too few of {self.asked.unit!r}"
            return self._without_data(f"{said}, without an interval{whose}")
        if context.final and self.verdict != PASS and not self._is_late:
            return Judgement(waits_for=f"{said}; not decided yet{self._next}")
        return Judgement()

    def _without_data(self, said: str) -> Judgement:
        if not self._is_late or self.asked.on_no_data == HOLD:
            return Judgement(waits_for=f"{said}{self._why}{self._next}")
        if self.asked.on_no_data == FAIL:
            return Judgement(f"{said} after {period_in_words(patience_of(self.asked))}")
        return Judgement()

    @property
    def _is_late(self) -> bool:
        told = self.told
        return told is not None and told.now - told.since > patience_of(self.asked)

    @property
    def _why(self) -> str:
        """That there are no more."""
        told, window = self.told, self.asked.label_window
        if told is None:
            return ""
        if told.problem is not None:
            return f". {told.problem}"
        if window is None:
            return ""
        if told.now < told.since + period(window):
            return (
                f"; the label window of {window} of its first predictions ends {show_time(told.since + period(window))}"
            )
        return f"; outcomes count {window} after their predictions"

    @property
    def _next(self) -> str:
        told = self.told
        if told is None or told.following is None or told.problem is not None:
            return ""
        return f". Outcomes are looked at again {show_time(told.following)}"

    def dump(self, alpha: float) -> dict[str, Any]:  # noqa: ARG002  each look has its own
        last = self.last
        shown: dict[str, Any] = {
            "basis": self.basis,
            "looks": self.looks,
            "evaluatedAt": None if self.seen is None else show_time(self.seen),
            "until": None if self.until is None else show_time(self.until),
            **({} if last is None else shown_of(last)),
        }
        return {
            "name": self.name,
            "limit": self.limit,
            "verdict": str(self.verdict),
            "message": self.sentence,
            "outcomes": {name: value for name, value in shown.items() if value is not None},
        }


def name_of(metric: MetricMargin) -> str:
    """Of its gate."""
    return f"{NAME}:{metric.name}"


def worsening(metric: str, interval: Interval) -> tuple[float | None, float | None]:
    """By how much the arm is worse, at least and at most."""
    if metric in LOWER_IS_BETTER:
        return interval.low, interval.high
    return (None if interval.high is None else -interval.high), (None if interval.low is None else -interval.low)


def patience_of(asked: QualityGate) -> float:
    """Seconds from the rollout's beginning for which a gate may be undecided."""
    if asked.max_duration is not None:
        return period(asked.max_duration)
    return window_of(asked) + WEEK


def window_of(asked: QualityGate) -> float:
    """Seconds that outcomes are waited for."""
    return period(asked.label_window) if asked.label_window else 0.0


def period_in_words(seconds: float) -> str:
    """As spec would have it."""
    unit, factor = next(each for each in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)) if not seconds % each[1])
    return f"{seconds / factor:g}{unit}"


def basis_of(asked: QualityGate, metric: str) -> str:
    """A hash of all that a metric's value depends on: values of another one are no evidence."""
    expression = asked.business.expression if asked.business is not None and metric == WORTH else None
    return content_hash({
        "task": repr(asked.task), "outcomes": repr(asked.outcomes), "window": asked.label_window,
        "business": expression, "days": asked.days, "samples": asked.min_samples,
        **({} if asked.unit is None else {"unit": asked.unit}),
    })  # fmt: skip


def shown_of(found: Compared) -> dict[str, Any]:
    """As status has it: numbers as text, since a CRD has no good ones."""
    numbers = {
        "value": found.arm, "stable": found.stable, "difference": found.difference,
        "low": found.sure.low, "high": found.sure.high,
    }  # fmt: skip
    return {
        "rows": found.rows,
        "stableRows": found.stable_rows,
        **{name: f"{number:.7g}" for name, number in numbers.items() if number is not None},
    }


class _StoredLook(Stored):
    basis: str
    looks: int
    evaluated_at: str | None = None
    until: str | None = None
    rows: int = 0
    stable_rows: int = 0
    value: str | None = None
    stable: str | None = None
    difference: str | None = None
    low: str | None = None
    high: str | None = None

    def compared(self) -> Compared | None:
        """Raises ValueError."""
        if self.value is None or self.stable is None or self.difference is None:
            return None
        ends = (None if each is None else float(each) for each in (self.low, self.high))
        numbers = (float(self.value), self.rows, float(self.stable), self.stable_rows, float(self.difference))
        return Compared(*numbers, sure=Interval(*ends))


class _StoredGate(Stored):
    verdict: Verdict
    outcomes: _StoredLook


def _restored(gate: OutcomeGate, last: Mapping[str, Any] | None) -> OutcomeGate:
    """With the evidence that `dump` stored; as it is where that is of another limit or basis, or can't be read."""
    if last is None or last.get("limit") != gate.limit:
        return gate
    try:
        stored = known(_StoredGate, last)
        look = stored.outcomes
        if look.basis != gate.basis or look.looks < 0:
            return gate
        times = (None if each is None else read_time(each) for each in (look.evaluated_at, look.until))
        seen, until = times
        return replace(gate, verdict=stored.verdict, looks=look.looks, seen=seen, until=until, last=look.compared())
    except ValueError:
        return gate


def gates_of(gates: Gates, stored: StoredGates) -> Iterator[OutcomeGate]:
    """Those that spec asks for, each with the evidence that is stored under its name."""
    asked = quality_gate_of(gates)
    if asked is None:
        return
    for metric in asked.margins:
        yield _restored(OutcomeGate(asked, metric), stored.get(name_of(metric)))


KIND: Final = Kind(NAME, gates_of)
