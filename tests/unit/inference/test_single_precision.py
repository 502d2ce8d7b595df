"""Models that learned from single precision and refuse double: what clients send comes as they take it."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelward_inference.runtimes.estimators.columns import inputs_of
from parity.drawn import Drawn
from parity.judged import judge

pytestmark = pytest.mark.unit

ROWS = 60
MATRIX = np.random.default_rng(0).normal(size=(2 * ROWS, 3)).astype(np.float32)
FRAME = pd.DataFrame(MATRIX, columns=["a", "b", "c"])
LABELS = (MATRIX[:ROWS, 0] > 0).astype(int)
BY_NAME = ColumnTransformer([("n", StandardScaler(), ["a", "b"])], remainder="passthrough")

MODELS: dict[str, tuple[Any, Any]] = {
    "k-means": (KMeans(3, n_init=1, random_state=0), MATRIX),
    "in small batches": (MiniBatchKMeans(3, n_init=1, random_state=0), MATRIX),
    "bisecting": (BisectingKMeans(3, random_state=0), MATRIX),
    "of a frame": (BisectingKMeans(3, random_state=0), FRAME),
    "behind a step": (make_pipeline(StandardScaler(), BisectingKMeans(3, random_state=0)), MATRIX),
    "behind columns by name": (make_pipeline(BY_NAME, BisectingKMeans(3, random_state=0)), FRAME),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_what_learned_from_single_precision_is_served(name: str) -> None:
    model, table = MODELS[name]
    model.fit(table[:ROWS], LABELS)
    with pytest.raises(ValueError, match="dtype"):
        model.predict(table[ROWS:].astype(np.float64))
    assert {tensor.datatype for tensor in inputs_of(model)} == {"FP32"}
    assert judge(Drawn(name, model, table[:ROWS], table[ROWS:])).wrong == ""


def test_double_precision_stays_double() -> None:
    model = KMeans(3, n_init=1, random_state=0).fit(MATRIX.astype(np.float64))
    assert [tensor.datatype for tensor in inputs_of(model)] == ["FP64"]
