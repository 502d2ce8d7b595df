"""`python -m benchmarks.rollout.sticky [--short]`: false rollbacks where users stick to their arm, by simulation.

Users ask differently often (a few ask for most), and some of them always, or often, get bad answers, whichever arm they
are on: the candidate is no worse. It runs the operator's own gate, once with requests as its unit and once with users.
Seeded: the same figures again. Progress goes to stderr, the table to stdout.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from benchmarks.markdown import markdown
from benchmarks.rollout.analyses import by_the_clock
from benchmarks.rollout.simulation import upper
from benchmarks.rollout.traffic import Array
from localcluster.progress import step
from modelward.rollouts.statistics import sequential
from modelward.rollouts.statistics.clustered import BUCKETS, difference, log_evidence
from modelward.rollouts.statistics.outcomes import Outcomes
from modelward.rollouts.statistics.outcomes import difference as by_requests

LOOK: Final = 2.0
RATE: Final = 50.0
MARGIN: Final = 0.01
ALPHA: Final = 0.01 / 2
"""Two gates: errorRate and refusals, the default."""

REPORT: Final = 15
"""Looks after which a variant's report is made anew."""

ALPHA_OF_BOUNDS: Final = 0.05
SEED: Final = 13


@dataclass(frozen=True)
class Users:
    """`number` of them; `spread`: of the logarithm of how often they ask (0: all as often); `bad`: share of users that
    always get bad answers; `others`: of everybody else's answers; `worse`: by how much a candidate's answers are worse
    for everybody; `varied`: bad answers by a propensity of each user's own, with this mean, instead."""

    name: str
    number: int
    spread: float
    bad: float = 0.0
    others: float = 0.002
    worse: float = 0.0
    varied: float | None = None


HARMLESS: Final = (
    Users("50 users, one always bad", 50, 0.0, 1 / 50),
    Users("50 users, two always bad", 50, 0.0, 2 / 50),
    Users("50 heavy users, two always bad", 50, 1.5, 2 / 50),
    Users("300 heavy users, 5 % always bad", 300, 1.5, 0.05),
    Users("300 very heavy users, 5 % always bad", 300, 2.5, 0.05),
    Users("3,000 heavy users, 10 % always bad", 3000, 1.5, 0.1),
    Users("300 heavy users, 30 % always bad", 300, 1.5, 0.3),
    Users("300 heavy users, each with a share of their own around 5 %", 300, 1.5, varied=0.05),
    Users("20 heavy users, 30 % always bad", 20, 1.5, 0.3),
    Users("3,000 users who are all alike", 3000, 0.0, 0.0, 0.01),
    Users("3,000 users who are all alike, at the margin", 3000, 0.0, 0.0, 0.01, worse=MARGIN),
    Users("3,000 heavy users, 10 % always bad, at the margin", 3000, 1.5, 0.1, worse=MARGIN),
)

BAD: Final = (
    Users("everything fails, 50 users", 50, 0.0, worse=1.0),
    Users("everything fails, 50 heavy users, one always bad", 50, 1.5, 1 / 50, worse=1.0),
    Users("20 % more fail, 300 heavy users", 300, 1.5, worse=0.2),
    Users("20 % more fail, 300 heavy users, 5 % always bad", 300, 1.5, 0.05, worse=0.2),
    Users("5 % more fail, 3,000 heavy users", 3000, 1.5, worse=0.05),
)


Counted = np.ndarray[Any, np.dtype[np.int64]]
"""Of one arm: answers and bad ones, by bucket: two rows."""


def looks(users: Users, weights: Array, rng: np.random.Generator) -> Iterator[tuple[Counted, Counted]]:
    """One rollout, look by look: the stable arm and the candidate. Users keep their bucket and their place, by which a
    growing candidate takes them from the stable."""
    activity = rng.lognormal(0.0, users.spread, users.number)
    rates = activity / activity.sum() * RATE * LOOK
    place, bucket = rng.random(users.number), rng.integers(0, BUCKETS, users.number)
    if users.varied is None:
        shares = np.full(users.number, users.others)
        shares[rng.permutation(users.number)[: round(users.bad * users.number)]] = 1.0
    else:
        shares = rng.beta(0.1, 0.1 * (1 / users.varied - 1), users.number)
    for weight in weights:
        theirs = place < weight
        asked = rng.poisson(rates)
        bad = rng.binomial(asked, np.where(theirs, np.minimum(1.0, shares + users.worse), shares))
        yield _counted(asked, bad, ~theirs, bucket), _counted(asked, bad, theirs, bucket)


def _counted(asked: Any, bad: Any, mask: Any, bucket: Any) -> Counted:
    return np.stack([np.bincount(bucket[mask], each[mask], BUCKETS).astype(np.int64) for each in (asked, bad)])


def outcomes(arm: Counted) -> list[Outcomes]:
    """By bucket."""
    return [Outcomes(*each) for each in arm.T.tolist()]


def total(arm: Counted) -> Outcomes:
    return Outcomes(*arm.sum(axis=1).tolist())


@dataclass(frozen=True)
class Ends:
    """After how many looks the gate failed, by requests and by users; None: never. `missed_by_requests`,
    `missed_by_users`: whether the bounds that a variant's report has ever left out the true difference."""

    requests: int | None
    users: int | None
    missed_by_requests: bool
    missed_by_users: bool


def run(users: Users, weights: Array, rng: np.random.Generator) -> Ends:
    """One rollout whose steps go by the clock, whatever the gate says."""
    test = sequential.start(MARGIN)
    stable, candidate = (np.zeros((2, BUCKETS), np.int64) for _ in range(2))
    failed: dict[str, int | None] = {"requests": None, "users": None}
    missed = {"requests": False, "users": False}
    for number, seen in enumerate(looks(users, weights, rng), 1):
        test = test.look(total(seen[0]), total(seen[1]))
        stable, candidate = stable + seen[0], candidate + seen[1]
        sides = None
        if number % REPORT == 0:
            sides = outcomes(stable), outcomes(candidate)
            low, high = by_requests(total(stable), total(candidate), ALPHA_OF_BOUNDS)
            missed["requests"] |= not low <= users.worse <= high
            low, high = difference(*sides, ALPHA_OF_BOUNDS)[1:]
            missed["users"] |= not low <= users.worse <= high
        if failed["users"] is None and sequential.verdict(test.evidence, ALPHA) == "Fail":
            failed["requests"] = failed["requests"] or number
            sides = sides or (outcomes(stable), outcomes(candidate))
            if log_evidence(*sides, MARGIN, worse=True) >= -np.log(ALPHA):
                failed["users"] = number
    return Ends(failed["requests"], failed["users"], missed["requests"], missed["users"])


def failures(users: Users, rollouts: int, minutes: float) -> dict[str, Any]:
    weights = by_the_clock(round(minutes * 60 / LOOK))
    ends = [run(users, weights, np.random.default_rng((SEED, number))) for number in range(rollouts)]
    by = {unit: [getattr(each, unit) for each in ends if getattr(each, unit)] for unit in ("requests", "users")}
    return {
        "users": users.name,
        "rollouts": rollouts,
        **{f"failed_by_{unit}": len(found) for unit, found in by.items()},
        **{f"seconds_by_{unit}": float(np.median(found)) * LOOK if found else None for unit, found in by.items()},
        **{f"missed_by_{unit}": sum(getattr(each, f"missed_by_{unit}") for each in ends) for unit in by},
        "upper_95": upper(len(by["users"]), rollouts),
    }


def table(harmless: list[dict[str, Any]], bad: list[dict[str, Any]], minutes: float) -> str:
    """Two Markdown tables, each below a line that says what it shows."""
    alike = [
        (
            row["users"],
            f"{row['failed_by_requests'] / row['rollouts']:.1%}",
            f"{row['failed_by_users'] / row['rollouts']:.1%}",
            f"{row['upper_95']:.2%}",
            f"{row['missed_by_requests'] / row['rollouts']:.1%}",
            f"{row['missed_by_users'] / row['rollouts']:.1%}",
        )
        for row in harmless
    ]
    worse = [
        (
            row["users"],
            f"{row['failed_by_requests'] / row['rollouts']:.0%}",
            "-" if row["seconds_by_requests"] is None else f"{row['seconds_by_requests']:.0f}",
            f"{row['failed_by_users'] / row['rollouts']:.0%}",
            "-" if row["seconds_by_users"] is None else f"{row['seconds_by_users']:.0f}",
        )
        for row in bad
    ]
    rollouts = (*harmless, *bad)[0]["rollouts"]
    return "\n\n".join((
        f"### Sticky users: false rollbacks of one that is no worse; {rollouts} rollouts of {minutes:g} minutes",
        markdown(
            ("users", "by requests", "by users", "upper 95 % limit", "bounds missed by requests", "by users"), alike,
            names=1,
        ),
        "### Sticky users: rollbacks of a candidate that is worse, and the median of seconds until then",
        markdown(("candidate", "by requests", "after", "by users", "after"), worse, names=1),
    ))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout.sticky", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer and shorter rollouts, in a minute")
    rollouts, minutes = (60, 5.0) if parser.parse_args().short else (500, 15.0)
    found: list[list[dict[str, Any]]] = [[], []]
    for rows, scenarios in zip(found, (HARMLESS, BAD), strict=True):
        for users in scenarios:
            with step(f"{rollouts} rollouts: {users.name}"):
                rows.append(failures(users, rollouts, minutes))
    print(table(found[0], found[1], minutes), flush=True)


if __name__ == "__main__":
    main()
