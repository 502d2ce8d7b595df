"""What moves the traffic and takes it back: our gates, and checks of a fixed threshold as Flagger does them."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from benchmarks.rollout.traffic import DISAGREEING, ERRORS, LOOK, SLOW, Array, Traffic
from modelward.rollouts.statistics.sequential import Comparison, start, verdict

STEPS: Final = (0.05, 0.25, 0.5)
"""The candidate's share of the traffic, for all analyses."""

HOLD: Final = 60.0
"""Seconds that one of our steps lasts at least: an interval of the fixed threshold."""

MARGINS: Final = {ERRORS: 0.005, SLOW: 0.01, DISAGREEING: 0.05}
"""Of our gates; disagreement is a limit on the candidate alone."""

ALPHA: Final = 0.01 / len(MARGINS)
"""False rollbacks: 1 % over a whole rollout, by the number of gates."""


@dataclass(frozen=True)
class Ended:
    """How a rollout ended, after how many looks, and the candidate's errors that clients had got by then."""

    how: str
    looks: int
    errors: int

    def errors_in_all(self, traffic: Traffic) -> int:
        """The candidate's errors until the end of the stream: who was promoted gets all of the traffic."""
        if self.how != "promoted":
            return self.errors
        return self.errors + sum(candidate.bad for _, candidate in traffic.blocks(ERRORS, 1.0)[self.looks :])


def gates() -> dict[str, Comparison]:
    return {way: start(margin, paired=way != DISAGREEING) for way, margin in MARGINS.items()}


def gated(traffic: Traffic) -> Ended:
    """Ours: a step ends when every gate passes, and the rollout when one fails."""
    tests, step, since, errors = gates(), 0, 0.0, 0
    for look in range(traffic.looks):
        blocks = {way: traffic.blocks(way, STEPS[step])[look] for way in tests}
        tests = {way: test.look(*blocks[way]) for way, test in tests.items()}
        errors += blocks[ERRORS][1].bad
        since += LOOK
        verdicts = {verdict(test.evidence, ALPHA) for test in tests.values()}
        if "Fail" in verdicts:
            return Ended("rolled back", look + 1, errors)
        if verdicts == {"Pass"} and since >= HOLD:
            step, since = step + 1, 0.0
            if step == len(STEPS):
                return Ended("promoted", look + 1, errors)
    return Ended("undecided", traffic.looks, errors)


def ever_fails(traffic: Traffic, weights: Array) -> bool:
    """Whether one of our gates fails at any look of a rollout whose steps go by the clock, whatever the gates say."""
    for way, test in gates().items():
        for block in traffic.counted(way, weights):
            test = test.look(*block)
            if verdict(test.evidence, ALPHA) == "Fail":
                return True
    return False


def by_the_clock(looks: int) -> Array:
    """The weight at each look where all steps last equally long."""
    return np.array(STEPS)[np.arange(looks) * len(STEPS) // looks]


@dataclass(frozen=True)
class FixedThreshold:
    """A check at the end of each interval: the candidate's share of good answers in it, against `least`.

    As Flagger's scheduler does it (pkg/controller/scheduler.go): a check that holds moves on to the next step; one that
    fails is counted, and a success does not take it back; the rollback comes with the check after the one that made the
    number full. Its documentation has an interval of one minute, 99 % and 5 or 10 failures.
    """

    interval: float
    failures: int
    least: float = 0.99

    @property
    def name(self) -> str:
        return f"{self.least:.0%} every {self.interval:.0f} s, {self.failures} failed"

    def run(self, traffic: Traffic) -> Ended:
        looks = round(self.interval / LOOK)
        step = failed = errors = 0
        for end in range(looks, traffic.looks + 1, looks):
            window = [candidate for _, candidate in traffic.blocks(ERRORS, STEPS[step])[end - looks : end]]
            bad, trials = sum(each.bad for each in window), sum(each.trials for each in window)
            errors += bad
            if failed >= self.failures:
                return Ended("rolled back", end, errors)
            if trials and 1 - bad / trials >= self.least:
                step += 1
                if step == len(STEPS):
                    return Ended("promoted", end, errors)
            else:
                failed += 1
        return Ended("undecided", traffic.looks, errors)


FIXED: Final = (FixedThreshold(60, 5), FixedThreshold(10, 5), FixedThreshold(10, 2), FixedThreshold(10, 1))
"""As Flagger's documentation has it, and ever sooner, to show what that costs."""
