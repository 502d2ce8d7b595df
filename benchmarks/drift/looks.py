"""Many windows at once, with the kernel's own verdicts.

The log-likelihood ratio of all windows is reckoned with arrays. What the kernel's test divides it by is known but for
Williams' divisor, which is 1 at least: a window that stays below the cut without it can't be an alarm. All others are
put before the kernel.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from modelward_drift.arrays import Array, Floats
from modelward_drift.counting.counts import QUALITY, Counts
from modelward_drift.judging.significance import two_sample
from modelward_drift.judging.statistic import measure
from modelward_drift.judging.verdict import Decision, Rule, decide
from modelward_drift.metrics.shares import SMOOTHING
from modelward_drift.profiles.profile import SPECIAL, Profile


@dataclass(frozen=True, eq=False)
class Looks:
    """`windows`: counts (looks, bins) of one feature, each of as many rows; `ratios`: (looks,), theirs to `profile`.

    Every bin of the profile has rows.
    """

    profile: Profile
    windows: Array
    ratios: Floats

    @classmethod
    def of(cls, profile: Profile, windows: Array) -> "Looks":
        return cls(profile, windows, log_likelihood_ratios(profile.reference[: profile.bins], windows))

    def decision(self, look: int, rule: Rule) -> Decision:
        """The kernel's."""
        (statistic,) = measure(self.profile, self._counts(look))
        return decide(statistic, rule)

    def suspicious(self, rule: Rule) -> Array:
        """Looks that may be alarms, in the order of time."""
        return np.flatnonzero(self.ratios >= self._least(rule))

    def alarms(self, rule: Rule) -> Iterator[int]:
        """Looks that the kernel calls drifted, in the order of time."""
        return (int(look) for look in self.suspicious(rule) if self.decision(int(look), rule).drifted)

    def first_alarm(self, rule: Rule) -> int | None:
        return next(self.alarms(rule), None)

    def disagreements(self, rule: Rule, random: np.random.Generator) -> int:
        """Of two looks that were passed over, the nearest to an alarm and any other: what the kernel calls drifted."""
        passed = np.flatnonzero(self.ratios < self._least(rule))
        if not len(passed):
            return 0
        nearest = passed[np.argmax(self.ratios[passed])]
        return sum(self.decision(int(look), rule).drifted for look in (nearest, random.choice(passed)))

    def _least(self, rule: Rule) -> float:
        n, m = int(self.windows[0].sum()), int(self.profile.reference.sum())
        window = np.append(self.windows[0], [0] * len(SPECIAL))
        test = two_sample(self.profile.reference, window, self.profile.inflation, self.profile.rows)
        return 0.999 * test.psi_by_chance(rule.alpha) / (1 / n + 1 / m)  # of the cut, for rounding's sake

    def _counts(self, look: int) -> Counts:
        cells = np.concatenate([self.windows[look], np.zeros(len(SPECIAL), np.int64)])
        return Counts(self.profile.digest, cells, np.zeros(len(QUALITY), np.int64))


def log_likelihood_ratios(reference: Array, windows: Array) -> Floats:
    """(..., looks) of counts (..., bins) and (..., looks, bins): `contingency.g` of each, where the reference has rows
    in every bin."""
    reference = reference[..., None, :]
    pooled = reference + windows
    m, n = reference.sum(axis=-1, keepdims=True), windows.sum(axis=-1, keepdims=True)
    shares = np.log(pooled / (m + n))
    ours = windows * (np.log(np.maximum(windows, 1) / n) - shares)
    theirs = reference * (np.log(reference / m) - shares)
    return np.asarray(2 * (ours + theirs).sum(axis=-1))


def psis(reference: Array, windows: Array) -> Floats:
    """(..., looks) of counts (..., bins) and (..., looks, bins): `divergence.psi` of each, where the reference has rows
    in every bin."""
    p, q = (np.maximum(each / each.sum(axis=-1, keepdims=True), SMOOTHING) for each in (reference, windows))
    p, q = p[..., None, :] / p.sum(axis=-1)[..., None, None], q / q.sum(axis=-1, keepdims=True)
    return np.asarray(((q - p) * np.log(q / p)).sum(axis=-1))
