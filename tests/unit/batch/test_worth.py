"""What a real run foretold, held against outcomes as the requests of a server are."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as peer

from modelward_batch import stores
from modelward_batch.planning import Sizes
from modelward_batch.run import Bundle, Run, loaded
from unit.evaluate.lakes import START, Lake, metric
from unit.evaluate.test_batches import NIGHT, Scored, became
from unit.inference.models import case, customers

from .worlds import World

SCORED = {"task": "classes", "label": "output.predict", "score": "output.predict_proba[1]", "positive": "1"}


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a document, each by where it is."""
    if isinstance(value, dict | list):
        for name, each in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(each, f"{at}/{name}")
    else:
        yield at, value


def parted(value: Any) -> tuple[dict[str, float], dict[str, Any]]:
    """Numbers, and what is none."""
    found = dict(leaves(value))
    numbers = {at: each for at, each in found.items() if isinstance(each, int | float)}
    return numbers, {at: each for at, each in found.items() if at not in numbers}


def test_a_real_run_is_worth_what_the_same_rows_in_a_prediction_log_are(
    tmp_path: Path, bundles: Callable[[str], Path]
) -> None:
    """To the last digit, with scikit-learn's own values."""
    world = World(tmp_path, bundles("columns by name"), {"run": NIGHT}, sizes=Sizes(rows=64))
    frame, churned = customers()
    pq.write_table(pa.Table.from_pandas(frame.assign(id=range(400))), world.input / "a.parquet", row_group_size=150)
    spec = world.spec()
    source, output = stores.input_of(spec.input, [tmp_path]), stores.output_of(spec.output, spec.run, [tmp_path])
    told = Run(spec, source, output, lambda: loaded(Bundle(world.bundle), spec), world.sizes, lambda: START).run()
    assert told.complete
    lake = Scored(tmp_path)
    lake.output = tmp_path / "out"
    answers = pd.concat(pd.read_parquet(each) for each in (lake.output / NIGHT).glob("part-*")).sort_values("id")
    rows = answers.assign(request_id=[f"q{each}" for each in answers.id], row=0, time=START, arm="stable")
    lake.predict(rows.drop(columns=["id", "predicted_at", "revision", "model_version"]).to_dict("records"), "m-abc")
    lake.tell([became(each, int(churned[each]), request_id=f"q{each}") for each in range(400)])
    options: dict[str, Any] = {"task": SCORED, "label_window_seconds": 3 * 86400, "outcomes": {"absent": "0"}}
    batch, log = lake.said(of="churn", **options), Lake.said(lake, **options)
    (own,), (live,) = batch["values"], log["values"]
    assert (own["arm"], own["revision"], live["arm"]) == ("batch", "m-abc", "stable")
    sums, of_log = ([each["statistics"] for each in found["groups"]] for found in (batch, log))
    for one, other in ((sums, of_log), (own["metrics"], live["metrics"])):
        (numbers, rest), (wanted, others) = parted(one), parted(other)
        assert len(numbers) > 20
        assert numbers == pytest.approx(wanted, rel=1e-12)
        assert rest == others
    assert batch["counts"] == log["counts"]
    model = case("columns by name").model
    scores = model.predict_proba(frame)[:, 1]
    by_peer = (peer.accuracy_score(churned, model.predict(frame)), peer.roc_auc_score(churned, scores))
    cells = live["metrics"]["rocAuc"]["within"] + 1e-4
    assert (metric(batch, "accuracy"), metric(batch, "rocAuc")) == pytest.approx(by_peer, abs=cells)
