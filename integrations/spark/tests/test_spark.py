"""Real Spark with two executors' threads: the answers of `modelward_batch.spark` are the original library's own.

By `make test-spark` and not by `make test`: Spark is 480 MB to install, and a Java besides.
"""

from pathlib import Path
from typing import Any

import pytest

from modelward_batch.errors import Incurable
from modelward_batch.spark import REFUSED, score
from unit.batch.test_run import BY_NAME, customers_with_ids
from unit.batch.worlds import bundle_of
from unit.inference.models import case


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(case(BY_NAME).model, tmp_path_factory.mktemp("bundle"))


def test_a_frame_in_two_partitions_is_answered_as_the_original_does(spark: Any, bundle: Path) -> None:
    frame = customers_with_ids()
    rows = spark.createDataFrame(frame).repartition(2)
    scored = score(rows, bundle, ["id"])
    assert scored.columns == ["id", "output.predict", "output.predict_proba[0]", "output.predict_proba[1]", REFUSED]
    found = scored.toPandas().set_index("id").loc[frame["id"]]
    model, features = case(BY_NAME).model, frame.drop(columns="id")
    assert (found["output.predict"].to_numpy() == model.predict(features)).all()
    wanted = model.predict_proba(features)[:, 1]
    assert found["output.predict_proba[1]"].to_numpy() == pytest.approx(wanted, abs=1e-6)
    assert found[REFUSED].isna().all()


def test_it_joins_and_filters_as_any_frame(spark: Any, bundle: Path) -> None:
    from pyspark.sql import functions

    rows = spark.createDataFrame(customers_with_ids())
    churners = score(rows, bundle, ["id"]).where(functions.col("`output.predict`") == 1)
    assert churners.join(rows, "id").count() == int(case(BY_NAME).model.predict(customers_with_ids()).sum())


def test_rows_that_the_model_refuses_have_a_reason(spark: Any, tmp_path: Path) -> None:
    name = "logistic regression"
    each = case(name)
    ((tensor, wide),) = each.tensors.items()
    lists = [(number, [*map(float, row)]) for number, row in enumerate(wide[:20])]
    lists[7][1][0] = float("nan")
    rows = spark.createDataFrame(lists, f"id long, {tensor} array<double>")
    found = {row["id"]: row for row in score(rows, bundle_of(each.model, tmp_path), ["id"]).collect()}
    assert sorted(number for number, row in found.items() if row[REFUSED] is not None) == [7]
    assert found[7]["output.predict"] is None
    labels = each.model.predict(wide[:20])
    assert all(found[number]["output.predict"] == labels[number] for number in range(20) if number != 7)


def test_what_does_not_fit_is_told_on_the_driver(spark: Any, bundle: Path) -> None:
    rows = spark.createDataFrame(customers_with_ids())
    with pytest.raises(Incurable, match="has no column 'income', which the model takes"):
        score(rows.drop("income"), bundle, ["id"])
