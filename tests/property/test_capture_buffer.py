"""Whatever comes, is sent, lost and acknowledged in whatever order: each row is told of once, and memory is bounded."""

from typing import Any

import numpy as np
import orjson
from hypothesis import given
from hypothesis import strategies as st

from modelward_inference.capture.buffer import Buffer, Frame
from modelward_inference.capture.wire import LENGTHS, Batch, load_batch

LIMIT = 64 << 10

STEPS = st.lists(
    st.tuples(st.just("take"), st.integers(1, 400), st.booleans())
    | st.tuples(st.sampled_from(["join", "reconnect"]))
    | st.tuples(st.sampled_from(["send", "acknowledge"]), st.integers(1, 4)),
    max_size=60,
)


def read(frame: Frame) -> Batch:
    written = b"".join(frame.pieces)
    head, _ = LENGTHS.unpack(written[: LENGTHS.size])
    return load_batch(written[LENGTHS.size : LENGTHS.size + head], written[LENGTHS.size + head :])


@given(STEPS, st.sampled_from([1.0, 0.5]), st.randoms(use_true_random=False))
def test_every_row_is_told_of_once(steps: list[Any], sampling: float, random: Any) -> None:
    buffer = Buffer(LIMIT, sampling, random.random)
    disk: dict[int, Batch] = {}
    came = cursor = 0

    def send() -> None:
        nonlocal cursor
        frame = buffer.after(cursor)
        if frame is not None:
            cursor += 1
            batch = read(frame)
            assert batch.number == cursor
            assert cursor not in disk or orjson.dumps(disk[cursor].rows) == orjson.dumps(batch.rows)
            unsaved[cursor] = batch

    def acknowledge(count: int) -> None:
        for number in sorted(unsaved)[:count]:
            disk[number] = unsaved.pop(number)
            buffer.forget(number)

    unsaved: dict[int, Batch] = {}
    for name, *given_ in steps:
        match name:
            case "take":
                rows, texts = given_
                values: Any = np.arange(came, came + rows)
                buffer.take({"x": values.astype(str).astype(object) if texts else values}, {}, rows)
                came += rows
            case "join":
                buffer.join()
            case "send":
                for _ in range(given_[0]):
                    send()
            case "acknowledge":
                acknowledge(given_[0])
            case _:
                unsaved.clear()
                cursor = buffer.acknowledged
        assert buffer.size <= LIMIT + 4096
    for _ in range(200):
        if buffer.settled:
            break
        buffer.join()
        send()
        acknowledge(1)
    assert buffer.settled
    assert buffer.size == 0
    assert sorted(disk) == list(range(1, len(disk) + 1))
    seen = sorted(int(value) for batch in disk.values() if batch.rows for value in batch.inputs["x"])
    assert len(seen) == len(set(seen)) == buffer.rows_sent == buffer.rows_acknowledged
    assert len(seen) + buffer.dropped + buffer.sampled_out == came
    if disk:
        last = disk[len(disk)]
        assert (last.dropped, last.sampled_out) == (buffer.dropped, buffer.sampled_out)


class Unwritable:
    def __str__(self) -> str:
        raise ValueError("no words")


def test_what_cannot_be_read_or_written_is_dropped_and_costs_nobody_else() -> None:
    buffer = Buffer(LIMIT)
    odd: Any = {"x": np.fromiter([Unwritable()], object, 1)}
    for inputs, outputs in (({"x": "no array"}, {}), (odd, {}), ({"x": np.ones(1)}, {"y": np.ones(1)})):
        buffer.take(inputs, outputs, 1)  # type: ignore[arg-type]
    while buffer.join():
        pass
    found = [read(frame) for number in range(3) if (frame := buffer.after(number))]
    assert [sorted(each.outputs) for each in found if each.rows] == [["y"]]
    assert buffer.dropped == 2


def test_the_choice_is_at_random_and_hangs_on_the_seed() -> None:
    def kept(seed: int) -> list[bool]:
        from random import Random

        buffer = Buffer(1 << 24, 0.25, Random(seed).random)
        before, found = 0, []
        for _ in range(4000):
            buffer.take({"x": np.ones(2)}, {}, 2)
            found.append(buffer.sampled_out == before)
            before = buffer.sampled_out
        return found

    assert kept(1) == kept(1) != kept(2)
    assert 840 < sum(kept(1)) < 1160  # 1000, and 6 standard deviations to either side


def test_a_wake_up_comes_once_for_each_filling() -> None:
    woken: list[None] = []
    buffer = Buffer(1 << 20)
    buffer.on_full = lambda: woken.append(None)
    for _ in range(8):
        buffer.take({"x": np.ones(5000)}, {}, 5000)
    assert len(woken) == 1
    while buffer.join():
        pass
    for _ in range(8):
        buffer.take({"x": np.ones(5000)}, {}, 5000)
    assert len(woken) == 2
