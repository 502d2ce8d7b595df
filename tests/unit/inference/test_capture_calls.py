"""How calls of the model are joined, and how much memory they are reckoned to take."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from modelward_inference.capture.calls import PIECE, Call, call, groups, joined

from .processes import DEADLINE, environment


def objects(*values: Any) -> Any:
    return np.fromiter(values, object, len(values))


def all_joined(*calls: Call) -> list[Call]:
    return [each for group in groups(calls) for each in joined(group)]


def tensors(each: Call) -> dict[str, Any]:
    return {name: array.tolist() for name, array in (each.inputs | each.outputs).items()}  # type: ignore[operator]


def test_columns_and_matrices_and_texts_are_joined() -> None:
    calls = [
        call({"a": np.full((rows, 1), rows, np.float32), "b": objects(*"xyz"[:rows])}, {"y": np.ones((rows, 2))}, rows)
        for rows in (1, 2, 3)
    ]
    (one,) = all_joined(*calls)
    assert one.rows == 6
    assert tensors(one) == {
        "a": [[1]] + [[2]] * 2 + [[3]] * 3, "b": ["x", "x", "y", "x", "y", "z"], "y": [[1, 1]] * 6,
    }  # fmt: skip
    assert one.inputs["a"].dtype == np.float32


X = np.ones((2, 2), np.float32)


@pytest.mark.parametrize(
    "other",
    [
        call({"x": X}, {}, 2),
        call({"x": X}, {"y": np.ones(2)}, 2),
        call({"x": X}, {"y": np.ones((2, 3), int)}, 2),
        call({"x": np.ones((2, 3), np.float32)}, {"y": np.ones(2, int)}, 2),
        call({"x": X}, {"y": np.array(["a", "b"])}, 2),
    ],
    ids=["fewer outputs", "another type", "more dimensions", "another width", "texts"],
)
def test_what_differs_stays_apart(other: Call) -> None:
    usual = [call({"x": X}, {"y": np.ones(2, int)}, 2) for _ in range(2)]
    found = all_joined(usual[0], other, usual[1])
    assert sorted(each.rows for each in found) == [2, 4]
    alone = next(each for each in found if each.rows == 2)
    assert tensors(alone) == tensors(other)


def test_a_model_without_rows_has_one_a_call() -> None:
    found = all_joined(*[call({"x": np.ones((4, 3))}, {"y": np.ones(())}, 1) for _ in range(2)])
    assert [each.rows for each in found] == [1, 1]
    assert found[0].inputs["x"].shape == (1, 4, 3)
    assert found[0].outputs["y"].shape == (1,)


def test_a_tensor_that_belongs_to_no_row_is_left_out() -> None:
    (found,) = all_joined(call({"x": X, "scale": np.ones(1)}, {"y": np.ones(2), "total": np.ones(())}, 2))
    assert tensors(found) == {"x": [[1, 1], [1, 1]], "y": [1, 1]}


def test_a_large_call_comes_in_pieces_and_whole() -> None:
    rows = 5 * PIECE // 240 + 1
    x = np.arange(rows * 30, dtype=np.float64).reshape(rows, 30)
    found = all_joined(call({"x": x}, {"y": np.arange(rows)}, rows))
    assert len(found) == 6
    assert all(each.size <= PIECE for each in found)
    assert sum(each.rows for each in found) == rows
    assert np.array_equal(np.concatenate([each.inputs["x"] for each in found]), x)
    assert np.array_equal(np.concatenate([each.outputs["y"] for each in found]), np.arange(rows))


def test_a_piece_does_not_keep_the_whole_in_memory() -> None:
    body = bytes(8_000_000)
    x = np.frombuffer(memoryview(body), np.float64)[:100]
    (found,) = all_joined(call({"x": x}, {}, 100))
    assert found.inputs["x"].base is None
    whole = np.frombuffer(memoryview(body), np.float64)[:900_000]
    assert all(each.inputs["x"].base is None for each in all_joined(call({"x": whole}, {}, 900_000)))


def test_texts_take_what_they_point_to() -> None:
    assert call({"x": objects("a" * 100_000, b"b" * 50_000)}, {}, 2).size > 150_000
    assert call({"x": np.ones((1000, 30))}, {}, 1000).size > 240_000


def test_the_allocator_can_be_told_to_keep_memory() -> None:
    ended = subprocess.run([sys.executable, "-c", KEEPS], env=environment(), check=False, timeout=DEADLINE)
    assert ended.returncode == 0


KEEPS = """
import platform, resource
import numpy as np
from modelward_inference.capture.memory import keep_freed

assert keep_freed(64 << 20) == (platform.libc_ver()[0] == "glibc")
for turn in range(8):
    arrays = [np.ones(1 << 17) for _ in range(16)]
    if turn == 1:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    del arrays
after = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
assert after - before < 6 * 16 * 256 / 4, after - before  # a quarter of the pages that the arrays have
"""
