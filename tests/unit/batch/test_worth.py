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


def leaves(value: Any) -> Iterator[Any]:
    """Names and values of a document, in one order."""
    if isinstance(value, dict):
        for name in sorted(value):
            yield name
            yield from leaves(value[name])
    elif isinstance(value, list):
        for each in value:
            yield from leaves(each)
    else:
        yield value


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
    options = {"task": SCORED, "label_window_seconds": 3 * 86400, "outcomes": {"absent": "0"}}
    batch, log = lake.said(of="churn", **options), Lake.said(lake, **options)
    (own,), (live,) = batch["values"], log["values"]
    assert (own["arm"], own["revision"], live["arm"]) == ("batch", "m-abc", "stable")
    sums, of_log = ([each["statistics"] for each in found["groups"]] for found in (batch, log))
    assert [*leaves(sums)] == pytest.approx([*leaves(of_log)], rel=1e-12)
    assert [*leaves(own["metrics"])] == pytest.approx([*leaves(live["metrics"])], rel=1e-12)
    assert batch["counts"] == log["counts"]
    model = case("columns by name").model
    scores = model.predict_proba(frame)[:, 1]
    wanted = (peer.accuracy_score(churned, model.predict(frame)), peer.roc_auc_score(churned, scores))
    assert (metric(batch, "accuracy"), metric(batch, "rocAuc")) == pytest.approx(wanted, abs=1e-4)
