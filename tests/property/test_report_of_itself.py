"""A report of the very file that the reference was made from finds nothing, whatever the columns hold."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from modelward_drift.judging.statistic import measure
from modelward_drift.profiles.reference import Reference
from modelward_inference.drift_report.inputs import read_data
from modelward_inference.reference.make import make_reference

ROWS = 60

COLUMNS: dict[str, st.SearchStrategy[Any]] = {
    "whole": st.integers(-3, 3),
    "large": st.integers(2**53, 2**53 + 3),
    "floats": st.sampled_from([1.0, 1.5, -0.0, 1e20, 1e-9]),
    "truths": st.booleans(),
    "texts": st.sampled_from(["a", "b", "München", "x,y", 'a"b', "true", "1"]),
    "codes": st.sampled_from(["1.50", "9.90", "007", "7"]),
    "zips": st.sampled_from(["90210", "10115"]),
    "decimals": st.sampled_from([Decimal("1.50"), Decimal("2")]),
}


@st.composite
def series(draw: st.DrawFn) -> tuple[str, list[Any]]:
    name = draw(st.sampled_from(sorted(COLUMNS)))
    values = draw(st.lists(COLUMNS[name], min_size=ROWS, max_size=ROWS))
    if draw(st.booleans()):
        values = [None if draw(st.integers(0, 9)) == 0 else each for each in values]
    return name, values


def distances(reference: Reference, path: Path) -> list[float]:
    window = read_data(path, reference)
    return [
        measure(feature.profile, counts, ("psi",))[0].value
        for feature, counts in zip(reference.features, window.counts, strict=True)
    ]


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("kind", ["", "categorical", "text"])
@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
@given(found=series())
def test_nothing_drifts(tmp_path_factory: pytest.TempPathFactory, kind: str, suffix: str, found: Any) -> None:
    name, values = found
    assume(kind != "text" or name == "texts")  # what is no text is refused as one
    path = tmp_path_factory.mktemp("t") / f"x{suffix}"
    nulls = any(each is None for each in values)
    plain = [np.nan if each is None else each for each in values] if name in ("whole", "floats") and nulls else values
    frame = pd.DataFrame({"x": plain, "y": np.arange(ROWS) % 4})
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    reference = make_reference(str(path), kinds={"x": kind} if kind else {})
    read = Reference.from_dict(reference.to_dict())
    assert read.digest == reference.digest
    assert distances(read, path) == [0.0] * len(reference.features)
