"""Killed before each step in turn: of appending, of the snapshot, of converting, uploading, counting and compacting.

What changes a disk or the store is counted and, at one number after the other, not done any more: what then is there is
what a killed process leaves. Whoever comes next goes on with it, and every row is read once.
"""

import argparse
import asyncio
import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from modelward_inference.capture import wire
from modelward_inference.capture.wire import Batch
from modelward_inference.protocol.outcomes import Outcome
from modelward_monitor import store as monitor_store
from modelward_monitor.counting.arrivals import Arrival
from modelward_monitor.counting.counter import Plan
from modelward_monitor.counting.windows import Windows
from modelward_monitor.monitor import Monitor
from modelward_monitor.predictionlog import house, ship, stores
from modelward_monitor.predictionlog.journal import Journal, Limits, Pending
from modelward_monitor.predictionlog.names import Folder, counted
from modelward_monitor.predictionlog.outcomes import record
from modelward_monitor.predictionlog.segments import Segments
from modelward_monitor.predictionlog.settings import LogSettings
from unit.monitor.worlds import reference, write_bundle

from .logs import MOMENT, asked, ids, paths, rows, told_rows


class Killed(BaseException):
    """Nothing catches it, as nothing catches SIGKILL."""


class Steps:
    """Counts what changes something, and ends before number `last`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count, self.last = 0, -1
        self._dead = False
        for where, name in (
            (Path, "replace"), (Path, "unlink"), (Path, "mkdir"), (shutil, "rmtree"), (os, "fsync"), (os, "truncate"),
            (shutil, "copyfile"),
        ):  # fmt: skip
            monkeypatch.setattr(where, name, self._stepping(getattr(where, name)))

    def _stepping(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def stepping(*arguments: Any, **more: Any) -> Any:
            self.count += 1
            if self._dead or self.count == self.last:
                self._dead = True  # nor does `finally` do anything any more
                raise Killed
            return real(*arguments, **more)

        return stepping

    def kill_before(self, number: int) -> None:
        self.count, self.last, self._dead = 0, number, False

    def live(self) -> None:
        self.kill_before(-1)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Steps]:
    made = Steps(monkeypatch)
    yield made
    made.live()


class World:
    """A pod's folder, a store, and a server that sends again what is not acknowledged: batches, and requests with an
    outcome each, by their names."""

    def __init__(self, folder: Path, batches: list[Batch], told: Sequence[str] = ()) -> None:
        self.folder, self.store = folder / "pod", folder / "store"
        self.store.mkdir(parents=True)
        bundle = folder / "bundle"
        bundle.mkdir()
        write_bundle(bundle, reference())
        self.environment = {
            "PREDICTION_LOG_URI": str(self.store), "MODEL_NAMESPACE": "ml", "MODEL_NAME": "m", "MODEL_REVISION": "m-a",
            "BUNDLE_DIR": str(bundle), "MONITOR_DIR": str(self.folder), "POD_UID": "pod-1",
        }  # fmt: skip
        self.batches, self.told = batches, told
        self.monitor: Monitor | None = None

    def start(self) -> Monitor:
        """Where none runs."""
        if self.monitor is None:
            segments = Segments(self.folder / "log")
            # A segment for each save.
            journal = Journal(segments, Limits(segment=1), lambda: MOMENT)
            store = monitor_store.Store(self.folder / "state", reference())
            windows = Windows(3600, lambda: 0.0, lambda: 0.0)
            self.outcomes = Journal(Segments(self.folder / "log" / "outcomes"), Limits(segment=1), lambda: MOMENT)
            self.monitor = Monitor(store, Plan(), windows, "pod-1", lambda: 0.0, journal, self.outcomes)
        return self.monitor

    def send(self) -> None:
        """All that is not on the disk, and a save after each."""
        monitor = self.start()
        for batch in self.batches:
            run = monitor.saved.runs.get(batch.epoch)
            if run is not None and batch.number <= run.number:
                continue
            written = b"".join(wire.dump_batch(batch))
            head, _ = wire.lengths(written[: wire.LENGTHS.size])
            begin = wire.LENGTHS.size
            raw = (written[begin : begin + head], written[begin + head :])
            monitor.offer(Arrival(batch, raw=raw))
            asyncio.run(monitor.save())
        for name in self.told:
            if not monitor.has_told(name):
                pending = Pending(record(name, [Outcome("1", key=name)], MOMENT), 1, name)
                self.outcomes.add(pending)
                asyncio.run(monitor.save())
                assert pending.kept

    def ship(self) -> None:
        monitor = self.start()
        mark = monitor.saved.log
        told = monitor.saved.outcomes
        given = argparse.Namespace(
            epoch=mark.epoch, open=mark.segment, lost=0, compact=[], house=False, outcomes_epoch=told.epoch,
            outcomes_open=told.segment, outcomes_lost=0,
        )  # fmt: skip
        settings = LogSettings.from_environment(self.environment)
        assert settings is not None
        ship._work(settings, given, {"stored": 0, "folders": [], "compacted": [], "house": False})
        monitor.log_news()
        asyncio.run(monitor.save())

    def compact(self) -> None:
        store = stores.Claim(self.store)
        aside = self.folder / "log" / "aside"
        aside.mkdir(parents=True, exist_ok=True)
        house.compact(store, list(store.list("")), aside)

    def die(self) -> None:
        self.monitor = None


def direct(function: Callable[..., Any]) -> Any:
    """In the same thread, so that a death is the caller's."""

    async def run(real: Callable[..., Any], *arguments: Any) -> Any:
        return real(*arguments)

    return run


def rewritten(world: World, steps: Steps, number: int) -> bool:
    """One life that ends before step `number`, and another that goes on. False: it ended by itself."""
    steps.kill_before(number)
    died = False
    try:
        world.send()
        world.ship()
        world.compact()
    except Killed:
        died = True
    steps.live()
    world.die()
    world.send()
    world.ship()
    return died


def test_every_row_is_read_once_whatever_step_was_the_last(
    tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "to_thread", direct(asyncio.to_thread))
    batches = [asked(number, 3, at=MOMENT + 1000 * number) for number in (1, 2)]
    number = 0
    while True:
        number += 1
        world = World(tmp_path / str(number), batches)
        died = rewritten(world, steps, number)
        assert [row["request_id"] for row in rows(world.store)] == ids(*batches), f"killed before step {number}"
        assert world.monitor is not None
        mark = world.monitor.saved.log
        assert (mark.written, mark.stored, sum(mark.lost.values())) == (6, 6, 0), f"killed before step {number}"
        world.compact()
        assert [row["request_id"] for row in rows(world.store)] == ids(*batches), f"killed before step {number}"
        house.keep(stores.Claim(world.store), "ml", "m", "pod-1", None, MOMENT + 86_400, world.folder / "log" / "aside")
        epochs = {path.rpartition("/")[2].split(".")[1] for path in paths(world.store)}
        assert len(paths(world.store)) == len(epochs) <= 2, f"killed before step {number}"  # the first was not saved
        if not died:
            break
    assert number > 50


def test_every_outcome_is_read_once_whatever_step_was_the_last(
    tmp_path: Path, steps: Steps, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asyncio, "to_thread", direct(asyncio.to_thread))
    number = 0
    while True:
        number += 1
        world = World(tmp_path / str(number), [asked(1, 1)], ("first", "second"))
        died = rewritten(world, steps, number)
        for _ in range(2):
            assert [row["key"] for row in told_rows(world.store)] == ["first", "second"], f"killed before {number}"
            assert len(rows(world.store)) == 1, f"killed before step {number}"
            world.compact()
        assert world.monitor is not None
        mark = world.monitor.saved.outcomes
        assert (mark.written, mark.stored, sum(mark.lost.values())) == (2, 2, 0), f"killed before step {number}"
        if not died:
            break
    assert number > 50


def test_a_damaged_record_of_outcomes_is_lost_alone_and_counted(tmp_path: Path) -> None:
    world = World(tmp_path, [], ("first", "second", "third"))
    world.send()
    (second,) = (world.folder / "log" / "outcomes" / "raw").glob("*-00000002")
    content = bytearray(second.read_bytes())
    content[-1] ^= 1
    second.write_bytes(content)
    world.ship()
    assert [row["key"] for row in told_rows(world.store)] == ["first", "third"]
    assert world.monitor is not None
    mark = world.monitor.saved.outcomes
    assert (mark.stored, mark.lost["damaged"], mark.waiting) == (2, 1, 0)


def test_a_disk_that_can_not_be_written_keeps_no_outcome_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the segment nor the snapshot; afterwards they are taken."""
    world = World(tmp_path, [], ())
    monitor = world.start()

    def tell(name: str) -> Pending:
        pending = Pending(record(name, [Outcome("1", key=name)], MOMENT), 1, name)
        world.outcomes.add(pending)
        with contextlib.suppress(OSError):
            asyncio.run(monitor.save())
        return pending

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    for where, name in ((Segments, "append"), (monitor_store.Store, "write")):
        with monkeypatch.context() as patched:
            patched.setattr(where, name, full)
            told = tell(name)
            assert (told.kept, told.lost, monitor.has_told(name)) == (False, "failed", False)
    assert tell("last").kept
    world.ship()
    assert [row["key"] for row in told_rows(world.store)] == ["last"]


def test_rows_are_read_once_at_each_moment_of_a_compaction(tmp_path: Path, steps: Steps) -> None:
    """Readers do not wait for it: a listing at any of its steps has every row once."""
    batches = [asked(number, 2) for number in range(1, 5)]
    for number in range(1, 40):
        world = World(tmp_path / str(number), batches)
        world.send()
        world.ship()
        assert len(paths(world.store)) == 4
        steps.kill_before(number)
        try:
            world.compact()
        except Killed:
            steps.live()
            assert [row["request_id"] for row in rows(world.store)] == ids(*batches), f"killed before step {number}"
            continue
        break
    assert number > 4
    assert len(counted(paths(world.store))) == 1


def test_a_late_upload_of_what_is_compacted_already_doubles_nothing(tmp_path: Path) -> None:
    batches = [asked(number, 2) for number in range(1, 4)]
    world = World(tmp_path, batches)
    world.send()
    world.ship()
    late = paths(world.store)[1]
    content = (world.store / late).read_bytes()
    world.compact()
    assert late not in paths(world.store)
    (world.store / late).write_bytes(content)
    assert [row["request_id"] for row in rows(world.store)] == ids(*batches)
    world.compact()
    assert len(paths(world.store)) == 1


def test_a_compacted_file_has_the_rows_in_their_order_and_the_columns_of_all(tmp_path: Path) -> None:
    batches = [asked(number, 2) for number in range(1, 4)]
    world = World(tmp_path, batches)
    world.send()
    world.ship()
    before = rows(world.store)
    world.compact()
    assert rows(world.store) == before
    known = paths(world.store)[0].rpartition("/")
    assert Folder.of(known[0]) == Folder("ml", "m", "m-a", "2026-01-01", 0)
    assert known[2].endswith(".00000001.00000003.parquet")


def test_a_damaged_record_is_lost_alone_and_counted(tmp_path: Path) -> None:
    batches = [asked(number, 3) for number in range(1, 4)]
    world = World(tmp_path, batches)
    world.send()
    (second,) = (world.folder / "log" / "raw").glob("*-00000002")
    content = bytearray(second.read_bytes())
    content[-1] ^= 1
    second.write_bytes(content)
    world.ship()
    assert [row["request_id"] for row in rows(world.store)] == ids(batches[0], batches[2])
    assert world.monitor is not None
    mark = world.monitor.saved.log
    assert (mark.stored, mark.lost["damaged"], mark.waiting) == (6, 3, 0)


def test_files_of_other_months_go_and_nothing_else_does(tmp_path: Path) -> None:
    world = World(tmp_path, [asked(1, 2), asked(2, 2, at=MOMENT + 40 * 86_400)])
    world.send()
    world.ship()
    foreign = world.store / "v1" / "namespace=ml" / "model=m" / "notes.txt"
    foreign.write_text("mine")
    now = MOMENT + 41 * 86_400
    store = stores.Claim(world.store)
    assert house.keep(store, "ml", "m", "pod-1", 30, now, tmp_path) == (0, 1)
    assert [row["request_id"] for row in rows(world.store)] == ids(asked(2, 2))
    assert foreign.exists()
    assert house.keep(store, "ml", "m", "pod-1", None, now + 9e9, tmp_path) == (0, 0)
