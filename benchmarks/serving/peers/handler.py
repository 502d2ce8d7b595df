"""The model behind every peer that has no runtime of its own for it: the file in MODEL_FILE, one thread.

Answers what clients ask for: `predict` of a scikit-learn model, the output OUTPUT of an ONNX graph.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

MODEL_FILE = os.environ["MODEL_FILE"]
OUTPUT = os.environ["OUTPUT"]

DATATYPES = {"int64": "INT64", "float32": "FP32", "float64": "FP64"}


def load() -> Callable[[Any], Any]:
    """A function from rows (rows, features), float32, to the wanted output."""
    if MODEL_FILE.endswith(".onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(MODEL_FILE, options, providers=["CPUExecutionProvider"])
        return lambda rows: session.run([OUTPUT], {"input": rows})[0]
    import joblib

    return joblib.load(MODEL_FILE).predict


def rows_of(data: list[float], shape: list[int]) -> Any:
    """Flat JSON data as the rows that the model takes."""
    return np.array(data, dtype=np.float32).reshape(shape)


def answer(result: Any) -> dict[str, Any]:
    """The body of an answer in the Open Inference Protocol."""
    tensor = {
        "name": OUTPUT,
        "datatype": DATATYPES[result.dtype.name],
        "shape": list(result.shape),
        "data": result.ravel().tolist(),
    }
    return {"model_name": "model", "outputs": [tensor]}
