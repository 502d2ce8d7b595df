"""Rows that a model refuses are found among the others, in as few calls as that takes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from modelward_batch.errors import Incurable
from modelward_batch.layout import Layout, layout_of
from modelward_batch.scoring import Scorer
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Joining, Manifest, Refusal, Signature, Tensor

from .test_plan import environment, spec

JOINS = Joining(True, "as the test says")


def manifest(*inputs: Tensor, columns: Sequence[str] = (), joining: Joining | None = JOINS, **more: Any) -> Manifest:
    signature = Signature(inputs, (Tensor("y", "FP64", (-1,)),))
    return Manifest("m", "onnx", "model.onnx", "sha256:0", 1, "s3://b/m", "2026-01-01T00:00:00Z", signature,
                    joining=joining, columns=tuple(columns), **more)  # fmt: skip


class Sums:
    """Answers with a row's sum; refuses negative numbers, and fails for a hundred."""

    libraries: Mapping[str, str] = {}
    warnings: Sequence[str] = ()

    def __init__(self, wrong: Any = None) -> None:
        self.calls: list[int] = []
        self.wrong = wrong
        self.signature = Signature((), ())

    def predict(self, inputs: Mapping[str, Array], _: Sequence[str]) -> dict[str, Array]:
        whole = np.concatenate([array.reshape(len(array), -1) for array in inputs.values()], axis=1).astype(float)
        self.calls.append(len(whole))
        if (whole < 0).any():
            raise ValueError("a number is\nnegative")
        if (whole == 100).any():
            raise LookupError("hundred")
        return {"y": whole.sum(axis=1) if self.wrong is None else self.wrong}


WIDE = Tensor("x", "FP64", (-1, 2))


def laid(made: Manifest, batch: pa.RecordBatch, **asked: Any) -> Layout:
    found = layout_of(made, batch.schema.names, spec.load(environment(**{"keys": ["id"], "columns": {}, **asked})), "f")
    found.check_types(batch.schema, "f")
    return found


def batch(**columns: Any) -> pa.RecordBatch:
    count = len(next(iter(columns.values())))
    return pa.RecordBatch.from_pydict({"id": list(range(count)), **columns})


def test_all_are_answered_in_one_call() -> None:
    made, model = manifest(WIDE, columns=("a", "b")), Sums()
    rows = batch(b=[1.0, 2.0, 3.0], a=[10, 20, 30])
    found = Scorer(made, model).score(rows, laid(made, rows))
    assert found.answered.tolist() == [0, 1, 2]
    assert found.outputs["y"].tolist() == [11, 22, 33]
    assert (found.refused, model.calls) == ({}, [3])


@pytest.mark.parametrize("bad", [[0], [63], [5, 6], [0, 31, 32, 63], list(range(64))])
def test_refused_rows_are_told_apart_and_the_others_stay_in_order(bad: list[int]) -> None:
    made, model = manifest(WIDE, columns=("a", "b")), Sums()
    values = np.arange(64.0)
    values[bad] = -1
    values[bad[:1]] = 100
    rows = batch(a=values, b=np.zeros(64))
    found = Scorer(made, model).score(rows, laid(made, rows))
    assert sorted(found.refused) == bad
    assert found.refused[bad[0]] == "the model fails: LookupError: hundred"
    assert all(found.refused[row] == "the model refuses it: a number is negative" for row in bad[1:])
    assert found.answered.tolist() == [row for row in range(64) if row not in bad]
    assert found.outputs.get("y", np.array([])).tolist() == [values[row] for row in range(64) if row not in bad]
    assert len(model.calls) <= min(2 * 64 - 1, 1 + 2 * 6 * len(bad))


def test_what_a_guard_knows_costs_no_call() -> None:
    refusals = (Refusal("x", "missing", (1,), ("b",)), Refusal("x", "infinite", (0, 1), ("a", "b")))
    made, model = manifest(WIDE, columns=("a", "b"), refusals=refusals), Sums()
    rows = batch(a=[1.0, 2, np.inf, np.nan], b=[None, 1.0, 1.0, 1.0])
    found = Scorer(made, model).score(rows, laid(made, rows))
    assert found.refused.keys() == {0, 2}
    assert found.refused[0].startswith("x: column 'b' is missing, and the model refuses that: it was trained without")
    assert "column 'a' is infinite" in found.refused[2]
    assert model.calls == [2]


def test_unknown_categories_and_missing_texts_are_told() -> None:
    city = Tensor("city", "BYTES", (-1, 1))
    refusals = (Refusal("city", "unknown", (0,), (), ("Rome", "Oslo")), Refusal("city", "missing", (0,)))
    made = manifest(city, refusals=refusals)
    model = SimpleNamespace(predict=lambda inputs, _: {"y": np.array([len(each) for [each] in inputs["city"]])})
    rows = batch(city=["Rome", "Bonn", None, "Oslo"])
    found = Scorer(made, model).score(rows, laid(made, rows))  # type: ignore[arg-type]
    assert found.answered.tolist() == [0, 3]
    assert "'Bonn' is a category that the model was not trained on" in found.refused[1]
    assert "a text is missing, and the model refuses that" in found.refused[2]


def test_numbers_beyond_the_tensors_type_are_their_rows_trouble() -> None:
    small = Tensor("x", "FP32", (-1, 1))
    made, model = manifest(small, Tensor("n", "INT8", (-1, 1))), Sums()
    rows = batch(x=[1.0, 1e300, 2.0, 3.0], n=[1, 1, 300, None])
    found = Scorer(made, model).score(rows, laid(made, rows))
    assert found.answered.tolist() == [0]
    assert "too large for FP32" in found.refused[1]
    assert "the model takes INT8" in found.refused[2]
    assert "the column 'n' has no value" in found.refused[3]


@pytest.mark.parametrize("joining", [None, Joining(False, "rows reach each other")])
def test_rows_that_may_reach_each_other_are_computed_alone(joining: Joining | None) -> None:
    made, model = manifest(WIDE, columns=("a", "b"), joining=joining), Sums()
    rows = batch(a=[1.0, -1.0, 3.0], b=[0.0, 0.0, 0.0])
    found = Scorer(made, model).score(rows, laid(made, rows))
    assert model.calls == [1, 1, 1]
    assert (found.answered.tolist(), list(found.refused)) == ([0, 2], [1])


@pytest.mark.parametrize("wrong", [np.array(3.0), np.zeros(2), np.zeros((1, 3))])
def test_a_model_that_does_not_answer_row_by_row_is_none_for_a_batch(wrong: Array) -> None:
    made = manifest(WIDE, columns=("a", "b"))
    rows = batch(a=[1.0, 1.0, 3.0], b=[0.0, 0.0, 0.0])
    with pytest.raises(Incurable, match="does not answer row by row"):
        Scorer(made, Sums(wrong)).score(rows, laid(made, rows))


def test_memory_that_is_out_is_no_rows_trouble() -> None:
    def out(*_: Any) -> Any:
        raise MemoryError

    made = manifest(WIDE, columns=("a", "b"))
    rows = batch(a=[1.0], b=[0.0])
    with pytest.raises(MemoryError):
        Scorer(made, SimpleNamespace(predict=out)).score(rows, laid(made, rows))  # type: ignore[arg-type]


LAYOUTS: list[tuple[Manifest, list[str], dict[str, str], list[str] | str]] = [
    (manifest(WIDE, columns=("a", "b")), ["b", "a"], {}, ["a", "b"]),
    (manifest(WIDE, columns=("a", "b")), ["b", "z"], {"a": "z"}, ["z", "b"]),
    (manifest(WIDE, columns=("a_1", "b")), ["b", "a 1"], {}, ["a 1", "b"]),  # as LightGBM keeps names
    (
        manifest(WIDE, columns=("a", "b")),
        ["b", "c"],
        {},
        "f has no column 'a', which the model takes; it has 'id', 'b'",
    ),
    (manifest(WIDE, columns=("x", "b")), ["x", "b"], {}, ["x", "b"]),
    (manifest(WIDE), ["q", "p"], {}, ["q", "p"]),
    (manifest(WIDE), ["q", "p", "__index_level_0__"], {}, ["q", "p"]),
    (manifest(WIDE), ["x[1]", "x[0]", "more"], {}, ["x[0]", "x[1]"]),
    (manifest(WIDE), ["1", "0"], {}, ["0", "1"]),  # as pandas calls the columns of an array
    (manifest(Tensor("x", "FP64", (-1, 1))), ["0"], {}, ["0"]),
    (manifest(WIDE), ["1", "2"], {}, ["1", "2"]),
    (manifest(WIDE), ["q", "p", "r"], {"x[0]": "p", "x[1]": "r"}, ["p", "r"]),
    (manifest(WIDE), ["q", "p", "r"], {}, "the model takes 2 columns that had no names when it was trained"),
    (manifest(WIDE), ["q", "p", "r"], {"x[0]": "p"}, "the model takes 2 columns that had no names"),
    (manifest(WIDE), ["x", "p", "r"], {}, ["x"]),
    (manifest(Tensor("t", "BYTES", (-1,))), ["said"], {}, ["said"]),
    (manifest(Tensor("t", "BYTES", (-1,))), ["said", "more"], {}, "f has no column 't'"),
    (manifest(Tensor("a", "FP32", (-1, 1)), Tensor("b", "FP32", (-1, 1))), ["b", "a", "more"], {}, ["a", "b"]),
    (manifest(Tensor("a", "FP32", (-1, 1)), Tensor("b", "FP32", (-1, 1))), ["b", "c"], {}, "f has no column 'a'"),
    (manifest(Tensor("i", "FP32", (-1, 2, 2))), ["i"], {}, ["i"]),
    (manifest(Tensor("i", "FP32", (-1, -1))), ["i"], {}, "which no columns fill"),
    (manifest(Tensor("i", "FP32", (-1,), True)), ["i"], {}, "which no columns fill"),
    (manifest(Tensor("i", "FP32", (8, 2))), ["i"], {}, "which no columns fill"),
    (manifest(WIDE, columns=("a", "b")), ["a", "b"], {"c": "a"}, "columns names 'c', which the model does not take"),
    (manifest(WIDE, columns=("a", "b")), ["a", "b"], {"a": "c"}, "f has no column 'c', which `columns` names for 'a'"),
    (manifest(WIDE, columns=("a", "b")), ["a", "b", "a"], {}, "f has 'a' twice"),
]


@pytest.mark.parametrize(("made", "names", "columns", "wanted"), LAYOUTS)
def test_columns_are_matched_by_name(
    made: Manifest, names: list[str], columns: dict[str, str], wanted: list[str] | str
) -> None:
    asked = spec.load(environment(keys=["id"], columns=columns))
    if isinstance(wanted, str):
        with pytest.raises(Incurable) as caught:
            layout_of(made, ["id", *names], asked, "f")
        assert wanted in str(caught.value)
    else:
        assert [each.column for each in layout_of(made, ["id", *names], asked, "f").features] == wanted


def test_a_key_may_be_a_feature_and_is_read_once() -> None:
    asked = replace(spec.load(environment(columns={})), keys=("a",))
    found = layout_of(manifest(WIDE, columns=("a", "b")), ["a", "b"], asked, "f")
    assert found.columns == ["a", "b"]
