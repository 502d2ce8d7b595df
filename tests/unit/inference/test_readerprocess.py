"""Large bodies are read by a process of their own, and what that answers is what reading them here would give."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import threading
import zlib
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest

from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.engine import readerprocess
from modelward_inference.engine.bodies import Bodies
from modelward_inference.engine.readerprocess import FIRST_KILLED, NICENESS, ReaderProcess
from modelward_inference.engine.sharedbytes import SharedBytes
from modelward_inference.protocol import codec
from modelward_inference.protocol.messages import InferRequest, OverloadedError, RequestError
from modelward_inference.protocol.reading import Decode, Reading, TooMuchError
from modelward_inference.protocol.v1 import V1

ROWS = 400_000


def document(values: str, datatype: str = "FP32", **more: Any) -> bytes:
    rest = "".join(f",{json.dumps(name)}:{json.dumps(value)}" for name, value in more.items())
    text = f'{{"inputs":[{{"name":"x","shape":[{ROWS},1],"datatype":"{datatype}","data":[{values}]}}]{rest}}}'
    return text.encode()


FLOATS = document(",".join(["1.5", "-2e30", "null", "0.1"] * (ROWS // 4)), id="7", parameters={"a": 1})
TEXTS = document(",".join(['"ä"', '""'] * (ROWS // 2)), "BYTES", outputs=[{"name": "y"}])


MEBIBYTE = 1 << 20


async def read(
    reader: ReaderProcess, decode: Decode, body: bytes, encoding: str = "", room: int = 1 << 30
) -> InferRequest:
    shared = SharedBytes()
    shared.write(body)
    return (await reader.read(Reading(decode, None, encoding, 64 << 20), shared, room))[0]


def same(one: InferRequest, other: InferRequest) -> None:
    assert (one.id, one.outputs, one.parameters) == (other.id, other.outputs, other.parameters)
    for mine, theirs in zip(one.inputs, other.inputs, strict=True):
        assert mine.name == theirs.name
        np.testing.assert_array_equal(mine.array, theirs.array)
        assert mine.array.dtype == theirs.array.dtype


@pytest.mark.parametrize("encoding", ["", "deflate"])
@pytest.mark.parametrize("body", [FLOATS, TEXTS], ids=["numbers", "texts"])
async def test_a_request_is_the_same_wherever_it_is_read(body: bytes, encoding: str) -> None:
    assert len(body) > MEBIBYTE
    bodies = Bodies()
    with bodies.hold() as held:
        sent = zlib.compress(body, 0) if encoding else body
        found = await bodies.read(Reading(codec.decode, None, encoding, 64 << 20), sent, held)
        assert bodies.held == (len(body) if encoding else 0), "what it unpacked to is held"
    same(found, codec.decode(body, None))
    assert bodies.held == 0


async def test_v1_as_well() -> None:
    signature = Signature((Tensor("x", "FP32", (-1, 1)),), (Tensor("y", "FP32", (-1,)),))
    form = V1(signature, 1_000_000)
    body = b'{"instances":[' + b",".join([b"[1.5]"] * 300_000) + b"]}"
    same(await read(ReaderProcess(), form.decode, body), form.decode(body, None))


async def test_what_is_refused_is_refused_in_the_same_words() -> None:
    reader = ReaderProcess()
    for body in (FLOATS[:-2], document("[1]," * (ROWS - 1) + "[1,2]"), b"[" * 2 * MEBIBYTE):
        with pytest.raises(RequestError) as here:
            codec.decode(body, None)
        with pytest.raises(RequestError) as there:
            await read(reader, codec.decode, body)
        assert (str(there.value), there.value.status) == (str(here.value), here.value.status)
    same(await read(reader, codec.decode, FLOATS), codec.decode(FLOATS, None))


async def test_what_is_refused_leaves_no_memory_behind() -> None:
    """Nothing that only the collector of cycles would find: it comes when hundreds of large bodies are there."""
    reader = ReaderProcess()
    await read(reader, codec.decode, FLOATS)
    gc.collect()
    gc.disable()
    try:
        for _ in range(5):
            with contextlib.suppress(RequestError):
                await read(reader, codec.decode, FLOATS[:-2])
            same(await read(reader, codec.decode, TEXTS), codec.decode(TEXTS, None))
        left = [os.readlink(each) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    finally:
        gc.enable()
    assert not [each for each in left if "memfd" in each]


async def test_one_process_reads_all_and_gets_the_processor_last() -> None:
    reader = ReaderProcess()
    await asyncio.gather(*(read(reader, codec.decode, FLOATS) for _ in range(3)))
    assert reader.other is not None
    process = reader.other.process
    await read(reader, codec.decode, FLOATS)
    assert reader.other.process is process
    assert os.getpriority(os.PRIO_PROCESS, process.pid) >= NICENESS
    assert int(Path(f"/proc/{process.pid}/oom_score_adj").read_text()) == FIRST_KILLED


async def test_who_leaves_while_his_body_is_read_spoils_no_other_answer() -> None:
    reader = ReaderProcess()
    await read(reader, codec.decode, FLOATS)
    leaving = [asyncio.ensure_future(read(reader, codec.decode, FLOATS)) for _ in range(3)]
    await asyncio.sleep(0)
    for each in leaving:
        each.cancel()
    same(await read(reader, codec.decode, TEXTS), codec.decode(TEXTS, None))


async def test_a_process_that_ended_costs_one_body() -> None:
    reader = ReaderProcess()
    await read(reader, codec.decode, FLOATS)
    assert reader.other is not None
    os.kill(reader.other.process.pid, signal.SIGKILL)
    with pytest.raises(OverloadedError, match="ended, most likely for want of memory"):
        await read(reader, codec.decode, FLOATS)
    same(await read(reader, codec.decode, FLOATS), codec.decode(FLOATS, None))


async def test_a_process_that_does_not_answer_costs_one_body() -> None:
    reader = ReaderProcess()
    await read(reader, codec.decode, FLOATS)
    assert reader.other is not None
    os.kill(reader.other.process.pid, signal.SIGSTOP)
    with mock.patch.object(readerprocess, "SECONDS", 0.1), pytest.raises(OverloadedError):
        await read(reader, codec.decode, FLOATS)
    same(await read(reader, codec.decode, FLOATS), codec.decode(FLOATS, None))


async def test_a_request_that_ends_while_its_body_is_handed_over_leaves_no_descriptor_to_others() -> None:
    """The thread that writes would go on to write to whatever got the number next."""
    bodies, begun, go_on = Bodies(), threading.Event(), threading.Event()
    bodies._far.ready = True

    def slowly(content: bytes) -> SharedBytes:
        made = SharedBytes()
        begun.set()
        assert go_on.wait(60)
        made.write(content)
        return made

    async def ask() -> None:
        with bodies.hold() as held:
            await bodies.read(Reading(codec.decode), FLOATS, held)

    with mock.patch("modelward_inference.engine.bodies.written", slowly):
        asking = asyncio.ensure_future(ask())
        await asyncio.to_thread(begun.wait, 60)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        readable, writable = os.pipe()
        go_on.set()
    await asyncio.to_thread(bodies._readers.shutdown)
    os.close(writable)
    assert os.read(readable, 1) == b""
    os.close(readable)


async def test_it_ends_with_the_server() -> None:
    reader = ReaderProcess()
    await read(reader, codec.decode, FLOATS)
    assert reader.other is not None
    process = reader.other.process
    asyncio.get_running_loop().remove_reader(reader.other.connection)
    reader.other.connection.close()  # as the end of the server's process does
    assert await asyncio.to_thread(process.wait, 60) == 0


async def test_what_has_no_room_is_not_read() -> None:
    reader = ReaderProcess()
    packed = zlib.compress(FLOATS, 0)
    with pytest.raises(TooMuchError) as caught:
        await read(reader, codec.decode, packed, "deflate", len(FLOATS) - 1)
    assert caught.value.size == len(FLOATS)
    same(await read(reader, codec.decode, packed, "deflate", len(FLOATS)), codec.decode(FLOATS, None))


async def test_a_small_body_does_not_wait_for_all_that_came_before_it() -> None:
    reader, order = ReaderProcess(), list[int]()

    async def ask(body: bytes) -> None:
        await read(reader, codec.decode, body)
        order.append(len(body))

    small = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()
    await asyncio.gather(*(ask(FLOATS) for _ in range(6)), ask(small))
    assert order.index(len(small)) <= 2


async def test_who_sends_much_is_not_passed_for_ever() -> None:
    reader, order = ReaderProcess(), list[int]()

    async def ask(body: bytes) -> None:
        await read(reader, codec.decode, body)
        order.append(len(body))

    small = json.dumps({"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1]}]}).encode()
    await asyncio.gather(*(ask(small) for _ in range(3)), ask(FLOATS), *(ask(small) for _ in range(10)))
    assert order.index(len(FLOATS)) < len(order) - 1


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
    assert most <= 1
