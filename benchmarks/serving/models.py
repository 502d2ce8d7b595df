"""The models that every server gets, and what they should answer.

All values are exact in 32-bit floats, so that no server computes with other numbers than its neighbour.
"""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import make_classification
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from benchmarks.serving.cases import FEATURES, MANY_ROWS

SEED = 20
TRAINING_ROWS = 4000
INPUT = "input"


@dataclass(frozen=True)
class Model:
    """`file`: joblib or ONNX; `graph`: the same as ONNX; `output`: what is asked for, `expected` for `rows`."""

    name: str
    file: Path
    graph: Path
    output: str
    rows: Any
    expected: Any


def _estimator(name: str) -> Any:
    match name:
        case "gradient-boosting":
            return GradientBoostingClassifier(n_estimators=100, random_state=SEED)
        case "random-forest":
            return RandomForestClassifier(n_estimators=100, random_state=SEED)
        case "logistic-regression":
            return LogisticRegression()
        case "neural-network":
            return MLPClassifier((64, 32), max_iter=50, random_state=SEED)
        case _:
            raise ValueError(f"there is no recipe for {name}")


def train(name: str, folder: Path) -> Model:
    """Train a model and write it: joblib and ONNX, or ONNX alone for the neural network."""
    values, labels = make_classification(
        TRAINING_ROWS + MANY_ROWS, FEATURES, n_informative=12, random_state=SEED, shuffle=True
    )
    values = values.astype(np.float32)
    pipeline = make_pipeline(StandardScaler(), _estimator(name))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a network that is good enough
        pipeline.fit(values[:TRAINING_ROWS], labels[:TRAINING_ROWS])
    rows = values[TRAINING_ROWS:]
    graph = folder / f"{name}.onnx"
    _to_onnx(pipeline, graph)
    if name == "neural-network":
        return Model(name, graph, graph, "probabilities", rows, pipeline.predict_proba(rows))
    file = folder / f"{name}.joblib"
    joblib.dump(pipeline, file)
    return Model(name, file, graph, "predict", rows, pipeline.predict(rows))


def _to_onnx(pipeline: Any, target: Path) -> None:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    graph = to_onnx(pipeline, initial_types=[(INPUT, FloatTensorType([None, FEATURES]))], options={"zipmap": False})
    target.write_bytes(graph.SerializeToString())
