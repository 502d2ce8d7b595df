"""The series with annotated changes that the river package carries: one JSON object to stdout."""

import json

from river.drift import datasets

ANNOTATED = {"Apple": 3, "BrentSpotPrice": 10}
"""Rows a step of the annotations, where they were made on a series that was thinned out."""

STARTS = {"BrentSpotPrice": "2000"}


def main() -> None:
    found = {}
    for name in sorted(datasets.__all__):
        series = getattr(datasets, name)()
        columns: dict[str, list[float]] = {}
        for times, values in series:
            if str(next(iter(times.values()))) < STARTS.get(name, ""):
                continue
            values = values if isinstance(values, dict) else {name: values}
            for column, value in values.items():
                columns.setdefault(column, []).append(float(value))
        step = ANNOTATED.get(name, 1)
        marks = [[step * each for each in marks] for marks in series.annotations.values()]
        found[name] = {"columns": columns, "annotations": marks}
    print(json.dumps(found))


main()
