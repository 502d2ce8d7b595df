"""Versions of a model that are bad in one way each: they fail, are slow, or answer something else.

The first pixel of the digits is always white: a request in which it is MARK is what the failing version fails at.
"""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MARK = 99.0
GREYS = 17
"""Values that a pixel has."""


def failing(content: bytes) -> bytes:
    """Refuses rows whose first pixel is MARK: it looks a value up that its table has not."""
    table = numpy_helper.from_array(np.zeros(GREYS, np.float32), "table")
    nodes = [
        *_first_pixel(),
        helper.make_node("Cast", ["first"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["looked_up"]),
        helper.make_node("Add", ["X", "looked_up"], ["changed"]),
    ]
    return _before(content, nodes, [table])


def slow(content: bytes, size: int = 600, times: int = 6) -> bytes:
    """Multiplies matrices of `size` rows `times` over, whatever it is asked, and throws the result away."""
    nodes = [
        *_first_pixel(),
        helper.make_node("ReduceMean", ["first"], ["seed"], keepdims=0),
        helper.make_node("Expand", ["seed", "square"], ["product0"]),
        *(helper.make_node("MatMul", [f"product{n}", "product0"], [f"product{n + 1}"]) for n in range(times)),
        helper.make_node("ReduceMean", [f"product{times}"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["thrown_away"]),
        helper.make_node("Add", ["X", "thrown_away"], ["changed"]),
    ]
    square = numpy_helper.from_array(np.array([size, size], np.int64), "square")
    nothing = numpy_helper.from_array(np.array(0.0, np.float32), "nothing")
    return _before(content, nodes, [square, nothing])


def _first_pixel() -> list[Any]:
    return [helper.make_node("Slice", ["X", "begin", "end", "axis"], ["first"])]


def _before(content: bytes, nodes: list[Any], constants: list[Any]) -> bytes:
    """The model with `nodes` in front, which make `changed` of its input X."""
    model = onnx.load_from_string(content)
    graph = model.graph
    for node in graph.node:
        for position, name in enumerate(node.input):
            if name == "X":
                node.input[position] = "changed"
    rest = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *rest])
    places = {"begin": [0], "end": [1], "axis": [1]}
    graph.initializer.extend(constants)
    graph.initializer.extend(numpy_helper.from_array(np.array(value, np.int64), name) for name, value in places.items())
    changed: bytes = model.SerializeToString()
    return changed
