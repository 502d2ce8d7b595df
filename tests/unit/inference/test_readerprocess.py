"""Very large bodies are read by a process of their own, and what that answers is what reading them here would give."""

import asyncio
import io
import json
import os
import pickle
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.engine.bodies import LARGE, Bodies
from modelward_inference.engine.readerprocess import FAR, NICENESS, ReaderProcess, _Answer
from modelward_inference.protocol import codec
from modelward_inference.protocol.messages import InferRequest, OverloadedError, RequestError
from modelward_inference.protocol.v1 import V1

ROWS = 400_000


def document(values: str, datatype: str = "FP32", **more: Any) -> bytes:
    rest = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in more.items())
    text = f'{{"inputs":[{{"name":"x","shape":[{ROWS},1],"datatype":"{datatype}","data":[{values}]}}]{rest}}}'
    return text.encode()


FLOATS = document(",".join(["1.5", "-2e30", "null", "0.1"] * (ROWS // 4)), id="7", parameters={"a": 1})
TEXTS = document(",".join(['"ä"', '""'] * (ROWS // 2)), "BYTES", outputs=[{"name": "y"}])


def same(one: InferRequest, other: InferRequest) -> None:
    assert (one.id, one.outputs, one.parameters) == (other.id, other.outputs, other.parameters)
    for mine, theirs in zip(one.inputs, other.inputs, strict=True):
        assert mine.name == theirs.name
        np.testing.assert_array_equal(mine.array, theirs.array)
        assert mine.array.dtype == theirs.array.dtype


@pytest.mark.parametrize("body", [FLOATS, TEXTS], ids=["numbers", "texts"])
async def test_a_request_is_the_same_wherever_it_is_read(body: bytes) -> None:
    assert len(body) > FAR
    same(await Bodies().decoded(codec.decode, body, None), codec.decode(body, None))


async def test_v1_as_well() -> None:
    signature = Signature((Tensor("x", "FP32", (-1, 1)),), (Tensor("y", "FP32", (-1,)),))
    form = V1(signature, 1_000_000)
    body = b'{"instances":[' + b",".join([b"[1.5]"] * 300_000) + b"]}"
    same(await ReaderProcess().read(form.decode, body, None), form.decode(body, None))


async def test_what_is_refused_is_refused_in_the_same_words() -> None:
    reader = ReaderProcess()
    for body in (FLOATS[:-2], document("[1]," * (ROWS - 1) + "[1,2]"), b"[" * FAR * 2):
        with pytest.raises(RequestError) as here:
            codec.decode(body, None)
        with pytest.raises(RequestError) as there:
            await reader.read(codec.decode, body, None)
        assert (str(there.value), there.value.status) == (str(here.value), here.value.status)
    same(await reader.read(codec.decode, FLOATS, None), codec.decode(FLOATS, None))


async def test_one_process_reads_all_and_gets_the_processor_last() -> None:
    reader = ReaderProcess()
    await asyncio.gather(*(reader.read(codec.decode, FLOATS, None) for _ in range(3)))
    process = reader._process
    assert process is not None
    await reader.read(codec.decode, FLOATS, None)
    assert reader._process is process
    assert os.getpriority(os.PRIO_PROCESS, process.pid) >= NICENESS


async def test_who_leaves_while_his_body_is_read_spoils_no_other_answer() -> None:
    reader = ReaderProcess()
    await reader.read(codec.decode, FLOATS, None)
    leaving = [asyncio.ensure_future(reader.read(codec.decode, FLOATS, None)) for _ in range(3)]
    await asyncio.sleep(0)
    for each in leaving:
        each.cancel()
    same(await reader.read(codec.decode, TEXTS, None), codec.decode(TEXTS, None))


async def test_a_process_that_ended_costs_one_body() -> None:
    reader = ReaderProcess()
    await reader.read(codec.decode, FLOATS, None)
    assert reader._process is not None
    os.kill(reader._process.pid, signal.SIGKILL)
    with pytest.raises(OverloadedError, match="ended, most likely for want of memory"):
        await reader.read(codec.decode, FLOATS, None)
    same(await reader.read(codec.decode, FLOATS, None), codec.decode(FLOATS, None))


async def test_it_ends_with_the_server() -> None:
    reader = ReaderProcess()
    await reader.read(codec.decode, FLOATS, None)
    process = reader._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # as the end of the server's process does
    assert await asyncio.wait_for(process.wait(), 60) == 0


def test_what_is_no_part_of_a_request_is_not_unpickled() -> None:
    for hostile in (os.system, Path, eval):
        with pytest.raises(pickle.UnpicklingError, match="is no part of a request"):
            _Answer(io.BytesIO(pickle.dumps(hostile))).load()


async def test_parts_of_large_bodies_leave_room_for_others() -> None:
    """However many send much, the loop turns between two of their parts."""
    bodies, turns, taken = Bodies(), [0], []

    async def count() -> None:
        while len(taken) < 40:
            turns[0] += 1
            await asyncio.sleep(0)

    async def send() -> None:
        await bodies.turn()
        taken.append(turns[0])

    await asyncio.gather(count(), *(send() for _ in range(40)))
    most = max(taken.count(turn) for turn in set(taken))
    assert most <= 2
    assert LARGE < FAR
