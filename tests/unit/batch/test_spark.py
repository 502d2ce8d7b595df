"""What executors of Spark run, called as they call it: on record batches, pickled. Spark itself: integrations/spark."""

import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from modelward_batch.errors import Incurable
from modelward_batch.spark import REFUSED, Scoring, scoring_of
from unit.inference.models import case

from .test_run import BY_NAME, customers_with_ids, table

Bundles = Callable[[str], Path]


def run(function: Scoring, batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """As a worker does: a copy that came by pickle."""
    copy: Scoring = pickle.loads(pickle.dumps(function))
    return pa.Table.from_batches(list(copy(iter(batches))))


def test_answers_are_the_originals_own_in_the_rows_own_order(bundles: Bundles) -> None:
    frame = customers_with_ids()
    rows = table(frame)
    function = scoring_of(bundles(BY_NAME), ["id"], {})
    assert set(function.columns_of(rows.schema)) == set(frame.columns)
    found = run(function, rows.to_batches(150))
    assert found.schema.equals(function.schema_of(rows.schema))
    assert found.column_names == ["id", "output.predict", "output.predict_proba[0]", "output.predict_proba[1]", REFUSED]
    assert found["id"].to_pylist() == frame["id"].tolist()
    model, features = case(BY_NAME).model, frame.drop(columns="id")
    assert found["output.predict"].to_pylist() == model.predict(features).tolist()
    assert found["output.predict_proba[1]"].to_pylist() == pytest.approx(model.predict_proba(features)[:, 1], abs=1e-6)
    assert found[REFUSED].null_count == len(frame)


def test_a_row_that_the_model_refuses_has_a_reason_and_no_answer_and_others_keep_theirs(bundles: Bundles) -> None:
    name = "logistic regression"
    each = case(name)
    (wide,) = each.tensors.values()
    rows = wide[:5].copy()
    rows[2, 0] = float("nan")  # which this model refuses
    lists = pa.array(rows.tolist(), pa.list_(pa.float64()))
    batch = pa.RecordBatch.from_arrays([pa.array(range(5)), lists], names=["id", next(iter(each.tensors))])
    found = run(scoring_of(bundles(name), ["id"], {}), [batch, batch.slice(2, 1), batch.slice(0, 0)])
    assert found["id"].to_pylist() == [0, 1, 2, 3, 4, 2]
    labels = each.model.predict(wide[:5]).tolist()
    assert found["output.predict"].to_pylist() == [labels[0], labels[1], None, labels[3], labels[4], None]
    reasons = found[REFUSED].to_pylist()
    assert [reason is None for reason in reasons] == [True, True, False, True, True, False]
    assert "column 0 is missing" in reasons[2]


def test_columns_are_called_otherwise(bundles: Bundles) -> None:
    rows = table(customers_with_ids()).rename_columns(["years", "income", "city", "plan", "id"])
    function = scoring_of(bundles(BY_NAME), ["id"], {"age": "years"})
    assert "years" in function.columns_of(rows.schema)
    assert run(function, rows.to_batches()).num_rows == len(rows)


@pytest.mark.parametrize(
    ("keys", "columns", "told"),
    [
        ([], {}, "name the columns that tell rows apart"),
        ("id", {}, "in a list"),
        (["id", "id"], {}, "each once"),
        (["refused"], {}, "is a column of the answers"),
        (["output.predict"], {}, "is a column of the output as well"),
        (["number"], {}, "has no column 'number', which keys names"),
        (["id"], {"age": "years"}, "has no column 'years'"),
        (["id"], {"size": "age"}, "columns names 'size'"),
    ],
)
def test_what_does_not_fit_is_told_before_anything_runs(
    bundles: Bundles, keys: Any, columns: dict[str, str], told: str
) -> None:
    with pytest.raises(Incurable, match=told):
        scoring_of(bundles(BY_NAME), keys, columns).columns_of(table(customers_with_ids()).schema)


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (pa.uint8(), pa.int16()), (pa.uint32(), pa.int64()), (pa.uint64(), pa.decimal128(20, 0)),
        (pa.list_(pa.uint16()), pa.list_(pa.int32())), (pa.float64(), pa.float64()), (pa.string(), pa.string()),
    ],
)  # fmt: skip
def test_types_that_spark_has_not_are_kept_in_wider_ones(
    bundles: Bundles, stored: pa.DataType, kept: pa.DataType
) -> None:
    function = scoring_of(bundles(BY_NAME), ["id"], {})
    (first, *rest) = function.outputs
    listed = pa.types.is_list(stored)
    kind = stored.value_type if listed else stored
    changed = replace(first, type=kind, listed=listed)
    other = replace(function, outputs=(changed, *rest))
    assert other.schema_of(table(customers_with_ids()).schema).field(first.name).type == kept
