"""The same evaluation by pandas and scikit-learn, as a notebook has it: `python -m benchmarks.quality.by_pandas LOG
OUTCOMES`."""

import json
import sys

import pandas
from sklearn import metrics

from benchmarks.quality.data import SEGMENTS


def values(rows: pandas.DataFrame) -> dict[str, float]:
    return {
        "accuracy": metrics.accuracy_score(rows.value, rows["output.label"]),
        "precision": metrics.precision_score(rows.value, rows["output.label"]),
        "recall": metrics.recall_score(rows.value, rows["output.label"]),
        "f1": metrics.f1_score(rows.value, rows["output.label"]),
        "rocAuc": metrics.roc_auc_score(rows.value, rows["output.score"]),
        "averagePrecision": metrics.average_precision_score(rows.value, rows["output.score"]),
        "logLoss": metrics.log_loss(rows.value, rows["output.score"]),
        "brier": metrics.brier_score_loss(rows.value, rows["output.score"]),
    }


def main(log: str, outcomes: str) -> None:
    columns = ["request_id", "row", "output.label", "output.score", *(f"input.s{each}" for each in range(SEGMENTS))]
    rows = pandas.read_parquet(log, columns=columns).merge(pandas.read_parquet(outcomes), on=["request_id", "row"])
    found = {"": {"": values(rows)}}
    for number in range(SEGMENTS):
        name = f"input.s{number}"
        found[f"s{number}"] = {str(value): values(part) for value, part in rows.groupby(name)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
