"""Is the candidate worse than the stable revision? Evidence that is valid at every look, however many there are.

Each look brings a block: the answers of the same interval in both arms. Two nulls are bet against. "Not worse",
candidate <= stable + margin: its wealth is the evidence against the candidate. "Not shown good", candidate >= stable +
margin: its wealth supports the candidate. Under its null a wealth is a nonnegative supermartingale that starts at 1, so
the chance that it ever reaches 1 / alpha is alpha at most (Ville's inequality). evalue.py has the bets.

Each block is judged by itself: shares may change from block to block (Turner, Grünwald, arXiv 2302.11401), and an
incident that hits both arms is no evidence. Within a block and arm requests are taken as independent, and the number of
answers must not depend on how they turned out.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import exp, log
from typing import Final, Literal

from modelward.rollouts.statistics import evalue
from modelward.rollouts.statistics.outcomes import Outcomes

Verdict = Literal["Pass", "Fail", "Inconclusive"]

MAX_MARGIN: Final = 0.99
"""Little can be shown beyond."""

PRIOR: Final = (0.5, 49.5)
"""Bad and good answers of the stable arm that are imagined before its first: a share near 1 %, soon outweighed."""

EXCESSES: Final = tuple(4.0**-k for k in range(6))
"""How far above stable + margin a bad candidate may lie: 100 % down to 0.1 %. Finer steps detected nothing sooner."""

SHORTFALLS: Final = 4
"""Steps below stable + margin, geometric: from margin / 2 (or 5 % of stable + margin) to 97 % of stable + margin."""

RENEWAL: Final = 500
"""Answers of the candidate after which the part of a wealth that is dealt out anew begins to fall as 1 / answers."""


@dataclass(frozen=True)
class Evidence:
    """What has to be kept. `against`, `supports`: log wealth, in nats; each starts at 0."""

    stable: Outcomes = field(default_factory=Outcomes)
    candidate: Outcomes = field(default_factory=Outcomes)
    against: float = 0.0
    supports: float = 0.0


def verdict(evidence: Evidence, alpha: float, beta: float = 0.05) -> Verdict:
    """What the evidence says now; Fail wins.

    `alpha`: the chance that a candidate that is not worse ever fails; 1 % over a whole rollout means 1 % divided by the
    number of its gates here. `beta`: the chance that one that is worse ever passes.
    """
    if evidence.against >= -log(alpha):
        return "Fail"
    return "Pass" if evidence.supports >= -log(beta) else "Inconclusive"


@dataclass(frozen=True)
class Comparison:
    """A test under way.

    The wealth is split among alternatives: the stable's share as it was in earlier blocks, the candidate's on a grid,
    and first of all one that bets nothing. `worse`, `fine`: their parts of the two wealths, which are `evidence`.
    """

    margin: float
    paired: bool
    evidence: Evidence
    worse: tuple[float, ...]
    fine: tuple[float, ...]

    def look(self, stable: Outcomes, candidate: Outcomes) -> "Comparison":
        """The test after one more block; one without answers of an arm that is compared says nothing, but counts."""
        seen = self.evidence
        totals = seen.stable + stable, seen.candidate + candidate
        if not candidate.trials or (self.paired and not stable.trials):
            return replace(self, evidence=Evidence(*totals, seen.against, seen.supports))
        base = _expected(seen.stable) if self.paired else 0.0
        edge = base + self.margin
        renewed = candidate.trials / (RENEWAL + totals[1].trials) / 2
        against, worse = _settle(self.worse, self._gains(base, _above(edge), stable, candidate), renewed)
        supports, fine = _settle(self.fine, self._gains(base, _below(edge, self.margin), stable, candidate), renewed)
        evidence = Evidence(*totals, seen.against + against, seen.supports + supports)
        return replace(self, evidence=evidence, worse=worse, fine=fine)

    def _gains(self, base: float, targets: Sequence[float], stable: Outcomes, candidate: Outcomes) -> list[float]:
        """What a block adds to each alternative's log wealth; first comes the one that bets nothing."""
        if self.paired:
            return [0.0, *(evalue.paired(base, target, self.margin, stable, candidate) for target in targets)]
        return [0.0, *(evalue.single(target, self.margin, candidate) for target in targets)]


def start(margin: float, *, paired: bool = True) -> Comparison:
    """A test without evidence. `margin`: how much the candidate's share may exceed the stable's, from 0 to 0.99.

    Not `paired`: the largest share that the candidate may have, whatever the stable does. Raises ValueError.
    """
    return restore(margin, Evidence(), paired=paired)


def restore(margin: float, evidence: Evidence, *, paired: bool = True) -> Comparison:
    """The test that goes on from kept evidence: its wealth, split evenly again, which is as valid a bet as any."""
    if not 0 <= margin <= MAX_MARGIN:
        raise ValueError(f"the margin {margin} is no share from 0 to {MAX_MARGIN}; write 0.005 for half a percent")
    return Comparison(margin, paired, evidence, _even(len(EXCESSES) + 1), _even(SHORTFALLS + 1))


def _even(number: int) -> tuple[float, ...]:
    return (1 / number,) * number


def _expected(stable: Outcomes) -> float:
    """The stable's share of bad answers, as far as they tell."""
    share = (stable.bad + PRIOR[0]) / (stable.trials + sum(PRIOR))
    return min(max(share, evalue.LOWEST), evalue.HIGHEST)


def _above(edge: float) -> list[float]:
    """Shares of a candidate that is worse than `edge`."""
    return [max(edge, min(edge + excess, evalue.HIGHEST)) for excess in EXCESSES]


def _below(edge: float, margin: float) -> list[float]:
    """Shares of a candidate that is better than `edge`, and than `evalue.HIGHEST`."""
    edge = min(edge, evalue.HIGHEST)
    if not edge:
        return [edge] * SHORTFALLS
    least, most = max(margin / 2, 0.05 * edge), 0.97 * edge
    return [edge - least * (most / least) ** (k / (SHORTFALLS - 1)) for k in range(SHORTFALLS)]


def _settle(parts: Sequence[float], gains: Sequence[float], renewed: float) -> tuple[float, tuple[float, ...]]:
    """The log factor of the wealth, and each alternative's part of it after `renewed` of it was dealt out evenly.

    Without that a candidate that fails late would be judged by alternatives that lost everything while it was good
    (fixed share; Herbster, Warmuth, Machine Learning 32, 1998). It costs log(1 + answers / RENEWAL) / 2 nats.
    """
    top = max(gains)
    grown = [part * exp(gain - top) for part, gain in zip(parts, gains, strict=True)]
    wealth = sum(grown)
    return top + log(wealth), tuple((1 - renewed) * part / wealth + renewed / len(parts) for part in grown)
