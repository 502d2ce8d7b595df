"""All that was counted of some rows, and the values that are made of it."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Final

from modelward_quality import calibration, confusion, regression, scores
from modelward_quality.calibration import Calibration
from modelward_quality.confusion import Confusion
from modelward_quality.estimate import LEVEL, Estimate
from modelward_quality.moments import Moments
from modelward_quality.regression import Errors
from modelward_quality.scores import Scores


@dataclass(frozen=True)
class Statistics:
    """Sums of rows; None of what is not counted for the task. `loss`, `brier`: of each row's score; `worth`: what a row
    is worth, by the team's own expression."""

    confusion: Confusion | None = None
    scores: Scores | None = None
    calibration: Calibration | None = None
    loss: Moments | None = None
    brier: Moments | None = None
    errors: Errors | None = None
    ndcg: Moments | None = None
    mrr: Moments | None = None
    worth: Moments | None = None

    def __add__(self, other: "Statistics") -> "Statistics":
        return Statistics(
            **{each.name: _sum(getattr(self, each.name), getattr(other, each.name)) for each in fields(self)}
        )


def dump(found: Statistics) -> dict[str, Any]:
    """As JSON has it: what is counted, by name."""
    known = {each.name: value for each in fields(found) if (value := getattr(found, each.name)) is not None}
    return {name: scores.dump(value) if isinstance(value, Scores) else asdict(value) for name, value in known.items()}


def losses_of(found: Statistics) -> Moments | None:
    """The loss of each row that is watched for concept drift: Brier's where there are scores, whether the label was
    wrong, or by how much the number was; of rankings 1 - NDCG. None where nothing was foretold."""
    if found.brier is not None:
        return found.brier
    if found.confusion is not None:
        return confusion.mistakes(found.confusion)
    if found.errors is not None:
        return found.errors.absolute
    return replace(found.ndcg, mean=1 - found.ndcg.mean) if found.ndcg is not None else None


def _sum(one: Any, other: Any) -> Any:
    if one is None or other is None:
        return one if other is None else other
    return one + other


_OF_TABLE: Final[Mapping[str, Callable[[Confusion, float], Estimate | None]]] = {
    "accuracy": confusion.accuracy,
    "macroF1": confusion.macro_f1,
    "balancedAccuracy": confusion.macro_recall,
}

_OF_LABEL: Final[Mapping[str, Callable[[Confusion, str, float], Estimate | None]]] = {
    "precision": confusion.precision,
    "recall": confusion.recall,
    "f1": confusion.f1,
    "falsePositiveRate": confusion.false_positive_rate,
    "selectionRate": confusion.selection_rate,
}

_OF_SCORES: Final[Mapping[str, Callable[[Scores, float], Estimate | None]]] = {
    "rocAuc": scores.roc_auc,
    "averagePrecision": scores.average_precision,
}

_OF_ERRORS: Final[Mapping[str, Callable[[Errors, float], Estimate | None]]] = {
    "rmse": regression.rmse,
    "mae": regression.mae,
    "mape": regression.mape,
    "r2": regression.r2,
    "bias": regression.bias,
}


def values(found: Statistics, positive: str | None = None, level: float = LEVEL) -> dict[str, Estimate]:
    """By name, those that are defined. `positive`: the label that precision, recall and F1 are about; `level`: of
    the intervals."""
    made: dict[str, Estimate | None] = {}
    if found.confusion is not None:
        made |= {name: value(found.confusion, level) for name, value in _OF_TABLE.items()}
        if positive is not None:
            made |= {name: value(found.confusion, positive, level) for name, value in _OF_LABEL.items()}
    if found.scores is not None:
        made |= {name: value(found.scores, level) for name, value in _OF_SCORES.items()}
    if found.calibration is not None:
        made["calibrationError"] = calibration.calibration_error(found.calibration, level)
    if found.errors is not None:
        made |= {name: value(found.errors, level) for name, value in _OF_ERRORS.items()}
    for name, mean, low, high in (
        ("logLoss", found.loss, 0.0, float("inf")),
        ("brier", found.brier, 0.0, 1.0),
        ("ndcg", found.ndcg, 0.0, 1.0),
        ("mrr", found.mrr, 0.0, 1.0),
        ("worth", found.worth, float("-inf"), float("inf")),
    ):
        if mean is not None:
            made[name] = mean.estimate(low, high, level)
    return {name: value for name, value in made.items() if value is not None}
