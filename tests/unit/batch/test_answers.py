"""Answers are kept as they are, or the run ends: none is lost on the way to its file."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelward_batch.answers import Answers
from modelward_batch.errors import Incurable
from modelward_batch.plan import Plan
from modelward_batch.scoring import Scored
from modelward_batch.spec import Asked
from modelward_inference.artifact.arrays import Array
from modelward_monitor.predictionlog.schema import Column

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PLAN = Plan("r", "/input/", ("id",), {}, Asked("m", "1", "", "u", "sha256:0"), (), ())
LABEL = (Column("output.label", "output", "label", None, pa.int64()),)
SHARES = tuple(Column(f"output.p[{place}]", "output", "p", place, pa.float64()) for place in range(2))


def written(columns: tuple[Column, ...], outputs: dict[str, Array], folder: Path) -> pa.Table:
    rows = pa.RecordBatch.from_pydict({"id": [7, 8]})
    answers = Answers(PLAN, [rows.schema.field("id")], columns, folder / "part", folder / "rejects")
    answers.add(rows, Scored(np.arange(2), outputs), NOW)
    answers.close()
    return pq.read_table(folder / "part")


def test_answers_are_written_beside_their_keys(tmp_path: Path) -> None:
    found = written(
        (*LABEL, *SHARES), {"label": np.array([[1], [0]]), "p": np.array([[0.5, np.nan], [1, 0]])}, tmp_path
    )
    assert found.select(["id", "output.label", "output.p[0]", "output.p[1]"]).to_pydict() == {
        "id": [7, 8], "output.label": [1, 0], "output.p[0]": [0.5, 1.0], "output.p[1]": [None, 0.0],
    }  # fmt: skip


@pytest.mark.parametrize(("columns", "outputs", "words"), [
    (LABEL, {"label": np.array(["a", "b"], object)}, "'label' is not what the model says that it is: object of 1"),
    (LABEL, {"label": np.array([1.5, 2.0])}, "float64 of 1 a row, and output.label is int64"),
    (LABEL, {"label": np.zeros((2, 3), np.int64)}, "int64 of 3 a row"),
    (SHARES, {"p": np.zeros((2, 3))}, "'p' is not what the model says that it is: float64 of 3 a row"),
    (SHARES, {"p": np.zeros((2, 1))}, "float64 of 1 a row"),
    (SHARES, {}, "the model does not give its output 'p'"),
])  # fmt: skip
def test_an_answer_that_the_file_can_not_hold_is_no_null(
    columns: tuple[Column, ...], outputs: dict[str, Array], words: str, tmp_path: Path
) -> None:
    with pytest.raises(Incurable, match=words):
        written(columns, outputs, tmp_path)
