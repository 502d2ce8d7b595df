"""Gives a converted graph the very signature of the original: names, types and shapes of all inputs and outputs.

So clients see no difference between the two forms, and two pods of a revision that chose differently agree.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import onnx
import onnx.compose
from onnx import TensorProto, helper

from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.parity.golden import SCORES, SHOWN, SQUARES
from modelward_inference.runtimes.base import PREDICT_PROBA
from modelward_inference.runtimes.onnx import LOWERED_TEXTS, TAKES_MISSING_TEXTS

_ELEMENTS = {
    "BOOL": TensorProto.BOOL, "INT8": TensorProto.INT8, "INT16": TensorProto.INT16, "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64, "UINT8": TensorProto.UINT8, "UINT16": TensorProto.UINT16, "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64, "FP16": TensorProto.FLOAT16, "FP32": TensorProto.FLOAT, "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}  # fmt: skip

_PREFIX = "modelward/"
"""Of tensors that are added; no column can clash with it by accident."""

_INNER = f"{_PREFIX}inner/"
"""Of what the converters made."""

_ZERO, _ONE = f"{_PREFIX}zero", f"{_PREFIX}one"
"""The bounds of a probability."""

_COLUMN, _VECTOR = f"{_PREFIX}column", f"{_PREFIX}vector"
"""Constants with the shapes [-1, 1] and [-1]."""

_ROWS, _LAST = f"{_PREFIX}rows", f"{_PREFIX}last"
"""Constants: the shape that makes a table of a vector, and leaves a table as it is; the place of the last column."""


def adapt(
    model: Any, signature: Signature, names: Mapping[str, str] | None = None, lowered: Iterable[str] = ()
) -> bytes:
    """The model with `signature`. The first outputs of `model` become the signature's, in its order. `names`: the
    signature's inputs by what they are called in `model`, where that differs; no name inside clashes with them.
    `lowered`: inputs of texts that nothing in it tells capitals from small letters of.

    Raises ValueError where it has too few outputs or another set of inputs, or one that is no tensor.
    """
    graph = model.graph
    if names:
        onnx.compose.add_prefix_graph(graph, _INNER, inplace=True)
        _rename(graph, {f"{_INNER}{inner}": name for inner, name in names.items()})
    outputs = list(graph.output)
    if len(outputs) < len(signature.outputs):
        raise ValueError(f"the converted model has {len(outputs)} outputs instead of {len(signature.outputs)}")
    before = _inputs(graph, signature)
    after = [node for tensor, found in zip(signature.outputs, outputs, strict=False) for node in _output(tensor, found)]
    nodes = [*before, *graph.node, *after]
    del graph.node[:]
    graph.node.extend(nodes)
    del graph.output[:]
    graph.output.extend(_info(tensor) for tensor in signature.outputs)
    used = {name for node in nodes for name in node.input}
    for name, values in ((_COLUMN, [-1, 1]), (_VECTOR, [-1]), (_ROWS, [0, -1]), (_LAST, [-1])):
        if name in used:
            graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
    for name, value in ((_ZERO, 0.0), (_ONE, 1.0)):
        for kind, element in (("double", TensorProto.DOUBLE), ("single", TensorProto.FLOAT)):
            if f"{name}/{kind}" in used:
                graph.initializer.append(helper.make_tensor(f"{name}/{kind}", element, [1], [value]))
    model.metadata_props.append(onnx.StringStringEntryProto(key=TAKES_MISSING_TEXTS, value="true"))
    model.metadata_props.append(onnx.StringStringEntryProto(key=LOWERED_TEXTS, value=json.dumps(sorted(lowered))))
    for node in graph.node:
        if node.op_type == "StringNormalizer":
            # The default locale, en_US, is in few images; this one is in each, and knows all of Unicode.
            node.attribute.append(helper.make_attribute("locale", "C.UTF-8"))
    return bytes(model.SerializeToString())


def without_scores(content: bytes) -> bytes:
    """The graph as it is served, of one that shows its scores."""
    model = onnx.load_from_string(content)
    graph = model.graph
    outputs = [output for output in graph.output if not output.name.startswith(SHOWN)]
    nodes = [node for node in graph.node if not any(SHOWN in name for name in node.output)]
    constants = [each for each in graph.initializer if each.name not in (_ROWS, _LAST)]
    del graph.output[:], graph.node[:], graph.initializer[:]
    graph.output.extend(outputs)
    graph.node.extend(nodes)
    graph.initializer.extend(constants)
    return bytes(model.SerializeToString())


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Inputs, and who takes them, in inner graphs too."""
    for value in graph.input:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = names.get(name, name)
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                _rename(inner, names)


def _inputs(graph: Any, signature: Signature) -> list[Any]:
    """Nodes that turn the signature's inputs into the ones that the graph was converted with."""
    found = {each.name: each for each in graph.input}
    wanted = {tensor.name: tensor for tensor in signature.inputs}
    used = {name for node in graph.node for name in node.input}
    found = {name: value for name, value in found.items() if name in wanted or name in used}
    if set(found) - set(wanted):
        raise ValueError(f"the converted model has other inputs: {', '.join(sorted(set(found) ^ set(wanted)))}")
    nodes = []
    renamed: dict[str, str] = {}
    for name, value in found.items():
        inner = f"{_PREFIX}{name}"
        element = value.type.tensor_type.elem_type
        if element != _ELEMENTS[wanted[name].datatype]:
            nodes.append(helper.make_node("Cast", [name], [inner], to=element))
            renamed[name] = inner
        elif len(value.type.tensor_type.shape.dim) != len(wanted[name].shape):
            nodes.append(helper.make_node("Reshape", [name, _COLUMN], [inner]))
            renamed[name] = inner
    for node in graph.node:
        for index, name in enumerate(node.input):
            node.input[index] = renamed.get(name, name)
    # A column that the model ignores stays an input: clients need not know that it is ignored.
    del graph.input[:]
    graph.input.extend(_info(tensor) for tensor in signature.inputs)
    return nodes


def _output(tensor: Tensor, found: Any) -> list[Any]:
    kind = found.type.WhichOneof("value")
    if kind != "tensor_type":
        raise ValueError(f"the converted model's output {found.name} is no tensor")
    current = found.name
    nodes = []
    if tensor.name == SQUARES:
        nodes.append(helper.make_node("Mul", [current, current], [f"{_PREFIX}square/{tensor.name}"]))
        current = f"{_PREFIX}square/{tensor.name}"
    if tensor.name == SCORES and tensor.shape[1] == 1:
        # Of two classes the converters give both scores, one the negative of the other.
        table, last = f"{_PREFIX}table/{tensor.name}", f"{_PREFIX}last/{tensor.name}"
        nodes.append(helper.make_node("Reshape", [current, _ROWS], [table]))
        nodes.append(helper.make_node("Gather", [table, _LAST], [last], axis=1))
        current = last
    if len(tensor.shape) == 1:
        nodes.append(helper.make_node("Reshape", [current, _VECTOR], [f"{_PREFIX}flat/{tensor.name}"]))
        current = f"{_PREFIX}flat/{tensor.name}"
    if tensor.name == PREDICT_PROBA:
        # Sums of single precision may pass 1 by a step, and nobody's logarithm of 1 - p takes that.
        element = found.type.tensor_type.elem_type
        kind = "double" if element == TensorProto.DOUBLE else "single"
        for operator, bound in (("Max", _ZERO), ("Min", _ONE)):
            bounded = f"{_PREFIX}{operator}/{tensor.name}"
            nodes.append(helper.make_node(operator, [current, f"{bound}/{kind}"], [bounded]))
            current = bounded
    if tensor.datatype == "BYTES":
        return [*nodes, helper.make_node("Identity", [current], [tensor.name])]
    return [*nodes, helper.make_node("Cast", [current], [tensor.name], to=_ELEMENTS[tensor.datatype])]


def _info(tensor: Tensor) -> Any:
    shape = [None if size < 0 else size for size in tensor.shape]
    return onnx.helper.make_tensor_value_info(tensor.name, _ELEMENTS[tensor.datatype], shape)
