"""The queue before the model: joined when they wait, alone when they need not, each with its own answer."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from modelward_inference import metrics
from modelward_inference.batching import Batcher, Job, Limits, key_of
from modelward_inference.costs import Costs
from modelward_inference.protocol import DeadlineExceededError, OverloadedError

DEADLINE = 30.0
"""Seconds after which a test fails instead of hanging."""

LONG = 1e9


class Model:
    """Doubles its input. Holds every prediction until it is let, refuses 13, and notes the rows of each call."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.calls: list[list[float]] = []
        self.row_by_row = True

    def predict(self, inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        rows = inputs["x"]
        self.calls.append([float(value) for value in rows[:, 0]])
        assert self.open.wait(DEADLINE)
        if 13 in rows:
            raise ValueError("13 is refused")
        answer = rows * 2 if self.row_by_row else rows[:1] * 2
        return dict.fromkeys(outputs, answer)


@pytest.fixture
def model() -> Model:
    return Model()


class NothingIsCheap(Costs):
    """Every prediction goes into a thread, however quick the model of a test is."""

    def _update(self) -> None:
        self.cheap_size = -1


def batcher(model: Model, **limits: Any) -> Batcher:
    """With one worker."""
    return Batcher(model.predict, Limits(**({"workers": 1, "waiting": 16} | limits)), ("m", "1"), NothingIsCheap())


def job(*values: float, key: Any = ..., deadline: float = LONG, wanted: Sequence[str] = ("y",)) -> Job:
    inputs = {"x": np.array([[value] for value in values], dtype=np.float64)}
    return Job(
        inputs, wanted, key_of(inputs, wanted) if key is ... else key, len(values), len(values), time.monotonic(),
        deadline,
    )  # fmt: skip


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.001)


async def run(one: Batcher, *jobs: Job) -> list[asyncio.Task[dict[str, Any]]]:
    """Bring them to the queue, in order and each in a turn of its own."""
    tasks = []
    for each in jobs:
        tasks.append(asyncio.create_task(one.run(each)))
        await asyncio.sleep(0)
    return tasks


async def occupied(one: Batcher, model: Model) -> asyncio.Task[dict[str, Any]]:
    """A first request that keeps the only worker."""
    (first,) = await run(one, job(1000))
    await until(lambda: bool(model.calls))
    return first


def values(task: "asyncio.Task[dict[str, Any]]") -> list[float]:
    return [float(value) for value in task.result()["y"][:, 0]]


async def test_what_waits_is_computed_together_and_each_gets_its_own_rows(model: Model) -> None:
    one = batcher(model)
    first = await occupied(one, model)
    waiting = await run(one, job(1), job(2, 3), job(4))
    model.open.set()
    await asyncio.wait([first, *waiting], timeout=DEADLINE)
    assert model.calls == [[1000], [1, 2, 3, 4]]
    assert [values(task) for task in (first, *waiting)] == [[2000], [2], [4, 6], [8]]


async def test_a_batch_has_no_more_rows_than_allowed(model: Model) -> None:
    one = batcher(model, rows=3)
    first = await occupied(one, model)
    waiting = await run(one, job(1, 2), job(3), job(4, 5, 6, 7), job(8))
    model.open.set()
    await asyncio.wait([first, *waiting], timeout=DEADLINE)
    assert model.calls == [[1000], [1, 2, 3], [4, 5, 6, 7], [8]]


@pytest.mark.parametrize("odd", [job(9, key=None), job(9, wanted=("z",))], ids=["without rows", "other outputs"])
async def test_what_differs_is_computed_apart(model: Model, odd: Job) -> None:
    one = batcher(model)
    first = await occupied(one, model)
    waiting = await run(one, job(1), odd, job(2))
    model.open.set()
    await asyncio.wait([first, *waiting], timeout=DEADLINE)
    assert model.calls == [[1000], [1], [9], [2]]


async def test_one_that_the_model_refuses_does_not_touch_its_neighbours(model: Model) -> None:
    one = batcher(model)
    first = await occupied(one, model)
    waiting = await run(one, job(1), job(13), job(2))
    model.open.set()
    await asyncio.wait([first, *waiting], timeout=DEADLINE)
    assert isinstance(waiting[1].exception(), ValueError)
    assert [values(waiting[0]), values(waiting[2])] == [[2], [4]]


async def test_a_model_that_does_not_answer_row_by_row_is_asked_one_at_a_time(model: Model) -> None:
    model.row_by_row = False
    one = batcher(model)
    first = await occupied(one, model)
    waiting = await run(one, job(1), job(2))
    model.open.set()
    await asyncio.wait([first, *waiting], timeout=DEADLINE)
    assert [values(task) for task in waiting] == [[2], [4]]
    model.calls.clear()
    later = await run(one, job(5), job(6))
    await asyncio.wait(later, timeout=DEADLINE)
    assert model.calls == [[5], [6]]


async def test_who_leaves_while_waiting_is_not_computed(model: Model) -> None:
    one = batcher(model)
    before = metrics.ABANDONED._value.get()
    first = await occupied(one, model)
    leaving, staying = await run(one, job(1), job(2))
    leaving.cancel()
    await until(leaving.done)
    model.open.set()
    await asyncio.wait([first, staying], timeout=DEADLINE)
    assert model.calls == [[1000], [2]]
    assert metrics.ABANDONED._value.get() == before + 1


async def test_whose_time_is_over_is_told_so_while_the_model_is_still_busy(model: Model) -> None:
    one = batcher(model)
    first = await occupied(one, model)
    late, patient = await run(one, job(1, deadline=time.monotonic() + 0.02), job(2))
    await until(late.done)
    assert isinstance(late.exception(), DeadlineExceededError)
    assert not patient.done()
    model.open.set()
    await asyncio.wait([first, patient], timeout=DEADLINE)
    assert model.calls == [[1000], [2]]


async def test_the_queue_is_bounded(model: Model) -> None:
    one = batcher(model, waiting=2)
    before = metrics.REJECTED._value.get()
    first = await occupied(one, model)
    waiting = await run(one, job(1), job(2), job(3))
    await until(waiting[2].done)
    assert isinstance(waiting[2].exception(), OverloadedError)
    assert metrics.REJECTED._value.get() == before + 1
    model.open.set()
    await asyncio.wait([first, *waiting[:2]], timeout=DEADLINE)
    assert [values(task) for task in waiting[:2]] == [[2], [4]]
    assert one.pending == 0


async def test_a_delay_lets_others_join_and_ends(model: Model) -> None:
    model.open.set()
    one = batcher(model, delay=0.05)
    joined = await run(one, job(1), job(2))
    await asyncio.wait(joined, timeout=DEADLINE)
    assert model.calls == [[1, 2]]
    (alone,) = await run(one, job(3))
    await asyncio.wait([alone], timeout=DEADLINE)
    assert values(alone) == [6]


async def test_an_idle_model_begins_at_once(model: Model) -> None:
    one = batcher(model)
    first = await occupied(one, model)
    assert model.calls == [[1000]]
    model.open.set()
    await first


async def test_cheap_predictions_need_no_thread(model: Model) -> None:
    model.open.set()
    threads: list[str] = []

    def predict(inputs: Mapping[str, Any], outputs: Sequence[str]) -> dict[str, Any]:
        threads.append(threading.current_thread().name)
        return model.predict(inputs, outputs)

    costs = Costs()
    costs.threaded(8, 1e-6)
    one = Batcher(predict, Limits(1, 16), ("m", "1"), costs)
    tasks = await run(one, job(1), job(*range(100)))
    await asyncio.wait(tasks, timeout=DEADLINE)
    assert threads[0] == threading.current_thread().name
    assert threads[1].startswith("predict")


async def test_a_long_prediction_does_not_hold_up_the_loop(model: Model) -> None:
    one = batcher(model)
    first = await occupied(one, model)
    turns = 0
    while turns < 100:
        await asyncio.sleep(0)
        turns += 1
    assert not first.done()
    model.open.set()
    await first
