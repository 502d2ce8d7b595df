"""NannyML: the Jensen-Shannon distance of every column (it has no PSI) against a calculator that was fitted before.
Seconds go to stdout."""

import sys
from time import perf_counter

import nannyml
import numpy as np
import pandas as pd


def main(rows: int, features: int, reference: int) -> None:
    random = np.random.default_rng(0)
    names = [f"f{index}" for index in range(features)]
    current, kept = (
        pd.DataFrame(np.asfortranarray(random.standard_normal((features, size)).T), columns=names)
        for size in (rows, reference)
    )
    calculator = nannyml.UnivariateDriftCalculator(
        column_names=names, continuous_methods=["jensen_shannon"], chunk_number=1
    ).fit(kept)
    started = perf_counter()
    found = calculator.calculate(current)
    seconds = perf_counter() - started
    drifts = [column for column in found.to_df().columns if column[2] == "value"]
    if len(drifts) != features:
        raise SystemExit(f"{len(drifts)} drifts of {features} columns: this is not what was to be measured")
    print(seconds)


main(*map(int, sys.argv[1:]))
