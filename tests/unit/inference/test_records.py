"""Requests as one process writes them for another one, and what a process that was taken over could write instead."""

import fcntl
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelward_inference.engine import records
from modelward_inference.engine.sharedbytes import SharedBytes, mapped
from modelward_inference.protocol.messages import InferRequest, Input, WantedOutput


def through(request: InferRequest) -> tuple[InferRequest, int]:
    """What is read of it, and in how many pieces."""
    written = SharedBytes()
    records.write(request, written)
    *before, found = records.read(written.mapped())
    written.close()
    assert found is not None
    return found, len(before)


TEXTS = np.array([["a", None], [b"\xff", "ü" * 70_000]], object)
ARRAYS = {
    "FP32": np.arange(6, dtype="<f4").reshape(2, 3),
    "FP16": np.array([1.5], "<f2"),
    "INT64": np.arange(24).reshape(2, 3, 4)[:, ::2],
    "UINT8": np.empty((0, 5), np.uint8),
    "BOOL": np.array(True),
    "BYTES": TEXTS,
}


@pytest.mark.parametrize("datatype", ARRAYS)
def test_a_tensor_is_the_same_on_the_other_side(datatype: str) -> None:
    array = ARRAYS[datatype]
    found = through(InferRequest((Input("x", datatype, array), Input("y", "FP32", ARRAYS["FP32"]))))[0]
    np.testing.assert_array_equal(found.inputs[0].array, array)
    assert (found.inputs[0].array.dtype, found.inputs[0].array.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(found.inputs[1].array, ARRAYS["FP32"])


def test_so_is_the_rest_of_a_request() -> None:
    parameters = {"inputs": True, "a": 1, "b": 2**64 - 1, "c": float("inf"), "d": "\ud800", "e": None}
    wanted = (WantedOutput("y", True), WantedOutput("z"))
    sent = InferRequest((Input("x", "FP32", ARRAYS["FP32"]),), wanted, "7", True, parameters)
    found = through(sent)[0]
    assert (found.id, found.binary_output, found.outputs, found.parameters) == ("7", True, wanted, parameters)


def test_parameters_that_mean_nothing_cost_nothing() -> None:
    parameters = {"a": 1, "b": [1] * 100_000, "c": {"d": 1}} | {f"e{each}": 1 for each in range(100_000)}
    found = through(InferRequest((), parameters=parameters))[0]
    assert found.parameters["a"] == 1
    assert len(found.parameters) < records.MAX_PARAMETERS


@pytest.mark.parametrize(
    ("request_", "least"),
    [
        (InferRequest((), tuple(WantedOutput(str(each)) for each in range(10_000))), 20),
        (InferRequest(tuple(Input(str(each), "FP32", ARRAYS["FP32"]) for each in range(10_000))), 40),
        (InferRequest((Input("x", "BYTES", np.full(10_000, "a", object)),)), 20),
        (InferRequest((Input("x", "BYTES", np.full(100, "a" * 65_000, object)),)), 50),
    ],
    ids=["outputs", "inputs", "texts", "long texts"],
)
def test_an_event_loop_turns_between_its_pieces(request_: InferRequest, least: int) -> None:
    assert through(request_)[1] >= least


def pieces(*written: bytes | object) -> memoryview:
    """Bytes as they are, all else pickled."""
    to = SharedBytes()
    for each in written:
        records._write(each if isinstance(each, bytes) else pickle.dumps(each), to)
    content = to.mapped()
    to.close()
    return content


HEAD = (None, False, {}, 0, 1)
HOSTILE: dict[str, tuple[Any, ...]] = {
    "a function": (os.system,),
    "a class": (Path("/"),),
    "an array of numpy's own": (np.ones(3),),
    "a request": (InferRequest(()),),
    "an array of objects": (HEAD, [("x", "BYTES", "|O", (1,))], bytes(8)),
    "an array of structures": (HEAD, [("x", "BYTES", "V8", (1,))], bytes(8)),
    "more numbers than there are": (HEAD, [("x", "FP32", "<f4", (10**12,))], bytes(4)),
    "more texts than there are": (HEAD, [("x", "BYTES", "", (10**12,))], ["a"]),
    "no texts, for ever": (HEAD, [("x", "BYTES", "", (3,))], []),
    "too many texts": (HEAD, [("x", "BYTES", "", (1,))], ["a", "b"]),
    "no inputs, for ever": (HEAD, []),
    "no more": (HEAD,),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_no_part_of_a_request_is_not_read(name: str) -> None:
    with pytest.raises((pickle.UnpicklingError, ValueError, TypeError, struct.error)):
        list(records.read(pieces(*HOSTILE[name])))


def test_a_piece_does_not_reach_beyond_the_end() -> None:
    with pytest.raises(ValueError, match="longer than what there is"):
        list(records.read(memoryview(struct.pack("<Q", 1 << 40) + bytes(64))))


def test_what_was_mapped_can_not_be_taken_away() -> None:
    """Memory that another process may shrink ends whoever looks at it."""
    written = SharedBytes()
    written.write(bytes(4096))
    other = os.dup(written.fileno())
    content = mapped(os.dup(written.fileno()), 4096)
    with pytest.raises(PermissionError):
        os.ftruncate(other, 0)
    with pytest.raises(PermissionError):
        os.pwrite(other, b"x", 0)
    assert bytes(content) == bytes(4096)
    os.close(other)
    written.close()


@pytest.mark.parametrize("case", ["another size", "writable elsewhere", "a pipe", "sealed against seals"])
def test_what_can_not_be_trusted_to_stay_is_not_mapped(case: str, tmp_path: Path) -> None:
    fd, size = os.memfd_create("x", os.MFD_ALLOW_SEALING), 4096
    os.ftruncate(fd, size)
    if case == "another size":
        size = 8192
    elif case == "writable elsewhere":
        os.close(fd)
        (tmp_path / "file").write_bytes(bytes(size))
        fd = os.open(tmp_path / "file", os.O_RDWR)
    elif case == "a pipe":
        os.close(fd)
        fd, end = os.pipe()
        os.close(end)
    else:
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL)
    with pytest.raises(ValueError, match=r"sealed|size"):
        mapped(fd, size)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(fd)
