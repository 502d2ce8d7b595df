"""The gates of a rollout together: what they have seen, what they say, and whether the step may end.

Each kind is a file of its own (see registry.py); here none is known by name.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from modelward.api.rollout import Gates
from modelward.facts import Judgement
from modelward.rollouts.evidence.tally import Counts
from modelward.rollouts.gates import registry
from modelward.rollouts.gates.gate import Context, Gate, Kind, Observation
from modelward.rollouts.gates.metric import Query
from modelward.rollouts.gates.query import Reading
from modelward.rollouts.statistics.outcomes import Outcomes
from modelward.values.durations import seconds

FALSE_ROLLBACKS: Final = 0.01
"""Of rollouts whose candidate is no worse than the margins allow: divided among the gates of a rollout that test."""


@dataclass(frozen=True)
class Case:
    """The evidence for and against one candidate, beside one stable revision, in one attempt."""

    stable: str
    candidate: str
    attempt: int
    gates: tuple[Gate, ...] = ()

    @property
    def alpha(self) -> float:
        """The chance of a false rollback that each gate may have."""
        return FALSE_ROLLBACKS / max(1, sum(gate.is_test for gate in self.gates))

    @property
    def queries(self) -> tuple[Query, ...]:
        """Those that ask Prometheus."""
        return tuple(gate for gate in self.gates if isinstance(gate, Query))

    @property
    def needs(self) -> frozenset[str]:
        """What the next look has to bring beside what every look does."""
        return frozenset().union(*(gate.needs for gate in self.gates))

    @property
    def compared(self) -> int:
        """Requests of the candidate: pairs, where answers are compared."""
        pairs = [gate.compared for gate in self.gates if gate.by_pairs]
        return max(pairs or (gate.compared for gate in self.gates), default=0)

    def add(self, seen: Observation) -> "Case":
        """The case after one more look."""
        return replace(self, gates=tuple(gate.add(seen) for gate in self.gates))


def opened(gates: Gates, stable: str, candidate: str, attempt: int, stored: Sequence[Mapping[str, Any]] = ()) -> Case:
    """The case as `rendered` stored it; a gate that is new, has another limit or can't be read begins anew. What is
    stored of a gate that this operator does not know is none of its evidence."""
    known = {str(each.get("name")): each for each in stored}
    made = (gate for kind in registry.GATES for gate in kind.opened(gates, known))
    return Case(stable, candidate, attempt, tuple(made))


def limits(case: Case) -> tuple[object, ...]:
    """What the gates are, apart from what they have seen."""
    return tuple(gate.terms for gate in case.gates)


def observers(gates: Gates) -> Iterator[Kind]:
    """The kinds of spec's gates that look for themselves."""
    return (kind for kind in registry.GATES if kind.observe is not None and any(kind.opened(gates, {})))


def mirror_of(gates: Gates) -> int:
    """Percent of the requests that a canary gets a copy of, for its gates."""
    return max(kind.mirror(gates) for kind in registry.GATES)


def heard(case: Case, counts: Mapping[str, Counts], pairs: Outcomes, readings: Mapping[str, Reading]) -> Case:
    """The case after one more look. `counts`: by revision; `pairs`: disagreements; `readings`: by metric."""
    zero = Counts()
    return case.add(Observation(counts.get(case.stable, zero), counts.get(case.candidate, zero), pairs, readings))


def judge(case: Case, gates: Gates, elapsed: float, *, final: bool, asked: bool = True) -> Judgement:
    """What the gates say after `elapsed` seconds of a step.

    `final`: promotion comes next; `asked`: whether the candidate gets requests or copies at all: without, what is
    counted of them can't hold it up.
    """
    late = elapsed > seconds(gates.max_duration)
    opinions, waits = [], []
    for gate in case.gates:
        counts = asked or not gate.by_requests
        opinion = gate.opinion(Context(gates, case.alpha, final, late and counts))
        opinions.append(opinion)
        if opinion.waits_for and counts:
            waits.append(opinion.waits_for)
    failed = next((each.failed for each in opinions if each.failed), None)
    return Judgement(failed, None if failed else "; ".join(waits) or None, not (failed or waits), case.compared)


def rendered(case: Case) -> list[dict[str, Any]]:
    """As the status holds it."""
    return [gate.dump(case.alpha) for gate in case.gates]
