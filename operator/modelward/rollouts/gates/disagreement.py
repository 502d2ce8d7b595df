"""The gate on other answers to the same requests: at most a share of them, whatever the stable does."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from modelward.api.rollout import Gates
from modelward.rollouts.gates.gate import PAIRS, Kind, Observation, Stored
from modelward.rollouts.gates.tested import Tested, in_words, restored
from modelward.rollouts.statistics.outcomes import Outcomes
from modelward.values.durations import share

NAME: Final = "disagreement"


@dataclass(frozen=True)
class Disagreeing(Tested):
    """At work."""

    by_pairs: ClassVar[bool] = True

    @property
    def needs(self) -> frozenset[str]:
        return frozenset({PAIRS})

    @property
    def seen(self) -> int:
        return self.compared

    @property
    def sentence(self) -> str:
        return f"{in_words(self.evidence.candidate)} answers differ from the stable's"

    def block(self, seen: Observation) -> tuple[Outcomes, Outcomes]:
        return Outcomes(), seen.pairs


def _opened(gates: Gates, stored: Stored) -> Iterator[Disagreeing]:
    if gates.disagreement:
        limit = gates.disagreement.max
        yield Disagreeing(NAME, limit, restored(NAME, limit, share(limit), stored, paired=False))


def _mirror(gates: Gates) -> int:
    return gates.disagreement.mirror_percent if gates.disagreement else 0


KIND: Final = Kind(NAME, _opened, _mirror)
