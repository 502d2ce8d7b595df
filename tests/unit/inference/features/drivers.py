"""A model that takes trips, rating and city of a driver, and what looks them up."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from feastserver.recorded import KEY, SERVICE
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.features.settings import Entity, FeatureSettings
from modelward_inference.protocol.messages import InferRequest, Input

SIGNATURE = Signature(
    (
        Tensor("trips", "INT64", (-1, 1)), Tensor("rating", "FP32", (-1, 1)), Tensor("city", "BYTES", (-1, 1)),
    ),
    (Tensor("score", "FP32", (-1, 1)), Tensor("where", "BYTES", (-1, 1))),
)  # fmt: skip


def model() -> bytes:
    """`score` is rating + trips, `where` is city."""
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["trips"], ["number"], to=TensorProto.FLOAT),
            helper.make_node("Add", ["number", "rating"], ["score"]),
            helper.make_node("Identity", ["city"], ["where"]),
        ],
        "drivers",
        [
            helper.make_tensor_value_info("trips", TensorProto.INT64, [None, 1]),
            helper.make_tensor_value_info("rating", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("city", TensorProto.STRING, [None, 1]),
        ],
        [
            helper.make_tensor_value_info("score", TensorProto.FLOAT, [None, 1]),
            helper.make_tensor_value_info("where", TensorProto.STRING, [None, 1]),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    content: bytes = made.SerializeToString()
    onnx.checker.check_model(made)
    return content


def settings(url: str = "http://127.0.0.1:1", **more: Any) -> FeatureSettings:
    return FeatureSettings(**{"url": url, "service": SERVICE, "entities": (Entity(KEY, "INT64"),), **more})


def asking(*keys: Any, **own: Any) -> InferRequest:
    """A request with these drivers, and inputs of its own."""
    inputs = [Input(KEY, "INT64", np.array(keys, np.int64))] if keys else []
    kinds = {"trips": ("INT64", np.int64), "rating": ("FP32", np.float32), "city": ("BYTES", object)}
    for name, values in own.items():
        datatype, dtype = kinds.get(name, ("FP64", np.float64))
        inputs.append(Input(name, datatype, np.array(values, dtype).reshape(-1, 1)))
    return InferRequest(tuple(inputs))
