"""A state comes back as it was written, or not at all."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from modelward_inference.capture.wire import Batch
from modelward_monitor.counting import snapshot
from modelward_monitor.counting.arrivals import Arrival
from modelward_monitor.counting.counter import Plan, State, begin, take
from modelward_monitor.counting.snapshot import SnapshotError
from modelward_monitor.store import ASIDE, SNAPSHOT, Store

from .worlds import SIGNATURE, batch, reference

PLAN = Plan(SIGNATURE, (), 1000)
KNOWN = {reference().digest: reference()}


def counting() -> State:
    return take(begin("e", reference(), lost=3), [Arrival(batch(1, 30, dropped=2)), Arrival(batch(2, 4))], PLAN)


def learning() -> State:
    odd = np.array([None, "ü", "", "a" * 100], object)
    last = Batch("run", 3, 4, {"x": np.array([[np.nan, np.inf]] * 4), "city": odd}, {})
    return take(begin("e"), [Arrival(batch(1, 30)), Arrival(batch(2, 4)), Arrival(last)], PLAN)


def observing() -> State:
    wide = Batch("run", 1, 3, {"z": np.ones((3, 9))}, {"label": np.ones(3)})
    return take(begin("e"), [Arrival(wide), Arrival(batch(2, 30))], Plan(learn_rows=1000, observed=True))


@pytest.mark.parametrize("state", [counting(), learning(), observing(), begin("e")])
def test_it_comes_back(state: State) -> None:
    found = snapshot.load(b"".join(snapshot.dump(state)), KNOWN)
    assert replace(found, held=state.held) == state
    assert replace(found.held, tables=state.held.tables) == state.held
    more = [Arrival(batch(number, 400)) for number in (4, 5, 6)]
    assert take(found, more, PLAN).counts == take(state, more, PLAN).counts


def test_every_byte_counts() -> None:
    content = b"".join(snapshot.dump(counting()))
    for position in range(0, len(content), 7):
        harmed = bytearray(content)
        harmed[position] ^= 1
        with pytest.raises(SnapshotError):
            snapshot.load(bytes(harmed), KNOWN)
    for size in range(0, len(content), 11):
        with pytest.raises(SnapshotError):
            snapshot.load(content[:size], KNOWN)


def test_another_version_is_put_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, reference())
    before = take(store.open(), [Arrival(batch(1, 30))], PLAN)
    with monkeypatch.context() as patched:
        patched.setattr(snapshot, "VERSION", 2)
        store.write(before)
    state = Store(tmp_path, reference()).open()
    assert state.epoch != before.epoch
    assert (state.intake.lost, state.intake.counted) == (30, 0)
    assert (tmp_path / f"{SNAPSHOT}{ASIDE}").exists()


def test_counts_against_another_reference_are_not_taken_up(tmp_path: Path) -> None:
    store = Store(tmp_path, reference())
    before = take(store.open(), [Arrival(batch(1, 30))], PLAN)
    store.write(before)
    state = Store(tmp_path, reference(seed=1)).open()
    assert state.epoch != before.epoch
    assert (state.digest, state.intake.lost) == (reference(seed=1).digest, 30)


def test_a_reference_that_came_with_the_bundle_later_counts_what_was_held(tmp_path: Path) -> None:
    store = Store(tmp_path, None)
    before = take(store.open(), [Arrival(batch(1, 30))], PLAN)
    store.write(before)
    state = Store(tmp_path, reference()).open()
    assert (state.epoch, state.intake.counted, state.digest) == (before.epoch, 30, reference().digest)


def test_a_learned_reference_outlives_a_damaged_snapshot(tmp_path: Path) -> None:
    store = Store(tmp_path, None)
    learned = take(store.open(), [Arrival(batch(1, 1000))], PLAN)
    store.write(learned)
    (tmp_path / SNAPSHOT).write_bytes(b"")
    state = Store(tmp_path, None).open()
    assert (state.digest, state.intake.lost) == (learned.digest, 1000)
    assert state.epoch != learned.epoch
