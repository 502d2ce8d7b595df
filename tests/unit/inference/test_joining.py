"""Requests are joined only where it was proven that no answer changes: an open first axis need not be a batch."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from modelward_inference import runtimes
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Manifest, Signature, Tensor
from modelward_inference.compile import joining
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.protocol.messages import InferRequest, Input, RequestError

pytestmark = pytest.mark.unit

TABLE = Signature((Tensor("x", "FP32", (-1, 3)),), (Tensor("y", "FP32", (-1, 3)),))


class Function:
    """A model of one numpy function."""

    libraries: Mapping[str, str] = {}
    warnings: Sequence[str] = ()
    signature = TABLE

    def __init__(self, function: Callable[[Array], Array]) -> None:
        self.function = function

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        return {name: self.function(inputs["x"]) for name in outputs}


MIXES: dict[str, Callable[[Array], Array]] = {
    "the mean": lambda x: x - x.mean(axis=0),
    "a softmax along the rows": lambda x: np.exp(x - x.max(axis=0)) / np.exp(x - x.max(axis=0)).sum(axis=0),
    "a cumulative sum": lambda x: np.cumsum(x, axis=0, dtype=np.float64).astype(np.float32),
    "the row before": lambda x: np.concatenate((x[:1] * 0, x[:-1])),
    "the row behind": lambda x: np.concatenate((x[1:], x[:1] * 0)),
    "the place": lambda x: x + np.arange(len(x), dtype=np.float32)[:, None],
    "how many there are": lambda x: x / len(x),
    "only the largest, and it is far away": lambda x: np.where(x.max() > 1000, x / x.max(), x),
    "only the smallest, and it is far below": lambda x: np.where(x.min() < -5000, x * 0, x),
    "infinite values of others": lambda x: np.where(np.isinf(x).any(), np.zeros_like(x), x),
    "more than a hundred": lambda x: np.where(len(x) > 100, x * 0, x),
    "rows that are alike": lambda x: x / (x[:, None] == x).all(axis=2).sum(axis=1, keepdims=True),
    "missing values of others": lambda x: np.where(np.isnan(x).any(), x * 0, x),
    "fewer answers than rows": lambda x: x[:1],
    "the order": lambda x: np.sort(x, axis=0),
}


@pytest.mark.parametrize("name", MIXES)
def test_what_mixes_rows_is_not_joined(name: str) -> None:
    found = joining.prove(Function(MIXES[name]), None)
    assert not found.joins
    assert "alone" in found.reason or "as many" in found.reason


class Padded(Function):
    """Texts of other lengths than the longest are filled up, and what fills them counts."""

    signature = Signature((Tensor("x", "BYTES", (-1, 1)),), (Tensor("y", "FP64", (-1,)),))

    def __init__(self, unit: Callable[[str], int], least: int) -> None:
        super().__init__(lambda x: np.array([unit(text) / max(least, *map(unit, x.flat)) for text in x.flat]))


@pytest.mark.parametrize(("unit", "least"), [(len, 1), (lambda text: len(text.split()), 1), (len, 100)])
def test_texts_that_are_filled_up_to_the_longest_are_not_joined(unit: Callable[[str], int], least: int) -> None:
    found = joining.prove(Padded(unit, least), None)
    assert not found.joins
    assert "alone" in found.reason


def test_texts_that_are_read_one_by_one_are_joined() -> None:
    model = Padded(len, 10**6)
    assert joining.prove(model, None).joins
    beside = {"x": np.array([["a"], ["b c"]], object)}
    assert joining.prove(model, beside).joins


@pytest.mark.parametrize(("kind", "bound"), [(np.int64, 900), (np.int64, 10**6), (np.int16, 900), (np.int64, -(10**6))])
def test_large_whole_numbers_mix_rows_too(kind: type, bound: int) -> None:
    def shifted(x: Array) -> Array:
        return np.asarray(x - (max(x.max(), bound) if bound > 0 else min(x.min(), bound)))

    model = Function(shifted)
    name = "INT64" if kind is np.int64 else "INT16"
    model.signature = Signature((Tensor("x", name, (-1, 3)),), (Tensor("y", name, (-1, 3)),))
    found = joining.prove(model, None)
    assert not found.joins
    assert "beside extreme ones" in found.reason


def test_a_table_that_whole_numbers_are_looked_up_in_is_joined() -> None:
    model = Function(lambda x: np.arange(1000.0)[x])
    model.signature = Signature((Tensor("x", "INT64", (-1, 3)),), (Tensor("y", "FP64", (-1, 3)),))
    assert joining.prove(model, None).joins


@pytest.mark.parametrize("function", [np.tanh, lambda x: x @ np.full((3, 3), 0.1, np.float32), lambda x: x * 0])
def test_what_answers_row_by_row_is_joined(function: Callable[[Array], Array]) -> None:
    assert joining.prove(Function(function), None).joins


def test_answers_that_are_large_are_asked_for_fewer_rows() -> None:
    """A picture for three numbers: of 300 at once the memory of the step would be gone."""
    asked = []

    def draw(x: Array) -> Array:
        asked.append(len(x))
        return np.repeat(x, 1 << 14, axis=1)

    assert joining.prove(Function(draw), None).joins
    assert joining.ROWS < max(asked) <= joining.MANY_BYTES // (3 * (1 << 14) * 4)


def test_long_texts_are_asked_for_fewer_rows() -> None:
    texts = np.array(["w" * 200_000] * joining.ROWS, object).reshape(-1, 1)
    asked = []
    model = Padded(len, 1)

    def answer(x: Array) -> Array:
        asked.append(len(x))
        return np.ones(len(x))

    model.function = answer
    assert joining.prove(model, {"x": texts}).joins
    assert joining.ROWS < max(asked) <= joining.MANY_BYTES // 200_000


def test_a_model_that_is_very_slow_is_not_asked_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(joining, "time", SimpleNamespace(monotonic=lambda: clock[0]))

    def slow(x: Array) -> Array:
        clock[0] += 5.0 * len(x)
        return np.tanh(x)

    found = joining.prove(Function(slow), None)
    assert (found.joins, found.reason) == (False, "not proven: asking the model took more than 240 seconds")
    assert clock[0] < 400


def test_what_can_not_be_asked_is_not_joined() -> None:
    def refuse(x: Array) -> Array:
        raise ValueError("not this one")

    found = joining.prove(Function(refuse), None)
    assert not found.joins
    assert "not proven: the model refuses" in found.reason
    assert "not this one" in found.reason


def plane_of(model: Any, name: str = "m") -> DataPlane:
    digest = "sha256:" + "0" * 64
    manifest = Manifest(name, "onnx", "model.onnx", digest, 1, "", "", model.signature)
    proven = Manifest(**{**vars(manifest), "joining": joining.prove(model, None)})
    return DataPlane(model, proven, "1", workers=2, max_waiting=1000)


async def test_clients_who_come_together_get_their_own_answers() -> None:
    plane = plane_of(Function(MIXES["the mean"]))
    arrays = [np.random.default_rng(n).normal(size=(4, 3)).astype(np.float32) for n in range(64)]
    answers = await asyncio.gather(*(plane.infer(InferRequest((Input("x", "FP32", each),))) for each in arrays))
    for array, answer in zip(arrays, answers, strict=True):
        np.testing.assert_array_equal(answer.outputs["y"], array - array.mean(axis=0))


def test_a_manifest_without_a_proof_joins_nothing() -> None:
    model = Function(np.tanh)
    plane = DataPlane(model, Manifest("m", "onnx", "f", "", 1, "", "", TABLE), "1", workers=1, max_waiting=1)
    assert not plane._batches


def graph(tmp_path: Path, second: str) -> Any:
    """Nodes and edges: the sums of both."""
    made = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["nodes"], ["a"], keepdims=0),
            helper.make_node("ReduceSum", ["edges"], ["b"], keepdims=0),
            helper.make_node("Add", ["a", "b"], ["total"]),
        ],
        "g",
        [
            helper.make_tensor_value_info("nodes", TensorProto.FLOAT, ["n", 3]),
            helper.make_tensor_value_info("edges", TensorProto.FLOAT, [second, 2]),
        ],
        [helper.make_tensor_value_info("total", TensorProto.FLOAT, [])],
    )
    path = tmp_path / "m.onnx"
    opsets = [helper.make_opsetid("", 18)]
    path.write_bytes(helper.make_model(made, opset_imports=opsets, ir_version=9).SerializeToString())
    return runtimes.load("onnx", path)


async def test_axes_of_different_names_have_different_sizes(tmp_path: Path) -> None:
    plane = plane_of(graph(tmp_path, "e"))
    inputs = (Input("nodes", "FP32", np.ones((2, 3), np.float32)), Input("edges", "FP32", np.ones((5, 2), np.float32)))
    assert (await plane.infer(InferRequest(inputs))).outputs["total"] == 16


async def test_axes_of_one_name_have_one_size(tmp_path: Path) -> None:
    plane = plane_of(graph(tmp_path, "n"))
    inputs = (Input("nodes", "FP32", np.ones((2, 3), np.float32)), Input("edges", "FP32", np.ones((5, 2), np.float32)))
    with pytest.raises(RequestError, match="differ in their number of rows"):
        await plane.infer(InferRequest(inputs))
