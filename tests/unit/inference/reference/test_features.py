"""Which features a model has, what they are called, and where they lie in its tensors."""

from typing import Any

import numpy as np
import pytest

from modelward_drift.profiles.reference import Reference
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.artifact.features import Layout, texts_kind
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference.builder import ReferenceBuilder


def layout(taken: list[Tensor], given: list[Tensor] | None = None, **options: Any) -> Layout:
    return Layout.of_signature(Signature(tuple(taken), tuple(given or ())), **options)


def names(found: Layout) -> list[str]:
    return [slot.name for slot in found.slots]


WIDE = Tensor("input", "FP64", (-1, 3))
OPEN = Tensor("x", "FP32", (-1, -1))
AGE, CITY = Tensor("age", "INT64", (-1, 1)), Tensor("city", "BYTES", (-1,))
LABEL, PROBABILITIES = Tensor("predict", "INT64", (-1,)), Tensor("predict_proba", "FP64", (-1, 2))

NAMES: list[tuple[list[Tensor], list[Tensor], dict[str, Any], list[str]]] = [
    ([AGE, CITY], [], {}, ["age", "city"]),
    ([WIDE], [], {}, ["input[0]", "input[1]", "input[2]"]),
    ([WIDE], [], {"names": ["a", "b", "c"]}, ["a", "b", "c"]),
    ([WIDE], [], {"names": ["a", "b"]}, ["input[0]", "input[1]", "input[2]"]),
    ([WIDE, AGE], [], {"names": ["a", "b", "c"]}, ["input[0]", "input[1]", "input[2]", "age"]),
    ([Tensor("grid", "FP32", (-1, 2, 2))], [], {}, ["grid[0]", "grid[1]", "grid[2]", "grid[3]"]),
    ([AGE], [LABEL], {"classes": [3, 7]}, ["age", "output:predict"]),
    ([AGE], [PROBABILITIES], {"classes": [3, 7]}, ["age", "output:predict_proba[3]", "output:predict_proba[7]"]),
    ([AGE], [PROBABILITIES], {}, ["age", "output:predict_proba[0]", "output:predict_proba[1]"]),
    ([AGE], [PROBABILITIES], {"classes": [1, "1"]}, ["age", "output:predict_proba[0]", "output:predict_proba[1]"]),
    ([AGE], [Tensor("age", "FP64", (-1, 1))], {}, ["age", "output:age"]),
    ([OPEN], [], {"inputs": {"x": np.zeros((5, 2))}}, ["x[0]", "x[1]"]),
    ([WIDE], [], {"ignore": ["input[1]"]}, ["input[0]", "input[2]"]),
]


@pytest.mark.parametrize(("inputs", "outputs", "options", "expected"), NAMES)
def test_names(inputs: list[Tensor], outputs: list[Tensor], options: dict[str, Any], expected: list[str]) -> None:
    assert names(layout(inputs, outputs, **options)) == expected


KINDS = [
    ("input", "BOOL", "boolean"), ("input", "FP16", "numeric"), ("input", "INT8", "numeric"),
    ("input", "UINT64", "numeric"), ("input", "BYTES", None), ("output", "FP64", "numeric"),
    ("output", "INT64", "categorical"), ("output", "BOOL", "boolean"), ("output", "BYTES", None),
]  # fmt: skip


@pytest.mark.parametrize(("side", "datatype", "kind"), KINDS)
def test_kinds(side: str, datatype: str, kind: str | None) -> None:
    tensor = [Tensor("x", datatype, (-1, 1))]
    found = layout([], tensor) if side == "output" else layout(tensor)
    assert [slot.kind for slot in found.slots] == [kind]


LEFT_OUT = [
    (OPEN, "the input 'x' of shape [-1, -1] has no fixed number of values a row"),
    (Tensor("pixels", "FP32", (-1, 32, 32)), "the input 'pixels' has 1024 values a row; more than 1000"),
    (Tensor("scalar", "FP32", ()), "has no fixed number"),
]


@pytest.mark.parametrize(("tensor", "words"), LEFT_OUT)
def test_what_has_no_features_is_said(tensor: Tensor, words: str) -> None:
    found = layout([AGE, tensor])
    assert names(found) == ["age"]
    assert len(found.left_out) == 1
    assert words in found.left_out[0]


WRONG: list[tuple[list[Tensor], dict[str, Any], str]] = [
    ([WIDE], {"names": ["a", "b", "a"]}, "a: two features have this name"),
    ([AGE], {"kinds": {"old": "text"}}, "old: no feature has this name; there are age"),
    ([AGE], {"ignore": ["old"]}, "old: no feature has this name"),
    ([AGE], {"kinds": {"age": "number"}}, "'age' can't be of the kind 'number'; it may be numeric, categorical"),
]


@pytest.mark.parametrize(("inputs", "options", "words"), WRONG)
def test_what_does_not_fit_is_refused(inputs: list[Tensor], options: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidConfiguration, match=words):
        layout(inputs, **options)


def test_columns_of_a_batch() -> None:
    found = layout([WIDE, CITY], [PROBABILITIES, LABEL])
    rows = np.arange(6.0).reshape(2, 3)
    columns = found.columns({"input": rows, "city": np.array(["a", "b"], object)}, {"predict": np.array([[1], [0]])})
    assert {name: column.tolist() for name, column in columns.items()} == {
        "input[0]": [0, 3], "input[1]": [1, 4], "input[2]": [2, 5], "city": ["a", "b"], "output:predict": [1, 0],
    }  # fmt: skip
    assert np.shares_memory(columns["input[1]"], rows)


ODD: list[tuple[Any, list[str]]] = [
    (np.zeros((2, 2)), ["input[0]", "input[1]"]),  # too narrow: what is there is read
    (np.zeros((2, 5)), ["input[0]", "input[1]", "input[2]"]),
    (np.zeros((0, 3)), ["input[0]", "input[1]", "input[2]"]),
    (np.zeros(2), ["input[0]"]),
    (np.float64(1), []),
]


@pytest.mark.parametrize(("array", "expected"), ODD)
def test_columns_of_tensors_of_another_shape(array: Any, expected: list[str]) -> None:
    assert list(layout([WIDE]).columns({"input": np.asarray(array)}, {})) == expected


def test_a_wide_tensor_is_no_column() -> None:
    assert layout([AGE]).columns({"age": np.zeros((4, 2))}, {}) == {}


@pytest.mark.parametrize(
    ("rows", "distinct", "kind"), [(100, 51, "text"), (100, 50, "categorical"), (99, 99, "categorical")]
)
def test_texts_that_hardly_repeat_are_text(rows: int, distinct: int, kind: str) -> None:
    assert texts_kind(rows, distinct) == kind


def build(values: dict[str, Any], chunks: int = 1) -> Reference:
    tensors = [Tensor("words", "BYTES", (-1,)), Tensor("city", "BYTES", (-1,)), Tensor("gone", "FP64", (-1,))]
    found = layout(tensors, [LABEL])
    builder = ReferenceBuilder(found)
    parts = {name: np.array_split(np.array(column), chunks) for name, column in values.items()}
    for index in range(chunks):
        batch = {name: part[index] for name, part in parts.items()}
        outputs = {"predict": batch.pop("predict")}
        builder.add(batch, outputs, len(outputs["predict"]))
    return builder.reference()


def test_a_reference_of_batches() -> None:
    words = [f"text {index}" for index in range(200)] + [None] * 200
    values = {"words": np.array(words, object), "city": ["a", "b"] * 200, "predict": [0, 1, 1, 1] * 100}
    reference = build(values)
    by_name = {feature.name: feature.profile for feature in reference.features}
    assert {name: profile.kind for name, profile in by_name.items()} == {
        "words": "text", "city": "categorical", "gone": "numeric", "output:predict": "categorical",
    }  # fmt: skip
    assert by_name["gone"].counts[-1] == 400, "a tensor that never came is null in all rows"
    assert by_name["output:predict"].levels == ("0", "1")
    assert reference.rows == 400
    assert build(values, chunks=7).digest == reference.digest
    assert Layout.of_reference(reference).slots == tuple(
        slot.__class__(slot.side, slot.tensor, slot.column, slot.name, by_name[slot.name].kind)
        for slot in Layout.of_reference(reference).slots
    )
