"""What is shown and acknowledged while a write goes on, and when it fails."""

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest

from modelward_drift.counting.reading import Intake
from modelward_inference.capture import wire
from modelward_inference.capture.wire import Batch
from modelward_monitor.answered import Answered
from modelward_monitor.counting import counter
from modelward_monitor.counting.arrivals import Arrival
from modelward_monitor.counting.counter import Plan
from modelward_monitor.counting.windows import Windows
from modelward_monitor.endpoints import metrics
from modelward_monitor.endpoints.intake import MAX_BODY
from modelward_monitor.endpoints.intake import Intake as Socket
from modelward_monitor.monitor import Monitor
from modelward_monitor.store import Store, put_file

from .worlds import DEADLINE, SIGNATURE, Sender, batch, read_frame, reference


class Disk:
    """Writes when it may. `failing`: it is full."""

    def __init__(self) -> None:
        self.may, self.begun = threading.Event(), threading.Event()
        self.may.set()
        self.failing = False
        self.snapshots = 0

    def put(self, path: Path, pieces: Iterable[Any]) -> None:
        self.begun.set()
        assert self.may.wait(DEADLINE)
        if self.failing:
            raise OSError("no space left")
        self.snapshots += path.name == "snapshot"
        put_file(path, pieces)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def monitor(tmp_path: Path, disk: Disk, clock: Clock) -> Monitor:
    windows = Windows(60, clock, lambda: 5e8)
    return Monitor(Store(tmp_path / "state", reference(), disk.put), Plan(SIGNATURE), windows, "pod", clock)


async def test_only_what_is_on_the_disk_is_shown_and_acknowledged(monitor: Monitor, disk: Disk) -> None:
    heard: list[int] = []
    monitor.listen(lambda saved: heard.append(saved.runs["run"].number))
    monitor.offer(Arrival(batch(1, 10)))
    disk.may.clear()
    disk.begun.clear()
    writing = asyncio.create_task(monitor.save())
    await asyncio.to_thread(disk.begun.wait, DEADLINE)
    monitor.offer(Arrival(batch(2, 10)))
    monitor.settle()
    before = monitor.reading()
    assert before is not None
    assert (before.intake.counted, heard) == (0, [])
    disk.may.set()
    await writing
    after = monitor.reading()
    assert after is not None
    assert (after.intake.counted, heard) == (10, [1])
    await monitor.save()
    assert heard == [1, 2]


async def test_many_who_ask_at_once_share_a_write(monitor: Monitor, disk: Disk) -> None:
    before = disk.snapshots
    monitor.offer(Arrival(batch(1, 10)))
    found = await asyncio.gather(*(monitor.save() for _ in range(20)))
    assert {each.intake.counted for each in found} == {10}
    assert disk.snapshots == before + 1


async def test_a_full_disk_holds_all_back_until_there_is_room(monitor: Monitor, disk: Disk, clock: Clock) -> None:
    disk.failing = True
    monitor.offer(Arrival(batch(1, 10)))
    with pytest.raises(OSError, match="no space"):
        await monitor.save()
    clock.now += 30
    assert monitor.failure is not None
    assert monitor.snapshot_age == 30
    assert monitor.saved.intake.counted == 0
    disk.failing = False
    assert (await monitor.save()).intake.counted == 10
    assert (monitor.failure, monitor.snapshot_age) == (None, 0)


async def test_rows_that_break_the_counter_are_refused_and_others_are_not(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = counter.learning.count_table

    def broken(of: Any, table: Any) -> Any:
        if table.rows in (3, 10):  # alone, and joined with the others
            raise RuntimeError("a mistake of ours")
        return count(of, table)

    monkeypatch.setattr(counter.learning, "count_table", broken)
    for number, rows in enumerate((2, 3, 5), 1):
        monitor.offer(Arrival(batch(number, rows)))
    state = await monitor.save()
    assert state.intake == Intake(counted=7, refused=3)
    assert state.runs["run"].number == 3


async def test_windows_follow_the_monotonic_clock_and_metrics_the_last_window(monitor: Monitor, clock: Clock) -> None:
    registry = metrics.registry(monitor, 2, lambda: 1)

    def drifted() -> list[str]:
        lines = generate_latest(registry).decode().splitlines()
        return [line.split('"')[1] for line in lines if line.startswith("modelward_monitor_drift{")]

    far = batch(1, 200)
    far.inputs["x"][:, 1] += 3
    monitor.offer(Arrival(far))
    monitor.windows.roll(await monitor.save())
    assert drifted() == []
    assert monitor.windows.all(monitor.saved)[0].rows == 200
    clock.now += 61
    monitor.windows.roll(monitor.saved)
    assert monitor.windows.last is not None
    assert (monitor.windows.last.rows, monitor.windows.last.seconds) == (200, 61)
    assert drifted()[0] == "x[1]"
    assert len(drifted()) == 2
    clock.now += 61
    monitor.windows.roll(monitor.saved)
    assert drifted() == []
    for _ in range(100):
        clock.now += 61
        monitor.windows.roll(monitor.saved)
    assert len(monitor.windows.all(monitor.saved)) == 25


@pytest.fixture
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A path that a socket may have."""
    return Path(tmp_path_factory.mktemp("s", numbered=True)) / "s"


async def _answered(monitor: Monitor, path: Path, *pieces: bytes) -> list[int]:
    """Acknowledgements of what was written, until the monitor ends the connection or all is written."""
    reader, writer = await asyncio.open_unix_connection(path)
    await read_frame(reader)
    writer.writelines(pieces)
    writer.write_eof()
    found = []
    try:
        while True:
            found.append((await read_frame(reader))["ack"])
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()
    return found


@pytest.mark.parametrize(
    ("head", "body", "refused"),
    [
        ({"epoch": "run", "number": 1, "rows": 7, "dropped": 0, "sampled_out": 0, "tensors": "x"}, b"", 7),
        ({"epoch": "run", "number": 1, "rows": 7, "dropped": 0, "sampled_out": 0}, b"x" * (MAX_BODY + 1), 7),
        ({"epoch": "run", "number": 1, "rows": -7, "dropped": 0, "sampled_out": 0, "tensors": []}, b"", None),
        ({"epoch": "run", "number": 1, "rows": 10**12, "dropped": 0, "sampled_out": 0, "tensors": []}, b"", 10**12),
        ({"number": 1}, b"", None),
        ([], b"", None),
    ],
)
async def test_what_can_not_be_read_is_refused_or_ends_the_connection(
    monitor: Monitor, short: Path, tmp_path: Path, head: Any, body: bytes, refused: int | None
) -> None:
    async with Socket(monitor, short, Answered(tmp_path / "answered")) as intake:
        await _answered(monitor, short, *wire.frame(head, [body] if body else []))
        await intake.quiet()
        state = await monitor.save()
        assert state.intake == Intake(refused=refused or 0)
        await asyncio.wait_for(_send(monitor, short, batch(2, 3)), DEADLINE)
        assert monitor.saved.intake.counted == 3


async def test_noise_ends_the_connection_and_nothing_else(monitor: Monitor, short: Path, tmp_path: Path) -> None:
    async with Socket(monitor, short, Answered(tmp_path / "answered")):
        for noise in (b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 100, b"".join(wire.dump_batch(batch(1, 9)))[:-5]):
            assert await asyncio.wait_for(_answered(monitor, short, noise), DEADLINE) == []
        await asyncio.wait_for(_send(monitor, short, batch(1, 3)), DEADLINE)
        assert monitor.saved.intake == Intake(counted=3)


async def _send(monitor: Monitor, path: Path, *batches: Batch) -> None:
    sending = asyncio.create_task(Sender(path, batches).run())
    while not sending.done():
        await monitor.save()
        await asyncio.sleep(0)
    await sending


async def test_much_is_written_at_once_so_that_the_server_has_room_again(
    monitor: Monitor, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelward_monitor.monitor.SAVE_EVERY", 10 * DEADLINE)
    written = asyncio.Event()
    monitor.listen(lambda _: written.set())
    ticking = asyncio.create_task(monitor.run())
    try:
        monitor.offer(Arrival(batch(1, 300_000)))
        await asyncio.wait_for(written.wait(), DEADLINE)
    finally:
        ticking.cancel()
    assert monitor.saved.intake.counted == 300_000
