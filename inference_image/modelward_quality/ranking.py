"""Rankings: NDCG and MRR of groups of rows (a query, a request), averaged over the groups."""

import numpy as np
from numpy.typing import ArrayLike

from modelward_quality.arrays import Floats, column, same_rows
from modelward_quality.errors import QualityError


def ndcg(relevance: ArrayLike, scores: ArrayLike, k: int | None = None) -> float | None:
    """Of one group: discounted gain of its order by that of the best order (Järvelin and Kekäläinen 2002, "Cumulated
    gain- based evaluation of IR techniques"), over the first `k`. Rows of one score share their places, as in
    scikit-learn. None where nothing is relevant: then every order is as good. Raises QualityError."""
    gain, score = column(relevance, "relevance"), column(scores, "scores")
    rows = same_rows(gain, score)
    if rows and gain.min() < 0:
        raise QualityError(f"relevance: {gain.min():g} is below 0")
    discount = 1 / np.log2(np.arange(rows) + 2)
    discount[rows if k is None else k :] = 0
    best = float((np.sort(gain)[::-1] * discount).sum())
    if best == 0:
        return None
    return float((gain * _shared(score, discount)).sum()) / best


def reciprocal_rank(relevance: ArrayLike, scores: ArrayLike) -> float | None:
    """Of one group: 1 by the place of the first relevant row (Voorhees 1999, "The TREC-8 question answering track
    report"); rows of one score as unlucky as can be, so that a constant score gains nothing. None where nothing is
    relevant."""
    gain, score = column(relevance, "relevance"), column(scores, "scores")
    same_rows(gain, score)
    relevant = gain > 0
    if not relevant.any():
        return None
    first = score[relevant].max()
    # Behind all irrelevant rows of the same score and above.
    return 1 / (1 + int(((score >= first) & ~relevant).sum()))


def _shared(score: Floats, discount: Floats) -> Floats:
    """Of each row: the mean discount of the places that rows of its score have."""
    _, place = np.unique(-score, return_inverse=True)
    ends = np.cumsum(np.bincount(place))
    sums = np.concatenate([[0.0], np.cumsum(discount)])
    starts = np.concatenate([[0], ends[:-1]])
    shared: Floats = ((sums[ends] - sums[starts]) / (ends - starts))[place]
    return shared
