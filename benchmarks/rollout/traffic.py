"""Requests of a service during a rollout, drawn by chance: when they come, and in which ways their answers are bad.

Which arm a request goes to depends on the weight at that time, but who asks and who would be unlucky does not: analyses
that move the traffic differently are compared on the same stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from modelward.rollouts.statistics.outcomes import Outcomes

LOOK: Final = 2.0
"""Seconds from look to look."""

RATE: Final = 50.0
"""Requests a second."""

ERRORS, SLOW, DISAGREEING = "errors", "slow", "disagreeing"
WAYS: Final = (ERRORS, SLOW, DISAGREEING)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Shares:
    """The true shares of bad answers of both arms; a number, or one for each look."""

    stable: Array | float
    candidate: Array | float


@dataclass(frozen=True)
class Scenario:
    """What is true: `shares` by the way in which an answer is bad. `incident`: both arms suffer for a while."""

    name: str
    shares: Mapping[str, Shares]
    incident: bool = False


@dataclass(frozen=True)
class Traffic:
    """One stream. For each request: `look`, at which it is counted; `place`, which sends it to the candidate if below
    the weight; `luck`, which makes its answer bad if below the arm's share."""

    looks: int
    shares: Mapping[str, Shares]
    look: NDArray[np.int64]
    place: Array
    luck: Mapping[str, Array]
    _known: dict[tuple[str, float], list[tuple[Outcomes, Outcomes]]] = field(default_factory=dict)

    def blocks(self, way: str, weight: float) -> list[tuple[Outcomes, Outcomes]]:
        """By look: the outcomes of the stable and of the candidate arm, which gets `weight` of the traffic."""
        if (way, weight) not in self._known:
            self._known[way, weight] = self.counted(way, np.full(self.looks, weight))
        return self._known[way, weight]

    def counted(self, way: str, weights: Array) -> list[tuple[Outcomes, Outcomes]]:
        """The same for weights that change from look to look."""
        theirs = self.place < weights[self.look]
        shares = self.shares[way]
        stable, candidate = (np.broadcast_to(each, self.looks)[self.look] for each in (shares.stable, shares.candidate))
        bad = self.luck[way] < np.where(theirs, candidate, stable)
        arms = [
            [np.bincount(self.look[chosen], minlength=self.looks).tolist() for chosen in (mask, mask & bad)]
            for mask in (~theirs, theirs)
        ]
        outcomes = [[Outcomes(*each) for each in zip(*arm, strict=True)] for arm in arms]
        return list(zip(*outcomes, strict=True))


def draw(scenario: Scenario, looks: int, rng: np.random.Generator) -> Traffic:
    """One stream of the scenario."""
    shares = _with_incident(scenario.shares, looks, rng) if scenario.incident else scenario.shares
    arrivals = rng.poisson(RATE * LOOK, looks)
    number = int(arrivals.sum())
    luck = {way: rng.random(number) for way in WAYS}
    return Traffic(looks, shares, np.repeat(np.arange(looks), arrivals), rng.random(number), luck)


def _with_incident(shares: Mapping[str, Shares], looks: int, rng: np.random.Generator) -> dict[str, Shares]:
    """Errors and slowness swing up to tenfold and back every ten minutes. Besides, a fifth of either arm's answers are
    errors, and a fifth slow, for five minutes that begin within the first three."""
    seconds = np.arange(looks) * LOOK
    swing = 10 ** (np.sin(np.pi * (seconds / 600 + rng.random())) ** 2)
    began = rng.uniform(0, 180)
    within = (seconds >= began) & (seconds < began + 300)

    def shaken(share: Array | float) -> Array:
        return np.where(within, 0.2, np.minimum(share * swing, 1.0))

    changed = {way: Shares(shaken(shares[way].stable), shaken(shares[way].candidate)) for way in (ERRORS, SLOW)}
    return {**shares, **changed}
