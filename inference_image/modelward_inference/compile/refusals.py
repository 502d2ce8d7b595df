"""Models that are served as they are, since their converters are known to be inexact where few rows show it.

A rule looks at one fitted step, and says in words why no converted form of the model is made; "" where it may be. A
converter that turns out to be wrong somewhere is one rule more, here, and a case in the tests of inexact conversions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np

from modelward_inference.compile import exact, neighbours, one_vs_rest
from modelward_inference.runtimes.estimators import columns

_RARE: Final = 1e-4
"""A probability of which 1e-9 is as much as a right answer may be off."""


@dataclass(frozen=True)
class Whole:
    """The model that a step is part of."""

    estimator: Any

    @cached_property
    def steps(self) -> Sequence[Any]:
        """Those that rows go through one after the other, whatever nests them; the columns' own ones, too."""
        return list(columns.all_steps(self.estimator))

    @cached_property
    def last(self) -> Any:
        return columns.steps_of(self.estimator)[-1]

    @cached_property
    def prepares(self) -> bool:
        """Whether rows are changed before a model is asked."""
        return any(hasattr(step, "transform") and not hasattr(step, "predict") for step in self.steps)


Rule = Callable[[Any, Whole], str]


def check(estimator: Any) -> None:
    """Raises ValueError, with the cause, where a rule refuses a part of a fitted estimator."""
    whole = Whole(estimator)
    for parts, rules in (
        (exact.inside(estimator), OF_ANY_PART),
        (whole.steps, OF_STEPS),
        ((estimator,), OF_THE_WHOLE),
    ):
        for part in parts:
            for rule in rules:
                why = rule(part, whole)
                if why:
                    raise ValueError(why)


def _own_threshold(step: Any, _: Whole) -> str:
    if not hasattr(step, "best_threshold_"):
        return ""
    return f"the {type(step).__name__} decides at a threshold of its own, and the converter leaves that out"


def _offset_of_scores(step: Any, _: Whole) -> str:
    if not hasattr(step, "offset_") or not hasattr(step, "estimators_"):
        return ""
    return (
        f"the offset of the {type(step).__name__} is the very score of rows of training, and rounding of the "
        "converted scores would decide of these"
    )


def _ever_present_feature(step: Any, _: Whole) -> str:
    if not hasattr(step, "binarize") or (1 - np.exp(getattr(step, "feature_log_prob_", -1.0))).min() >= _RARE:
        return ""
    return (
        f"a feature is there in nearly all rows of a class of the {type(step).__name__}, and the converter "
        "adds 1e-9 to the probability that it is not"
    )


def _single_centres(step: Any, _: Whole) -> str:
    if getattr(getattr(step, "cluster_centers_", None), "dtype", None) != np.float32:
        return ""
    return (
        f"the {type(step).__name__} learned its centres in single precision, in which the converted distances "
        "to far rows are all the same; the library leaves out what they have in common"
    )


def _isotonic(step: Any, _: Whole) -> str:
    if not any(hasattr(each, "X_thresholds_") for each in getattr(step, "calibrators", ())):
        return ""
    return "an isotonic calibration interpolates, and the converter takes the nearest of its steps"


def _words_inside(step: Any, whole: Whole) -> str:
    if not hasattr(step, "vocabulary_") or any(step is each for each in whole.steps):
        return ""
    return (
        f"no rows can be made of the words of the {type(step).__name__} inside of a union or another step, so "
        "that nothing proves that a compiled form cuts them as it does"
    )


def _stop_words(step: Any, _: Whole) -> str:
    """Stop words change what a vectorizer counts where words beside one are a pair without it, or a vocabulary that was
    given holds it. A vocabulary of single words that was learned holds none."""
    if not hasattr(step, "vocabulary_") or getattr(step, "analyzer", "") != "word":
        return ""
    stop_words = step.get_stop_words() or ()
    if not stop_words or (step.ngram_range[1] <= 1 and not any(word in step.vocabulary_ for word in stop_words)):
        return ""
    return (
        f"the {type(step).__name__} leaves its stop words out before it joins or counts words, and the "
        "converter does not"
    )


def _rounded_words(step: Any, whole: Whole) -> str:
    if not hasattr(step, "sublinear_tf") or not any(hasattr(each, "get_booster") for each in whole.steps):
        return ""
    return "XGBoost splits at values of training, and the converter rounds TF-IDF to single precision"


def _sparse_rows_inside(step: Any, whole: Whole) -> str:
    if not hasattr(step, "get_booster") or step is whole.last or not whole.prepares:
        return ""
    return "XGBoost inside of another model may be given sparse rows, whose zeros it takes as missing"


def _hidden_doubles(estimator: Any, _: Whole) -> str:
    if not exact.hidden(estimator):
        return ""
    return (
        "LightGBM and histogram boosting compare in double precision, and the converter of a model that holds "
        "them rounds their thresholds"
    )


OF_ANY_PART: Final[Sequence[Rule]] = (
    lambda step, _: neighbours.refusal(step),
    lambda step, _: one_vs_rest.refusal(step),
    _own_threshold,
    _offset_of_scores,
    _ever_present_feature,
    _single_centres,
    _isotonic,
    _words_inside,
)
"""Of every fitted estimator, whatever attribute of another one holds it."""

OF_STEPS: Final[Sequence[Rule]] = (_stop_words, _rounded_words, _sparse_rows_inside)
"""Of what rows go through one after the other."""

OF_THE_WHOLE: Final[Sequence[Rule]] = (_hidden_doubles,)
"""Of the model."""
