"""`python -m benchmarks.drift.year [--models N] [--days N]`: retraining runs of models that do not drift.

Each model has a reference of its own, and windows from the same distribution; the decisions are the operator's own,
from the window to the run. Each run promotes a model with a new reference. Windows that can't be significant in any
feature are passed over by a bound, since a verdict on each takes hours. JSON on the last line.
"""

import argparse
import json
import sys
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.drift.verdicts import verdict_on
from modelward.monitoring.windows import Look, Window
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.progress import advance, settled
from modelward.retraining.lifecycle.run import Artifact, Outcome, Report, Run
from modelward.retraining.lifecycle.start import begin
from modelward.retraining.target import Memory, TargetFacts
from modelward_drift.counting.counts import Counts, zero
from modelward_drift.profiles.bins import Grid
from modelward_drift.profiles.profile import Profile
from modelward_drift.profiles.reference import Feature, Reference

FEATURES, BINS = 20, 10
REFERENCE_ROWS, WINDOW_ROWS = 20_000, 1_000
HOUR = 3600.0
SPECIAL = 3
HARMLESS = 27.9
"""Chi-squared with 9 degrees of freedom exceeds it once in 1000. A verdict needs odds of one in 360,000, and its own
statistic, corrected after Williams, is smaller: below this nothing drifts."""
GRID = Grid(tuple(float(edge) for edge in range(1, BINS)), tuple(each + 0.5 for each in range(BINS)), 0.0, 10.0, 1.0)


def policy() -> DriftPolicy:
    """A threshold that is no hindrance: what holds back false alarms is the budget alone."""
    spec = {
        "target": {"name": "model"},
        "window": {"duration": "1h"},
        "features": {"default": {"metric": "psi", "threshold": "0.01"}},
        "falseAlarms": {"maxPer30Days": "0.05"},
        "retrain": {"cooldown": "12h", "job": {"template": {}}},
    }
    return parse({"metadata": {"namespace": "ml", "name": "p", "uid": "p", "generation": 1}, "spec": spec})


Cells = NDArray[np.int64]


class Model:
    """One model: its reference, and what the policy remembers of it."""

    def __init__(self, number: int, random: np.random.Generator) -> None:
        self.random = random
        self.shares = random.dirichlet(np.full(BINS, 10.0), FEATURES)
        self.version = 0
        self.memory = Memory("model", f"uid-{number}")
        self._train()

    def year(self, given: DriftPolicy, hours: int) -> int:
        """How many runs started."""
        drawn = self.random.multinomial(WINDOW_ROWS, self.shares, (hours, FEATURES))
        started, hour = 0, 0
        while hour < hours:
            suspects = np.flatnonzero((_g(self.cells, drawn[hour:]) > HARMLESS).any(axis=1)) + hour
            for suspect in suspects:
                if self._judge(given, drawn[suspect], HOUR * (suspect + 1)):
                    started, hour = started + 1, int(suspect) + 1
                    break
            else:
                break
        return started

    def _judge(self, given: DriftPolicy, drawn: Cells, end: float) -> bool:
        """Judge one window; whether a run started."""
        counts = tuple(
            _counts(feature.profile, cells) for feature, cells in zip(self.reference.features, drawn, strict=True)
        )
        window = Window(self.revision, self.reference.digest, end - HOUR, end, counts)
        verdict = verdict_on(given, self.revision, Look(self.reference, None, window), self.memory.verdict, fresh=False)
        step = begin(given, self._facts(), replace(self.memory, verdict=verdict), None, end)
        self.memory = step.memory
        if step.run is None:
            return False
        self._promote(given, step.run, end)
        return True

    @property
    def revision(self) -> str:
        return f"model-{self.version}"

    def _promote(self, given: DriftPolicy, run: Run, now: float) -> None:
        model = Artifact(f"s3://models/{self.version + 1}")
        made = Outcome(runs.SUCCEEDED, report=Report(model))
        for outcome in (Outcome(runs.WORKING), made):
            run = advance(given, self._facts(), self.memory, run, outcome, now)
        self.version += 1
        self._train()
        ended = advance(given, self._facts(), self.memory, run, None, now)
        self.memory = settled(self._facts(), self.memory, ended, now)
        assert self.memory.runs[0].result == runs.PROMOTED

    def _facts(self) -> TargetFacts:
        model = Artifact(f"s3://models/{self.version}")
        return TargetFacts("model", self.memory.uid, 1, 1, model, self.revision, model)

    def _train(self) -> None:
        self.cells = drawn = self.random.multinomial(REFERENCE_ROWS, self.shares)
        self.reference = Reference(
            tuple(
                Feature("input", f"f{number}", None, _profile(f"f{number}", cells))
                for number, cells in enumerate(drawn)
            )
        )


def _g(reference: Cells, windows: Cells) -> NDArray[np.float64]:
    """Two-sample likelihood ratio, uncorrected: (features, bins) and (hours, features, bins) to (hours, features)."""
    total = REFERENCE_ROWS + WINDOW_ROWS

    def entropy(counts: Cells) -> NDArray[np.float64]:
        return np.asarray((counts * np.log(np.maximum(counts, 1))).sum(axis=-1), np.float64)

    cells = entropy(windows) + entropy(reference) - entropy(windows + reference)
    rows = REFERENCE_ROWS * np.log(REFERENCE_ROWS) + WINDOW_ROWS * np.log(WINDOW_ROWS) - total * np.log(total)
    return np.asarray(2 * (cells - rows), np.float64)


def _profile(name: str, cells: Cells) -> Profile:
    return Profile(name, "numeric", (*map(int, cells), *(0 for _ in range(SPECIAL))), REFERENCE_ROWS, GRID)


def _counts(profile: Profile, cells: Cells) -> Counts:
    empty = zero(profile)
    return Counts(empty.digest, np.concatenate([cells, np.zeros(SPECIAL, np.int64)]).astype(np.int64), empty.quality)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift.year", description=__doc__)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--days", type=int, default=365)
    chosen = parser.parse_args()
    given, began, started = policy(), time.perf_counter(), 0
    for number in range(chosen.models):
        started += Model(number, np.random.default_rng(number)).year(given, 24 * chosen.days)
    months = chosen.models * chosen.days / 30
    budget = float(given.spec.false_alarms.max_per30_days) * months
    print(
        json.dumps(
            {
                "models": chosen.models,
                "days": chosen.days,
                "windows": chosen.models * chosen.days * 24,
                "false_retrains": started,
                "budget": round(budget, 2),
                "seconds": round(time.perf_counter() - began, 1),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
