"""Whatever comes, leaves and ends in whatever order: everyone gets their own answer, or a reason, and once."""

import asyncio
import math
import time
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from modelward_inference.engine import batching
from modelward_inference.protocol.messages import DeadlineExceededError, OverloadedError
from unit.inference.queueing import Queue, turns

ARRIVES = st.tuples(
    st.just("arrives"),
    st.integers(1, 4),  # rows
    st.sampled_from(["a", "b", None]),  # key
    st.sampled_from(["good", "good", "good", "refused", "late"]),
)
HAPPENS = st.one_of(
    ARRIVES,
    st.tuples(st.just("leaves"), st.integers(0, 30)),
    st.tuples(st.just("finishes")),
    st.tuples(st.just("turns"), st.integers(1, 4)),
)
QUEUES = st.fixed_dictionaries({
    "rows": st.integers(1, 6),
    "waiting": st.integers(0, 6),
    "workers": st.integers(1, 3),
    "cheap_size": st.sampled_from([-1, 1, 3]),
})  # fmt: skip


async def play(options: dict[str, Any], story: list[Any]) -> None:
    queue = Queue(**options)
    asked: list[tuple[list[float], str, asyncio.Task[list[float]]]] = []
    left: set[int] = set()
    row = 0
    for event in story:
        match event:
            case ("arrives", rows, key, kind):
                numbers = [float(row + each + 1) for each in range(rows)]
                row += rows
                if kind == "refused":
                    numbers[0] = -numbers[0]
                deadline = time.monotonic() if kind == "late" else math.inf
                asked.append((numbers, kind, await queue.ask(*numbers, key=key, deadline=deadline)))
            case ("leaves", number) if number < len(asked):
                if asked[number][2].cancel():
                    left.add(number)
            case ("finishes",):
                await queue.executor.finish()
            case ("turns", number):
                await turns(number)
    await queue.executor.finish_all()
    outcomes: list[Any] = await asyncio.gather(*(task for _, _, task in asked), return_exceptions=True)
    for number, ((rows, kind, _), outcome) in enumerate(zip(asked, outcomes, strict=True)):
        if number in left:
            assert isinstance(outcome, asyncio.CancelledError)
        elif isinstance(outcome, OverloadedError):
            assert not set(rows) & set(queue.model.answered)
        elif kind == "good":
            assert outcome == [2 * each for each in rows]
        else:
            assert isinstance(outcome, ValueError if kind == "refused" else DeadlineExceededError)
            assert not set(rows) & set(queue.model.answered)
    assert len(queue.model.answered) == len(set(queue.model.answered))
    assert all(len(rows) <= max(options["rows"], 4) for rows in queue.model.asked)
    assert (queue.batcher.pending, queue.batcher.busy) == (0, False)


@given(QUEUES, st.lists(HAPPENS, max_size=25), st.sampled_from([0, 1, batching.LONELY]))
def test_everyone_gets_their_own_answer_or_a_reason(options: dict[str, Any], story: list[Any], lonely: int) -> None:
    with mock.patch.object(batching, "LONELY", lonely):
        asyncio.run(play(options, story))
