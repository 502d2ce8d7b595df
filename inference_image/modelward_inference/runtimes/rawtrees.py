"""Trees from files that nobody vouches for: their nodes are walked by compiled code that checks no index.

A child beyond the end, or one that leads back, would read foreign memory, end the process or never end. Files are
written by anybody, so each tree is checked once, after loading and before the first prediction.
"""

import gc
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array

_LEAF = -1
"""scikit-learn's number of a child that does not exist."""


def check(estimator: Any) -> None:
    """Raises ValueError, which says what is wrong with a tree of the estimator."""
    for found in objects(estimator):
        kind = type(found)
        name = f"{kind.__module__}.{kind.__name__}"
        if name == "sklearn.tree._tree.Tree":
            _check_tree(found)
        elif name == "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor":
            _check_predictor(found)
        elif name == "sklearn.neighbors._kd_tree.KDTree":
            _check_neighbours(found)


def objects(root: Any) -> Iterator[Any]:
    """Everything that the estimator holds; classes, modules and functions are not its own."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        found = waiting.pop()
        if id(found) in seen or isinstance(found, type | ModuleType | FunctionType):
            continue
        seen.add(id(found))
        yield found
        if isinstance(found, np.ndarray):
            waiting += found.ravel().tolist() if found.dtype.kind == "O" else []  # arrays tell the collector nothing
        else:
            waiting += gc.get_referents(found)


def _check_tree(tree: Any) -> None:
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    inner = left != _LEAF
    _check_children(left[inner], right[inner], np.flatnonzero(inner), len(left))
    _check_range("a feature", np.asarray(tree.feature)[inner], int(tree.n_features))


def _check_predictor(predictor: Any) -> None:
    nodes = np.asarray(predictor.nodes)
    needed = {"is_leaf", "left", "right", "feature_idx", "is_categorical", "bitset_idx"}
    if not len(nodes) or not needed <= set(nodes.dtype.names or ()):
        raise ValueError("a tree has no nodes")
    inner = nodes["is_leaf"] == 0
    left, right = nodes["left"][inner].astype(np.int64), nodes["right"][inner].astype(np.int64)
    _check_children(left, right, np.flatnonzero(inner), len(nodes))
    _check_range("a feature", nodes["feature_idx"][inner], 1 << 16)
    sets = nodes["bitset_idx"][inner & (nodes["is_categorical"] != 0)]
    _check_range("a set of categories", sets, min(map(len, (predictor.raw_left_cat_bitsets,
                                                            predictor.binned_left_cat_bitsets))))  # fmt: skip


def _check_neighbours(tree: Any) -> None:
    data, order, nodes, bounds = (np.asarray(each) for each in tree.get_arrays())
    count = len(nodes)
    if data.ndim != 2 or order.shape != (len(data),) or not count or bounds.shape[1:] != (count, data.shape[1]):
        raise ValueError("the arrays of a tree of neighbours do not fit one another")
    _check_range("a neighbour", order, len(data))
    starts, ends = nodes["idx_start"], nodes["idx_end"]
    if (starts < 0).any() or (ends > len(data)).any() or (starts > ends).any():
        raise ValueError("a node of a tree of neighbours lies outside of its data")
    inner = np.flatnonzero(nodes["is_leaf"] == 0)
    _check_range("a node of a tree of neighbours", 2 * inner + 2, count)


def _check_children(left: Array, right: Array, parents: Array, count: int) -> None:
    for children in (left, right):
        _check_range("a node of a tree", children, count)
        if (children <= parents).any():
            raise ValueError("a node of a tree leads back to one before it")


def _check_range(what: str, values: Array, end: int) -> None:
    if len(values) and (int(values.min()) < 0 or int(values.max()) >= end):
        raise ValueError(f"{what} is {int(values.min())} to {int(values.max())}; it has to be below {end}")
