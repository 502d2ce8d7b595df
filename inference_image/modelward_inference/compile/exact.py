"""Trees whose library compares in double precision (LightGBM, histogram boosting), with the thresholds that it learned.

The converters round thresholds, and rows before them, to single precision: a value that lies between a threshold and
its rounding takes the other branch, and of a column of times (1.7e9 seconds) that is every one within two minutes.
onnxruntime compares in double where the thresholds are tensors of double and the rows are double, too (ai.onnx.ml 3).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from modelward_inference.runtimes.estimators import columns
from modelward_inference.runtimes.estimators.thresholds import compares_in_double, lightgbm_of

Places = dict[tuple[int, int], tuple[int, float]]
"""The feature and the threshold of each split, by the numbers of its tree and its node in the converted graph."""

_DOMAIN: Final = "ai.onnx.ml"
_VERSION: Final = 3
"""The first that knows thresholds in double."""

_NUMBERS: Final = ("nodes_values", "nodes_hitrates", "base_values", "target_weights", "class_weights")
"""All of one node have to be of one type."""

_PASSING: Final = ("Concat", "Identity", "Reshape")
"""What hands numbers on as they come."""


def hidden(estimator: Any) -> bool:
    """Whether such a step is anywhere but at the end of a pipeline: in a vote, a stack, a calibration, …"""
    last = columns.steps_of(columns.unwrapped(estimator))[-1]
    return any(compares_in_double(each) for each in inside(estimator) if each is not last)


def restore(model: Any, step: Any) -> None:
    """Give the only node of trees in a converted `model` (onnx.ModelProto) what `step` learned, and have its rows come
    in double. Raises ValueError where the trees are not those of the step."""
    graph = model.graph
    nodes = [node for node in graph.node if node.op_type.startswith("TreeEnsemble")]
    if len(nodes) != 1:
        raise ValueError(f"the trees are in {len(nodes)} nodes of the converted model")
    (node,) = nodes
    found = {each.name: each for each in node.attribute}
    exact = _restored(found, dict(_splits(step)))
    for name in _NUMBERS:
        if name in found:
            values = exact if name == "nodes_values" else np.array(found[name].floats, np.float64)
            node.attribute.remove(found[name])
            tensor = numpy_helper.from_array(values, f"{name}_as_tensor")
            node.attribute.append(helper.make_attribute(f"{name}_as_tensor", tensor))
    _widen(graph, node.input[0])
    del graph.value_info[:]
    for each in model.opset_import:
        if each.domain == _DOMAIN:
            each.version = max(each.version, _VERSION)


def _restored(found: Mapping[str, Any], splits: Places) -> Any:
    """The thresholds in the order of the node's attributes."""
    values = np.array(found["nodes_values"].floats, np.float64)
    places = zip(found["nodes_treeids"].ints, found["nodes_nodeids"].ints, strict=True)
    leaves = [mode == b"LEAF" for mode in found["nodes_modes"].strings]
    for index, (place, feature) in enumerate(zip(places, found["nodes_featureids"].ints, strict=True)):
        if leaves[index]:
            continue
        known, threshold = splits.get(place, (-1, np.nan))
        if known != feature or np.float32(threshold) != np.float32(values[index]):
            raise ValueError("the converted trees are others than the model's, so its thresholds are not known")
        values[index] = threshold
    return values


def _widen(graph: Any, name: str) -> None:
    """Have what comes by `name` be double."""
    (producer, *_) = [node for node in graph.node if name in node.output] or [None]
    if producer is None:
        for value in graph.input:
            if value.name == name and value.type.tensor_type.elem_type == TensorProto.FLOAT:
                value.type.tensor_type.elem_type = TensorProto.DOUBLE
        return
    if producer.op_type == "Cast":
        (to,) = [each for each in producer.attribute if each.name == "to"]
        to.i = TensorProto.DOUBLE
    elif producer.op_type in _PASSING:
        for each in producer.input if producer.op_type == "Concat" else producer.input[:1]:
            _widen(graph, each)
    else:
        raise ValueError(f"the rows come to the trees by {producer.op_type}, in single precision")


def _splits(step: Any) -> Iterator[tuple[tuple[int, int], tuple[int, float]]]:
    booster = lightgbm_of(step)
    if booster is not None:
        for number, tree in enumerate(booster.dump_model()["tree_info"]):
            for node, inner in _numbered(tree["tree_structure"]):
                yield (number, node), (int(inner["split_feature"]), float(inner["threshold"]))
        return
    for number, predictor in enumerate(each for stage in step._predictors for each in stage):
        for node, (leaf, feature, threshold) in enumerate(predictor.nodes[["is_leaf", "feature_idx", "num_threshold"]]):
            if not leaf:
                yield (number, node), (int(feature), float(threshold))


def _numbered(root: Mapping[str, Any]) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The splits of a tree of LightGBM with the numbers that its converter gives them: both children of a node before
    those of its left one, these before those of its right one."""
    count = 0

    def walk(node: Mapping[str, Any], number: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
        nonlocal count
        if "left_child" not in node:
            return
        yield number, node
        left, right = count + 1, count + 2
        count += 2
        yield from walk(node["left_child"], left)
        yield from walk(node["right_child"], right)

    return walk(root, 0)


def inside(value: Any, depth: int = 12) -> Iterator[Any]:
    """Every fitted estimator inside of a value: whatever the attribute is called that holds it."""
    if depth == 0 or isinstance(value, str | bytes | int | float | np.number | type(None)):
        return
    if isinstance(value, Mapping):
        inner: Any = value.values()
    elif isinstance(value, list | tuple | set):
        inner = value
    elif isinstance(value, np.ndarray):
        inner = value.ravel().tolist() if value.dtype == object else ()
    elif hasattr(value, "get_params") or dataclasses.is_dataclass(value) or hasattr(value, "calibrators"):
        yield value
        inner = vars(value).values() if hasattr(value, "__dict__") else ()
    else:
        return
    for each in inner:
        yield from inside(each, depth - 1)
