"""Concept drift in labelled streams of the river package: delay and false alarms beside ADWIN and DDM.

A model learns a stream's first concept; then days of predictions come, and on one of them the labels begin to mean
something else, in some of the rows or in all. All see the same rows: ours Brier's loss by day, as the evaluator has it,
the detectors of river each row's mistake. Theirs are set by the very streams without a change that their false alarms
are counted on, to as many as the budget allows: that is more than anybody can have who does not know these.
"""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import log
from pathlib import Path
from statistics import median
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks.markdown import markdown
from benchmarks.serving.environments import python_for
from modelward_quality.moments import moments
from modelward_quality.shift import Cohort, shift

LOCK: Final = Path(__file__).parents[1] / "drift/peers/river.txt"
PEER: Final = Path(__file__).parent / "peers/river_concept.py"

BUDGET: Final = 0.05
"""False alarms in 30 days."""

ROWS: Final = 200
"""A day."""

REFERENCE: Final = 14
"""Days."""

DAYS: Final = 30
"""That are watched where nothing changes: those of the budget."""

QUIET: Final = 5
"""Days of them before a change."""

SHARES: Final = (0.25, 1.0)
"""Of the rows after a change, that mean something else."""

POOL: Final = 20_000
"""Rows of a concept that runs are drawn from."""

TRAINED: Final = 4_000
"""Rows of them that the model learns; no run has these."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Losses:
    """Of one concept's rows under the model: each one's Brier loss, and whether the label was wrong."""

    brier: Floats
    mistake: NDArray[np.bool_]


@dataclass(frozen=True)
class Runs:
    """Of one stream. `brier`, `mistake`: shape (runs, rows); the change comes `QUIET` days after the reference, if
    any."""

    brier: Floats
    mistake: NDArray[np.bool_]


@dataclass(frozen=True)
class Delays:
    """Of one method, in rows; None where it did not alarm in time. `false`: alarms before the change."""

    of: tuple[int | None, ...]
    false: int

    @property
    def median(self) -> float | None:
        """None where fewer than half of the changes were seen."""
        seen = sorted(float("inf") if each is None else each for each in self.of)
        found = median(seen) if seen else float("inf")
        return None if found == float("inf") else found


def measured(runs: int, changes: int) -> tuple[str, dict[str, Any]]:
    """A table, and the last line's keys. `runs`: without a change, of each stream; `changes`: with one, of each stream
    and share."""
    python = python_for("drift-river", LOCK)
    with tempfile.TemporaryDirectory() as folder:
        streams = dict(_streams(python, Path(folder)))
        rng = np.random.default_rng(7)
        # The same for all methods.
        quiet = {name: runs_of(sides, 0.0, runs, rng) for name, sides in streams.items()}
        changed = {
            (name, share): runs_of(sides, share, changes, rng) for name, sides in streams.items() for share in SHARES
        }
        theirs = _detected(python, Path(folder), {name: each.mistake for name, each in quiet.items()})
        settings = {
            detector: setting_within([theirs[name][detector] for name in quiet]) for detector in ("ADWIN", "DDM")
        }
        mistakes = {f"{name} {share}": each.mistake for (name, share), each in changed.items()}
        found = _detected(python, Path(folder), mistakes, settings)
    false = sum(alarm_of(run) >= 0 for each in quiet.values() for run in each.brier)
    total = runs * len(quiet)
    rows: list[list[str]] = []
    ratios: dict[str, list[float]] = {detector: [] for detector in settings}
    for (name, share), each in changed.items():
        ours = delays([alarm_of(run) for run in each.brier])
        row = [name, f"{share:.0%}", _said(ours)]
        for detector, setting in settings.items():
            other = delays(found[f"{name} {share}"][detector][setting])
            row.append(_said(other))
            if ours.median is not None:
                ratios[detector].append((float("inf") if other.median is None else other.median) / ours.median)
        rows.append(row)
    heads = ["stream", "rows that change", "modelward", *(f"{name} ({setting})" for name, setting in settings.items())]
    said: dict[str, Any] = {
        "concept_false_alarms": false,
        "concept_runs": total,
        "concept_false_alarm_upper95": round(upper(false, total), 4),
        "stated_budget": BUDGET,
    }
    for detector, ratio in ratios.items():
        middle = median(ratio) if ratio else float("inf")
        said[f"concept_delay_{detector.lower()}_vs_ours"] = None if middle == float("inf") else round(middle, 2)
    return markdown(heads, rows), said


def upper(false: int, total: int) -> float:
    """The 95 % upper limit of a share (Clopper and Pearson's, one-sided), by bisection."""
    low, high = false / total, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_most(false, total, middle) > 0.05 else (low, middle)
    return high


def _at_most(false: int, total: int, share: float) -> float:
    """The chance of no more than `false` alarms."""
    term, found = total * log(1 - share) if share < 1 else -np.inf, 0.0
    for count in range(false + 1):
        found += float(np.exp(term))
        term += log((total - count) / (count + 1)) + log(share / (1 - share))
    return found


def _streams(python: Path, folder: Path) -> Iterator[tuple[str, tuple[Losses, Losses]]]:
    """By name: before and after."""
    path = folder / "pools.npz"
    _run(python, "pools", path, POOL, 11)
    with np.load(path) as pools:
        for name in dict.fromkeys(each.split()[0] for each in pools.files):
            model = HistGradientBoostingClassifier(max_iter=60, random_state=0)
            model.fit(pools[f"{name} before x"][:TRAINED], pools[f"{name} before y"][:TRAINED])
            before, after = (
                _losses(model, pools[f"{name} {side} x"], pools[f"{name} {side} y"]) for side in ("before", "after")
            )
            yield name, (before, after)


def _losses(model: Any, x: Floats, y: NDArray[np.bool_]) -> Losses:
    score = model.predict_proba(x[TRAINED:])[:, 1]
    return Losses((score - y[TRAINED:]) ** 2, (score >= 0.5) != y[TRAINED:])


def runs_of(sides: tuple[Losses, Losses], share: float, runs: int, rng: np.random.Generator) -> Runs:
    """Rows are drawn from the pools. `share`: of those after the change, 0: there is none."""
    before, after = sides
    rows = (REFERENCE + DAYS) * ROWS
    at = rng.integers(0, before.brier.size, (runs, rows))
    other = rng.random((runs, rows)) < share
    other[:, : (REFERENCE + QUIET) * ROWS] = False
    return Runs(
        np.where(other, after.brier[at % after.brier.size], before.brier[at]),
        np.where(other, after.mistake[at % after.mistake.size], before.mistake[at]),
    )


def alarm_of(brier: Floats) -> int:
    """Rows after the reference at which it alarms: at the end of a day; -1: it does not."""
    days = [Cohort(f"{day:03}", moments(each)) for day, each in enumerate(brier.reshape(-1, ROWS))]
    for day in range(REFERENCE, len(days)):
        found = shift(days[:REFERENCE], days[REFERENCE : day + 1], BUDGET, largest=1.0)
        if found is not None and found.alarm:
            return (day + 1 - REFERENCE) * ROWS
    return -1


def delays(alarms: Sequence[int]) -> Delays:
    """`alarms`: rows after the reference. What alarmed before the change is a false alarm, and has no delay."""
    change = QUIET * ROWS
    false = sum(0 <= each < change for each in alarms)
    return Delays(tuple(each - change if each >= 0 else None for each in alarms if not 0 <= each < change), false)


def setting_within(found: Sequence[Mapping[str, Sequence[int]]]) -> str:
    """The one that alarms most within the budget."""
    for setting in found[0]:
        if np.mean([alarm >= 0 for of_stream in found for alarm in of_stream[setting]]) <= BUDGET:
            return setting
    raise RuntimeError(f"no setting of {', '.join(found[0])} keeps within {BUDGET} false alarms")


def _detected(
    python: Path, folder: Path, mistakes: Mapping[str, NDArray[np.bool_]], settings: Mapping[str, str] | None = None
) -> Any:
    """The first alarms of each run, by its name, detector and setting. `settings`: of each detector; else all."""
    path = folder / "mistakes.npz"
    named = [f"{detector}={setting}" for detector, setting in (settings or {}).items()]
    columns: dict[str, Any] = {name: each.astype(np.int8) for name, each in mistakes.items()}
    np.savez(path, **columns)
    return json.loads(_run(python, "detect", path, REFERENCE * ROWS, *named))


def _run(python: Path, *arguments: object) -> bytes:
    ended = subprocess.run(
        [python, PEER, *map(str, arguments)], capture_output=True, check=True, env={**os.environ, "PYTHONPATH": ""}
    )
    return ended.stdout


def _said(found: Delays) -> str:
    """The median of the delay, and how many changes were never seen."""
    missed = sum(each is None for each in found.of)
    early = f", {found.false} early" if found.false else ""
    return f"{'—' if found.median is None else f'{found.median:.0f}'} ({missed} missed{early})"
