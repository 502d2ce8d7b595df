"""Evidently: PSI of every column. It keeps no reference: each report takes both tables. Seconds go to stdout."""

import sys
from time import perf_counter

import numpy as np
import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset


def main(rows: int, features: int, reference: int) -> None:
    random = np.random.default_rng(0)
    names = [f"f{index}" for index in range(features)]
    definition = DataDefinition(numerical_columns=names)
    current, kept = (
        Dataset.from_pandas(
            pd.DataFrame(np.asfortranarray(random.standard_normal((features, size)).T), columns=names),
            data_definition=definition,
        )
        for size in (rows, reference)
    )
    started = perf_counter()
    found = Report([DataDriftPreset(num_method="psi")]).run(current, kept)
    seconds = perf_counter() - started
    drifts = [each for each in found.dict()["metrics"] if each["metric_name"].startswith("ValueDrift")]
    if len(drifts) != features:
        raise SystemExit(f"{len(drifts)} drifts of {features} columns: this is not what was to be measured")
    print(seconds)


main(*map(int, sys.argv[1:]))
