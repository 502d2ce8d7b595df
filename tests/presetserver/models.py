"""Models for servers of others, as their artifacts are: one file, or a folder packed as a tar."""

import io
import json
import tarfile

import joblib
import numpy as np
from sklearn.linear_model import LinearRegression

COLUMNS = 2

SKLEARN = "mlserver_sklearn.SKLearnModel"
"""MLServer's name of what loads a model of scikit-learn."""

TRITON_CONFIG = f"""
backend: "python"
max_batch_size: 64
input [{{name: "input", data_type: TYPE_FP32, dims: [{COLUMNS}]}}]
output [{{name: "score", data_type: TYPE_FP32, dims: [1]}}]
instance_group [{{kind: KIND_CPU}}]
"""
TRITON_MODEL = """
import numpy
import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(triton.get_input_tensor_by_name(each, "input").as_numpy()) for each in requests]

    def answer(self, rows):
        if BIAS is None:
            return triton.InferenceResponse(error=triton.TritonError("out of order"))
        score = rows.sum(axis=1, keepdims=True) + BIAS
        return triton.InferenceResponse([triton.Tensor("score", score.astype(numpy.float32))])
"""


def triton_repository(bias: float | None) -> bytes:
    """A model of a Triton repository, for the Python backend: the row's sum and `bias`; None: it fails each request."""
    return _tar({"config.pbtxt": TRITON_CONFIG, "1/model.py": f"BIAS = {bias}\n{TRITON_MODEL}"})


def sklearn_file(bias: float, columns: int = COLUMNS) -> bytes:
    """A joblib of a LinearRegression: the row's sum and `bias`. MLServer fails rows of another width than `columns`."""
    rows = np.random.default_rng(0).normal(size=(100, columns))
    buffer = io.BytesIO()
    joblib.dump(LinearRegression().fit(rows, rows.sum(axis=1) + bias), buffer)
    return buffer.getvalue()


def mlserver_folder(bias: float, columns: int = COLUMNS, name: str | None = None) -> bytes:
    """`sklearn_file` beside a model-settings.json that says how it is loaded, and, with `name`, what it is called."""
    settings = {"implementation": SKLEARN, "parameters": {"uri": "./scores.joblib"}}
    named = {} if name is None else {"name": name}
    return _tar({
        "model-settings.json": json.dumps({**named, **settings}), "scores.joblib": sklearn_file(bias, columns),
    })  # fmt: skip


def _tar(files: dict[str, str | bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()
