"""What outcomes say of a model, as the page draws it, whoever said it: the evaluator, or the operator that keeps it.

Pure values. from_result.py and from_memory.py read them from files.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

LEVEL: Final = 0.95
"""Of intervals of days, curves and bins, and of an evaluation that nobody asked otherwise."""

FAVOURITES: Final = (
    "rocAuc", "averagePrecision", "accuracy", "f1", "recall", "precision", "balancedAccuracy", "brier", "rmse", "mae",
    "r2", "ndcg", "mrr", "worth",
)  # fmt: skip
"""Metrics that are drawn first where nobody says which matter."""

SMALLER_IS_BETTER: Final = frozenset({
    "logLoss", "brier", "calibrationError", "falsePositiveRate", "rmse", "mae", "mape",
})  # fmt: skip

NAMES: Final[Mapping[str, str]] = {
    "rocAuc": "ROC AUC", "averagePrecision": "average precision", "f1": "F1", "macroF1": "macro F1",
    "balancedAccuracy": "balanced accuracy", "falsePositiveRate": "false positive rate",
    "selectionRate": "selection rate", "logLoss": "log loss", "brier": "Brier score",
    "calibrationError": "calibration error", "rmse": "RMSE", "mae": "MAE", "mape": "MAPE", "r2": "R²", "ndcg": "NDCG",
    "mrr": "MRR", "worth": "worth of a row", "statisticalParity": "statistical parity",
    "equalOpportunity": "equal opportunity", "predictiveEquality": "predictive equality",
    "equalizedOdds": "equalised odds",
}  # fmt: skip
"""As people write them; others are called what they are called."""


@dataclass(frozen=True)
class Measure:
    """`low`, `high`: of its interval, None where there is none; `rows`: behind it."""

    value: float
    low: float | None
    high: float | None
    rows: int


@dataclass(frozen=True)
class DayMeasure:
    """Of the predictions of one day that have matured. `day`: its beginning, seconds since the epoch."""

    day: float
    revision: str
    metric: str
    measure: Measure


@dataclass(frozen=True)
class CalibratedBin:
    """Rows of about the same score: its mean, and the share that was positive."""

    score: float
    share: Measure


@dataclass(frozen=True)
class PartMeasure:
    """Of the rows of a segment with one value."""

    segment: str
    part: str
    metric: str
    measure: Measure


@dataclass(frozen=True)
class GroupGap:
    """How far groups of people are apart. `ratio`: None where there is none; `left_out`: how many groups are too
    small."""

    name: str
    difference: Measure | None
    ratio: Measure | None
    highest: str
    lowest: str
    left_out: int


@dataclass(frozen=True)
class LossRise:
    """Of the loss in a part of the rows (both empty: in all). `since`: a day; `before`: the mean until then; `alarm`:
    that this is sure within the budget."""

    segment: str
    part: str
    since: float
    rise: Measure
    before: float
    alarm: bool


@dataclass(frozen=True)
class RuleState:
    """Of a rule of a policy. `since`: when it was broken, seconds since the epoch; `known`: that there is something to
    hold it against."""

    kind: str
    name: str
    breached: bool
    since: float | None
    message: str
    known: bool = True


@dataclass(frozen=True)
class ArmDifference:
    """By how much an arm's metrics are above those of the stable revision."""

    revision: str
    arm: str
    metrics: Mapping[str, Measure]


@dataclass(frozen=True)
class ColumnShare:
    """Values of a logged column that are not those of the training pipeline. `wrong`: surely more than are allowed;
    `since`: the day, empty where the last one was well."""

    column: str
    feature: str
    wrong: bool
    share: Measure
    logged_missing: int
    feature_missing: int
    since: str


@dataclass(frozen=True)
class FeatureParity:
    """`checked`: how many columns were; `columns`: the worst first; `problem`: why nothing newer is known."""

    rows: int
    checked: int
    columns: tuple[ColumnShare, ...]
    begin: float | None = None
    end: float | None = None
    problem: str = ""

    @property
    def is_known(self) -> bool:
        return self.rows > 0 and self.checked > 0


@dataclass(frozen=True)
class Worth:
    """`metrics`: names, what matters most first; `values`: of all matured rows of `revision` since `begin`, with
    intervals of `level`; `matured`: predictions from before have outcomes or never will, `now`: as which that is known,
    both seconds since the epoch; `coverage`: share of matured predictions that an outcome came for; `reference`: what
    `values` are held against, as `reference_name` says; `fairness`: the segment of `groups`, of which none is too
    small; `to_come`: what `waiting` predictions are most likely worth; `dropped`: values that had no room where they
    were told; `problem`: why nothing newer is known."""

    revision: str
    metrics: tuple[str, ...]
    values: Mapping[str, Measure]
    begin: float | None
    matured: float
    now: float
    level: float = LEVEL
    coverage: float | None = None
    days: tuple[DayMeasure, ...] = ()
    roc: tuple[tuple[float, float], ...] = ()
    calibration: tuple[CalibratedBin, ...] = ()
    parts: tuple[PartMeasure, ...] = ()
    fairness: str = ""
    groups: tuple[PartMeasure, ...] = ()
    gaps: tuple[GroupGap, ...] = ()
    shifts: tuple[LossRise, ...] = ()
    arms: tuple[ArmDifference, ...] = ()
    reference: Mapping[str, Measure] = field(default_factory=dict)
    reference_name: str = ""
    to_come: Mapping[str, Measure] = field(default_factory=dict)
    waiting: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    dropped: int = 0
    rules: tuple[RuleState, ...] = ()
    problem: str = ""

    @property
    def rows(self) -> int:
        return max((each.rows for each in self.values.values()), default=0)

    @property
    def broken(self) -> tuple[RuleState, ...]:
        return tuple(each for each in self.rules if each.breached)

    @property
    def is_bad(self) -> bool:
        return bool(self.broken) or any(each.alarm for each in self.shifts)


def called(metric: str) -> str:
    return NAMES.get(metric, metric)


def by_favour(names: Mapping[str, object]) -> tuple[str, ...]:
    """What is drawn first, then the others as they come."""
    first = [each for each in FAVOURITES if each in names]
    return (*first, *(each for each in names if each not in first))
