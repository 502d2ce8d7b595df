"""Classifiers of several yes-or-no questions, one for each class: the label is the class of the largest score.

Their probabilities are each question's own, over the sum of all. Far from the rows of training several of them are 1,
or all 0, and no longer tell which score is the largest. Converters make labels of the probabilities.
"""

import copy
from typing import Any

import numpy as np


def linear(step: Any) -> Any:
    """A linear classifier with the very scores of one that gives probabilities, which its converter makes labels of as
    they are; None where nothing is to be set right, or its scores are not linear."""
    from sklearn.linear_model import SGDClassifier

    if not _is_saturating(step):
        return None
    if hasattr(step, "coef_"):
        found = copy.copy(step)
        found.loss = "hinge"
        return found
    if not all(map(_is_linear, _members(step))):
        return None
    found = SGDClassifier(loss="hinge")
    found.classes_ = step.classes_
    found.coef_ = np.vstack([each.coef_ for each in step.estimators_])
    found.intercept_ = np.concatenate([np.ravel(each.intercept_) for each in step.estimators_])
    return found


def refusal(step: Any) -> str:
    """Why a step is not converted, where a converter would make the labels of probabilities all the same; else ""."""
    last = getattr(step, "final_estimator_", None)
    if last is not None and _is_saturating(last):
        return (
            f"the {type(step).__name__} takes the class of the largest score of its {type(last).__name__}, and the "
            "converter that of the largest probability, of which several may be 1"
        )
    if _is_saturating(step) and any(map(_is_descent, _members(step))):
        return (
            f"the {type(step).__name__} takes shares of probabilities that may all be tiny, and the converter of its "
            "members rounds these"
        )
    if _is_saturating(step) and linear(step) is None:
        return (
            f"the {type(step).__name__} takes the class of the largest score, and the converter that of the largest "
            "probability, of which several may be 1"
        )
    return ""


def _is_saturating(step: Any) -> bool:
    """Whether it asks three questions or more, and has a probability and another score of each."""
    if len(getattr(step, "classes_", ())) < 3:
        return False
    if getattr(step, "loss", None) in ("log_loss", "modified_huber") and hasattr(step, "predict_proba"):
        return hasattr(step, "coef_")
    if not hasattr(step, "label_binarizer_") or not hasattr(step, "estimators_") or step.multilabel_:
        return False
    return hasattr(step, "predict_proba") and any(hasattr(each, "decision_function") for each in _members(step))


def _members(step: Any) -> list[Any]:
    return list(getattr(step, "estimators_", None) or ())


def _is_descent(member: Any) -> bool:
    """Whether its converter makes a probability that is tiny a multiple of the last digit of 1."""
    return hasattr(member, "coef_") and getattr(member, "loss", None) == "log_loss"


def _is_linear(member: Any) -> bool:
    coefficients = getattr(member, "coef_", None)
    return isinstance(coefficients, np.ndarray) and coefficients.ndim == 2 and len(coefficients) == 1
