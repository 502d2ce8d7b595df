"""Golden rows: what counts as the same answer, and what is said when it is another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from modelward_inference.artifact.bundle import Manifest, Signature, Tensor
from modelward_inference.errors import BundleInvalid, GoldenRowsDiffer
from modelward_inference.parity import golden
from modelward_inference.parity.golden import GoldenRows

PROBABILITIES = np.array([[0.9, 0.1], [0.50001, 0.49999], [0.2, 0.8]])
LABELS = np.array(["yes", "yes", "no"], dtype=object)
SIGNATURE = Signature((Tensor("x", "FP64", (-1, 1)),), (Tensor("y", "FP64", (-1,)),))


class Times:
    """Multiplies; `libraries` as at serving."""

    signature = SIGNATURE
    libraries: Mapping[str, str] = {"scikit-learn": "1.9.0"}
    warnings: Sequence[str] = ()

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def predict(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        if np.isnan(self.factor):
            raise ValueError("no factor")
        return dict.fromkeys(outputs, inputs["x"][:, 0] * self.factor)


def manifest(rows: int = 3, **trained_with: str) -> Manifest:
    return Manifest(
        "m", "onnx", "model.onnx", "sha256:0", 1, "s3://b/m", "", SIGNATURE, golden_rows=rows, trained_with=trained_with
    )


def written(folder: Path) -> Path:
    x = np.array([[1.0], [2.0], [3.0]])
    GoldenRows({"x": x}, {"y": x[:, 0] * 2}, golden.TRAINING).write(folder)
    return folder


EQUAL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "the same": ({"y": np.array([1.0])}, {"y": np.array([1.0])}),
    "single precision": ({"y": np.array([1e6, 1.0])}, {"y": np.array([1e6, 1.0], np.float32)}),
    "a sum that nearly cancels": ({"y": np.array([1.0, 1e-3, 1.2])}, {"y": np.array([1.0, 1e-3 + 9e-7, 1.2])}),
    "a small one of a row of single precision": (
        {"y": np.array([[5.0, 1e-5], [-4.0, 3.0]], np.float32)},
        {"y": np.array([[5.0, 1.1e-5], [-4.0, 3.0]], np.float32)},
    ),
    "half precision": ({"y": np.array([1.0, 2.0], np.float16)}, {"y": np.array([1.001, 2.0], np.float16)}),
    "an exact zero": ({"y": np.array([0.0, 1.0])}, {"y": np.array([1e-17, 1.0])}),
    "infinite values": ({"y": np.array([np.inf, -np.inf])}, {"y": np.array([np.inf, -np.inf])}),
    "a scalar": ({"y": np.array(2.0)}, {"y": np.array(2.0)}),
    "no rows": ({"y": np.zeros((0, 2))}, {"y": np.zeros((0, 2))}),
    "probabilities beside missing ones": (
        {"p": np.array([[np.nan, np.nan], [0.9, 0.1], [0.999999999, 1e-9]])},
        {"p": np.array([[np.nan, np.nan], [0.9, 0.1], [1.0, 0.0]])},
    ),
    "small probabilities of several classes": (
        {"predict_proba": np.array([[0.9, 0.8, 1e-9]])},
        {"predict_proba": np.array([[0.9, 0.8, 0.0]])},
    ),
    "missing values": ({"y": np.array([np.nan])}, {"y": np.array([np.nan])}),
    "a near tie": ({"p": PROBABILITIES, "l": LABELS}, {"p": PROBABILITIES, "l": np.array(["yes", "no", "no"])}),
}
OTHER: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a number": ({"y": np.array([1.0, 2.0])}, {"y": np.array([1.0, 2.1])}, "output 'y', row 1: expected 2.0, got 2.1"),
    "a missing value": ({"y": np.array([1.0])}, {"y": np.array([np.nan])}, "row 0: expected 1.0, got nan"),
    "a label": (
        {"p": PROBABILITIES, "l": LABELS}, {"p": PROBABILITIES, "l": np.array(["yes", "no", "yes"])},
        "output 'l', row 2: expected no, got yes",
    ),
    "a label without probabilities": ({"l": LABELS}, {"l": np.array(["yes", "no", "no"])}, "row 1: expected yes"),
    "a probability, however near the tie": (
        {"p": PROBABILITIES}, {"p": PROBABILITIES + np.array([[0, 0], [0.1, -0.1], [0, 0]])}, "output 'p', row 1",
    ),
    "a small one beside large ones": (
        {"y": np.array([1e6, 1e6, 1e6, 0.1])}, {"y": np.array([1e6, 1e6, 1e6, 9.0])}, "row 3: expected 0.1, got 9.0",
    ),
    "a hundredth of a small one beside large ones": (
        {"y": np.array([1e6, 1e6, 1.0])}, {"y": np.array([1e6, 1e6, 1.01])}, "row 2: expected 1.0, got 1.01",
    ),
    "a small one beside large ones, in single precision": (
        {"y": np.array([1e6, 1e6, 1.0], np.float32)}, {"y": np.array([1e6, 1e6, 1.05], np.float32)}, "row 2: expected",
    ),
    "another column's size, in single precision": (
        {"y": np.array([[1e6, 0.1], [1e6, 0.2]], np.float32)}, {"y": np.array([[1e6, 0.1], [1e6, 9]], np.float32)},
        "row 1: expected 0.2",
    ),
    "half precision, far": (
        {"y": np.array([1.0], np.float16)}, {"y": np.array([1.05], np.float16)}, "row 0: expected 1.0",
    ),
    "another column's size": (
        {"y": np.array([[1e6, 0.1], [1e6, 0.2]])}, {"y": np.array([[1e6, 0.1], [1e6, 9.0]])}, "row 1: expected 0.2",
    ),
    "a zero beside large ones": (
        {"y": np.array([1e6, 1e6, 0.0])}, {"y": np.array([1e6, 1e6, 1.0])}, "row 2: expected 0.0, got 1.0",
    ),
    "small numbers of all rows": (
        {"y": np.array([1e-9, 2e-9])}, {"y": np.array([1e-9, 3e-9])}, "row 1: expected 2e-09, got 3e-09",
    ),
    "a scalar": ({"y": np.array(2.0)}, {"y": np.array(3.0)}, "row 0: expected 2.0, got 3.0"),
    "an infinite value": ({"y": np.array([np.inf])}, {"y": np.array([1e300])}, "row 0: expected inf, got 1e+300"),
    "another infinite value": ({"y": np.array([np.inf])}, {"y": np.array([-np.inf])}, "expected inf, got -inf"),
    "a finite value": ({"y": np.array([1.0])}, {"y": np.array([np.inf])}, "row 0: expected 1.0, got inf"),
    "a label where every row is a tie": (
        {"p": np.full((3, 2), 0.5), "l": LABELS}, {"p": np.full((3, 2), 0.5), "l": np.array(["no", "yes", "no"])},
        "output 'l', row 0: expected yes, got no",
    ),
    "a label beside a missing probability": (
        {"p": np.array([[np.nan, np.nan], [0.9, 0.1]]), "l": np.array([0, 1])},
        {"p": np.array([[np.nan, np.nan], [0.9, 0.1]]), "l": np.array([1, 1])}, "output 'l', row 0",
    ),
    "a shape": ({"y": np.zeros(3)}, {"y": np.zeros((3, 1))}, "expected shape [3], got shape [3, 1]"),
}  # fmt: skip


@pytest.mark.parametrize("name", EQUAL)
def test_rounding_is_no_difference(name: str) -> None:
    assert golden.difference(*EQUAL[name]) is None


@pytest.mark.parametrize("name", OTHER)
def test_a_difference_is_told_with_output_row_and_values(name: str) -> None:
    expected, got, words = OTHER[name]
    assert words in str(golden.difference(expected, got))


def test_rows_that_reproduce_are_silent(tmp_path: Path) -> None:
    golden.verify(Times(2), written(tmp_path), manifest())


def test_rows_that_differ_stop_the_server_with_cause_and_cure(tmp_path: Path) -> None:
    with pytest.raises(GoldenRowsDiffer) as caught:
        golden.verify(Times(3), written(tmp_path), manifest(**{"scikit-learn": "1.2.0"}))
    assert str(caught.value) == (
        "The model does not reproduce its golden rows (training): output 'y', row 0: expected 2.0, got 3.0. Libraries "
        "differ: scikit-learn 1.2.0 at training, 1.9.0 here. Train with the versions of this image, or export as ONNX"
    )
    assert caught.value.reason == "GoldenRowsDiffer"


def test_a_model_that_fails_on_them_stops_the_server(tmp_path: Path) -> None:
    with pytest.raises(GoldenRowsDiffer, match="fails on its golden rows: ValueError: no factor"):
        golden.verify(Times(np.nan), written(tmp_path), manifest())


def test_without_golden_rows_nothing_is_compared(tmp_path: Path) -> None:
    golden.verify(Times(3), tmp_path, manifest(rows=0))


def test_texts_and_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    inputs = {"a/b": np.array([["é"], [""]], dtype=object), "n": np.array([[1], [2]], np.int8)}
    rows = GoldenRows(inputs, {"l": LABELS[:2], "p": PROBABILITIES[:2]}, golden.GENERATED)
    rows.write(tmp_path)
    read = GoldenRows.read(tmp_path)
    assert (read.origin, read.tolerance, read.count) == (golden.GENERATED, golden.Tolerance(), 2)
    for before, after in ((rows.inputs, read.inputs), (rows.expected, read.expected)):
        assert list(before) == list(after)
        assert all(np.array_equal(before[name], after[name]) for name in before)
        assert all(before[name].dtype == after[name].dtype for name in before)


def test_no_artifact_says_how_far_its_answers_may_lie_apart(tmp_path: Path) -> None:
    rows = GoldenRows({"x": np.ones((1, 1))}, {"y": np.array([2.0])}, golden.TRAINING, golden.Tolerance(rtol=9e9))
    rows.write(tmp_path)
    with np.load(tmp_path / golden.FILE) as stored:
        parts = dict(stored)
    about = orjson.loads(parts.pop("about").tobytes())
    forged = {**about, "tolerance": {"rtol": 9e9, "atol": 9e9, "margin": 1.0}}
    np.savez(tmp_path / golden.FILE, about=np.frombuffer(orjson.dumps(forged), np.uint8), **parts)
    with pytest.raises(GoldenRowsDiffer, match=r"expected 2\.0, got 3\.0"):
        golden.verify(Times(3), tmp_path, manifest(rows=1))


def test_golden_rows_with_pickles_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / golden.FILE, about=np.array([{"a": 1}], dtype=object))
    with pytest.raises(BundleInvalid, match="can't be read"):
        GoldenRows.read(tmp_path)
