"""Small real models, made once, and things that are none."""

import functools
import hashlib
import io
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler


@functools.cache
def estimator() -> Any:
    rows, labels = load_iris(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows.astype(np.float32), labels)


def rows() -> Any:
    return load_iris(return_X_y=True)[0].astype(np.float32)


def pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    return buffer.getvalue()


@functools.cache
def onnx(zipmap: bool = False) -> bytes:
    from skl2onnx import to_onnx

    converted: bytes = to_onnx(estimator(), rows()[:1], options={"zipmap": zipmap}).SerializeToString()
    return converted


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
