"""The demo's model: trained on the handwritten digits that scikit-learn ships, published as ONNX."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HELD_OUT = 0.25
"""Share of the rows that the model is not trained on."""


@dataclass(frozen=True)
class Trained:
    """`artifact`: the ONNX file; `estimator`: what it was made from.

    `rows`: held out, [n, 64]; `labels` and scikit-learn's own `predictions`: [n].
    """

    artifact: bytes
    estimator: Any
    rows: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]


def train(trees: int = 100, seed: int = 0) -> Trained:
    """Train on three quarters of the digits. The same arguments give the same model."""
    from skl2onnx import to_onnx

    features, labels = load_digits(return_X_y=True)
    rows: Any = features.astype(np.float32)
    train_rows, held_out, train_labels, held_out_labels = train_test_split(
        rows, labels, test_size=HELD_OUT, random_state=seed, stratify=labels
    )
    model = make_pipeline(StandardScaler(), RandomForestClassifier(trees, random_state=seed))
    model.fit(train_rows, train_labels)
    artifact = to_onnx(model, train_rows[:1], options={"zipmap": False}).SerializeToString()
    return Trained(artifact, model, held_out, held_out_labels, model.predict(held_out))
