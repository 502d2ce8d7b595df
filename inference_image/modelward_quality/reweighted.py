"""The same rows with other weights: of one arm what it would have counted, had its requests come when another's did."""

from dataclasses import fields, replace
from typing import Any

from modelward_quality.calibration import Calibration
from modelward_quality.confusion import Confusion
from modelward_quality.moments import Moments
from modelward_quality.regression import Errors
from modelward_quality.scores import Scores
from modelward_quality.statistics import Statistics


def reweighted(found: Statistics, factor: float) -> Statistics:
    """Each row's weight times `factor`, which is finite and above 0. Rows stay as many as they are: that they count for
    more or less is in the effective ones (Kish)."""
    return Statistics(**{each.name: _times(getattr(found, each.name), factor) for each in fields(found)})


def weight_of(found: Statistics) -> float:
    """Of all rows, by whatever was counted of them; 0.0 where nothing was."""
    if found.confusion is not None:
        return sum(each.weight for each in found.confusion.pairs)
    known = found.errors.error if found.errors is not None else found.ndcg or found.mrr or found.worth
    return 0.0 if known is None else known.weight


def _times(part: Any, factor: float) -> Any:
    match part:
        case Moments():
            return replace(
                part, weight=part.weight * factor, squares=part.squares * factor**2, spread=part.spread * factor
            )
        case Confusion():
            return Confusion(tuple(_scaled(each, factor, "weight") for each in part.pairs))
        case Calibration():
            return Calibration(tuple(_scaled(each, factor, "weight", "foretold", "positive") for each in part.bins))
        case Errors():
            return Errors(**{each.name: _times(getattr(part, each.name), factor) for each in fields(part)})
        case Scores():
            return replace(
                part, positive=part.positive * factor, positive_squares=part.positive_squares * factor**2,
                negative=part.negative * factor, negative_squares=part.negative_squares * factor**2,
            )  # fmt: skip
    return part


def _scaled(part: Any, factor: float, *sums: str) -> Any:
    return replace(part, **{name: getattr(part, name) * factor for name in sums}, squares=part.squares * factor**2)
