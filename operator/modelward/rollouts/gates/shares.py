"""Gates on the share of bad answers: the candidate's may exceed the stable's by less than a margin.

What is bad: an error (`errorRate`), a request that the model did not take (`refusals`), a slow answer (`latency`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from modelward.api.rollout import Gates
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates.gate import REFUSALS, Kind, Observation, Stored
from modelward.rollouts.gates.tested import Tested, in_words, restored
from modelward.rollouts.statistics.outcomes import Outcomes
from modelward.routing.latency import bound_of, text_of
from modelward.values.durations import seconds, share


@dataclass(frozen=True)
class Measure:
    """What is counted. `bad`: in words; `of`: answers and bad ones among what was counted of one side."""

    name: str
    bad: str
    of: Callable[[Counts], tuple[int, int]]
    needs: frozenset[str] = frozenset()


ERROR_RATE: Final = Measure("errorRate", "errors", lambda counts: (counts.requests, counts.errors))
REFUSED: Final = Measure(
    "refusals",
    "requests that the model refused",
    lambda counts: (counts.answered, counts.refused),
    frozenset({REFUSALS}),
)
LATENCY: Final = Measure("latency", "slower answers", lambda counts: (counts.timed, counts.slow))


@dataclass(frozen=True)
class Share(Tested):
    """One of them, at work."""

    measure: Measure = ERROR_RATE

    @property
    def needs(self) -> frozenset[str]:
        return self.measure.needs

    @property
    def seen(self) -> int:
        return min(self.evidence.candidate.trials, self.evidence.stable.trials)

    @property
    def sentence(self) -> str:
        candidate, stable = in_words(self.evidence.candidate), in_words(self.evidence.stable)
        return f"{candidate} {self.measure.bad}, against {stable} of the stable"

    def block(self, seen: Observation) -> tuple[Outcomes, Outcomes]:
        return _outcomes(*self.measure.of(seen.stable)), _outcomes(*self.measure.of(seen.candidate))


def _outcomes(trials: int, bad: int) -> Outcomes:
    # An answer by gRPC is counted when it begins and its failure when it ends, which may be after the next look.
    return Outcomes(trials, min(bad, trials))


def _gate(measure: Measure, limit: str, margin: float, stored: Stored) -> Share:
    return Share(measure.name, limit, restored(measure.name, limit, margin, stored, paired=True), measure)


def _errors(gates: Gates, stored: Stored) -> Iterator[Share]:
    if gates.error_rate:
        yield _gate(ERROR_RATE, gates.error_rate.margin, share(gates.error_rate.margin), stored)


def _refusals(gates: Gates, stored: Stored) -> Iterator[Share]:
    if gates.refusals:
        yield _gate(REFUSED, gates.refusals.margin, share(gates.refusals.margin), stored)


def _latency(gates: Gates, stored: Stored) -> Iterator[Share]:
    if gates.latency:
        bound = text_of(bound_of(seconds(gates.latency.slo)))
        yield _gate(LATENCY, f"{gates.latency.margin} over {bound}", share(gates.latency.margin), stored)


KINDS: Final = (
    Kind(ERROR_RATE.name, _errors),
    Kind(REFUSED.name, _refusals),
    Kind(LATENCY.name, _latency),
)
