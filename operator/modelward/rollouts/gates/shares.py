"""Gates on the share of bad answers: the candidate's may exceed the stable's by less than a margin.

What is bad: an error (`errorRate`), a request that the model did not take (`refusals`), a slow answer (`latency`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from modelward.api.rollout import FAIL, PASS, Gates
from modelward.facts import Judgement
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates.gate import REFUSALS, Context, Kind, Observation, Stored
from modelward.rollouts.gates.tested import INCONCLUSIVE, NOT_SHOWN, Tested, in_words, restored
from modelward.rollouts.gates.users import Users, load
from modelward.rollouts.statistics import sequential
from modelward.rollouts.statistics.outcomes import Outcomes
from modelward.rollouts.statistics.sequential import Evidence
from modelward.routing.latency import bound_of, text_of
from modelward.values.durations import seconds, share


@dataclass(frozen=True)
class Measure:
    """What is counted. `bad`: in words; `of`: answers and bad ones among what was counted of one side; `by_pods`: pods
    alone see it, whoever sent a request."""

    name: str
    bad: str
    of: Callable[[Counts], tuple[int, int]]
    needs: frozenset[str] = frozenset()
    by_pods: bool = False


ERROR_RATE: Final = Measure("errorRate", "errors", lambda counts: (counts.requests, counts.errors))
REFUSED: Final = Measure(
    "refusals",
    "requests that the model refused",
    lambda counts: (counts.answered, counts.refused),
    frozenset({REFUSALS}),
    by_pods=True,
)
LATENCY: Final = Measure("latency", "slower answers", lambda counts: (counts.timed, counts.slow))


@dataclass(frozen=True)
class Share(Tested):
    """One of them, at work. `users`: None where traffic does not stick."""

    measure: Measure = ERROR_RATE
    users: Users | None = None

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

    def add(self, seen: Observation) -> Self:
        # What was collected before users were known can't be held against them: it begins anew.
        late = seen.users is not None and self.users is None and self.evidence != Evidence()
        added = super(Share, replace(self, test=sequential.start(self.test.margin)) if late else self).add(seen)
        return (
            added
            if seen.users is None
            else replace(added, users=(self.users or Users()).add(seen.users, self.measure.of))
        )

    @property
    def _by_users(self) -> Users | None:
        """Those whose word counts, too."""
        users = self.users
        if users is None or not users.known:
            return None
        return users if self.measure.by_pods or users.explain(self.evidence.candidate.bad) else None

    def verdict(self, alpha: float) -> str:
        verdict, users = super().verdict(alpha), self._by_users
        if users is None or verdict not in (FAIL, PASS):
            return verdict
        worse = verdict == FAIL
        shown = users.show(self.test.margin, alpha if worse else NOT_SHOWN, worse=worse)
        return verdict if shown else INCONCLUSIVE

    def opinion(self, context: Context) -> Judgement:
        users = self._by_users
        few = users is not None and not users.are_enough and self._is_refuted(context.alpha)
        # More of them would tell; but not at the expense of users, where it is most of these that get bad answers.
        if users is not None and few and users.most_are_worse(self.test.margin):
            said = f"{self.name}: {self.sentence}; that is worse than {self.limit} allows"
            return context.without_data(f"{said}, but too few users stay on a side to tell it from chance")
        return super().opinion(context)

    def _is_refuted(self, alpha: float) -> bool:
        """Whether requests say that the candidate is worse, and users do not."""
        return super().verdict(alpha) == FAIL != self.verdict(alpha)

    def dump(self, alpha: float) -> dict[str, Any]:
        shown = super().dump(alpha)
        if self._is_refuted(alpha):
            shown["message"] += "; by users, that it is worse is not shown"
        return shown if self.users is None else {**shown, "users": self.users.dump()}


def _outcomes(trials: int, bad: int) -> Outcomes:
    # An answer by gRPC is counted when it begins and its failure when it ends, which may be after the next look.
    return Outcomes(trials, min(bad, trials))


def _gate(measure: Measure, limit: str, margin: float, stored: Stored) -> Share:
    test = restored(measure.name, limit, margin, stored, paired=True)
    return Share(measure.name, limit, test, measure, _users(stored.get(measure.name), limit))


def _users(last: Mapping[str, Any] | None, limit: str) -> Users | None:
    if last is None or last.get("limit") != limit:
        return None
    try:
        return load(last.get("users"))
    except (LookupError, TypeError, ValueError, AttributeError):
        return None


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
