"""Tables of thirty numbers with a key, and models of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

FEATURES = [f"f{place}" for place in range(30)]
KEY = "id"
TRAINED_ON = 5000


def frame(rows: int, first: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(first)
    found = pd.DataFrame(rng.normal(size=(rows, len(FEATURES))), columns=FEATURES)
    return found.assign(**{KEY: np.arange(first, first + rows)})


def models() -> Iterator[tuple[str, Any]]:
    data = frame(TRAINED_ON)
    label = (data["f0"] + data["f1"] * data["f2"] + data["f3"] > 0).astype(int)
    kinds = {
        "tree": GradientBoostingClassifier(n_estimators=100),
        "forest": RandomForestClassifier(100, random_state=0),
        "linear": LogisticRegression(),
    }
    for name, last in kinds.items():
        yield name, make_pipeline(StandardScaler(), last).fit(data[FEATURES], label)


def write(path: Path, rows: int, group: int) -> int:
    """Returns the file's bytes."""
    with pq.ParquetWriter(path, pa.Schema.from_pandas(frame(1), preserve_index=False)) as file:
        for first in range(0, rows, group):
            part = frame(min(group, rows - first), first)
            file.write_table(pa.Table.from_pandas(part, preserve_index=False), row_group_size=group)
    return path.stat().st_size
