"""The demo's model: trained on the handwritten digits that scikit-learn ships, and saved in the ways users have."""

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib
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
    """A pipeline and what it was trained on and not.

    `train_rows`: [m, 64], their `train_labels`: [m]; `rows`: held out, [n, 64]; `labels` and scikit-learn's own
    `predictions` of these: [n].
    """

    estimator: Any
    train_rows: npt.NDArray[np.float32]
    train_labels: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]

    def bundle(self) -> bytes:
        """Model, signature, golden rows and reference in one file."""
        from modelward_inference import save_bundle

        with tempfile.TemporaryDirectory() as folder:
            saved: Path = save_bundle(
                Path(folder) / "digits.tar", self.estimator, columns(self.train_rows), reference=columns(self.rows)
            )
            return saved.read_bytes()

    def pickled(self) -> bytes:
        """As joblib.dump writes it."""
        target = io.BytesIO()
        joblib.dump(self.estimator, target)
        return target.getvalue()

    def onnx(self) -> bytes:
        """Converted by hand; outputs `label` and `probabilities`."""
        from skl2onnx import to_onnx

        content: bytes = to_onnx(self.estimator, self.rows[:1], options={"zipmap": False}).SerializeToString()
        return content


def columns(rows: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.float32]]:
    """Rows [n, 64] by name, so that drift is told of pixel_3_4 and not of input[28]."""
    return dict(zip(load_digits().feature_names, rows.T, strict=True))


def train(trees: int = 100, seed: int = 0, *, shuffled: bool = False) -> Trained:
    """Train on three quarters of the digits, always the same ones. The same arguments give the same model.

    `shuffled`: the labels are in disorder, as after a broken join: a model that learns and serves well, and is wrong.
    """
    features, labels = load_digits(return_X_y=True)
    rows: Any = features.astype(np.float32)
    train_rows, held_out, train_labels, held_out_labels = train_test_split(
        rows, labels, test_size=HELD_OUT, random_state=0, stratify=labels
    )
    model = make_pipeline(StandardScaler(), RandomForestClassifier(trees, random_state=seed))
    model.fit(train_rows, np.random.default_rng(seed).permutation(train_labels) if shuffled else train_labels)
    return Trained(model, train_rows, train_labels, held_out, held_out_labels, model.predict(held_out))
