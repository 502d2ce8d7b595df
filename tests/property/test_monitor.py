"""Whatever dies and whatever is damaged: a row that was acknowledged is counted once, or it is said to be lost."""

import asyncio
import contextlib
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.reading import Reading
from modelward_drift.profiles.reference import Feature, Reference
from modelward_inference.artifact.bundle import Signature, Tensor
from modelward_inference.capture.wire import Batch
from modelward_monitor.counting.arrivals import Arrival
from modelward_monitor.counting.counter import Plan, Run
from modelward_monitor.counting.windows import Windows
from modelward_monitor.monitor import Monitor
from modelward_monitor.store import ASIDE, SNAPSHOT, TALLY, Store

SIGNATURE = Signature((Tensor("x", "FP64", (-1,)), Tensor("c", "BYTES", (-1,))), (Tensor("y", "INT64", (-1,)),))
LEARN_ROWS = 25
VALUES = (-3.0, -1.0, 0.0, 0.5, 2.0, np.nan, np.inf)
WORDS = ("a", "b", "never seen", None)

STEPS = st.integers(0, 11)
"""Points in the writing of up to three files: four a file."""

DAMAGE = st.sampled_from(["flip", "cut", "empty", "gone", "other"])


class CrashError(Exception):
    """The process is dead."""


class Disk:
    """Writes files until its `steps` are over, and then raises `failure`."""

    def __init__(self) -> None:
        self.steps: int | None = None
        self.failure: type[Exception] = CrashError

    def put(self, path: Path, pieces: Iterable[Any]) -> None:
        content = b"".join(pieces)
        aside = path.with_name(f".{path.name}.new")
        self._step()
        aside.write_bytes(content[: len(content) // 2])
        self._step()
        aside.write_bytes(content)
        self._step()
        aside.replace(path)
        self._step()

    def _step(self) -> None:
        if self.steps is not None:
            self.steps -= 1
            if self.steps < 0:
                raise self.failure


def made(number: int, rows: int, *, answered: bool) -> Batch:
    random = np.random.default_rng(number)
    inputs = {"x": random.choice(VALUES, rows), "c": random.choice(np.array(WORDS, object), rows)}
    return Batch("run", number, rows, inputs, {"y": random.integers(0, 3, rows)} if answered else {}, dropped=number)


def reference() -> Reference:
    return Reference((
        Feature("input", "x", None, profile_of("x", "numeric", np.linspace(-1, 1, 50))),
        Feature("input", "c", None, profile_of("c", "categorical", ["a", "b"] * 9)),
        Feature("output", "y", None, profile_of("output:y", "categorical", [0, 1] * 9)),
    ))  # fmt: skip


class Pod(RuleBasedStateMachine):
    """A server that keeps what is not acknowledged, a monitor that dies, a disk that fails, and an operator."""

    @initialize(bundled=st.booleans())
    def begin(self, bundled: bool) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="mw")
        self.disk = Disk()
        self.bundled = reference() if bundled else None
        self.sent: dict[int, Batch] = {}
        self.unacknowledged: dict[int, Batch] = {}
        # Of the epoch that goes on: numbers that the monitor has got, and those of it that are certainly on the disk.
        self.inside: list[int] = []
        self.lost_is_known = True
        self.shown: dict[str, Reading] = {}
        self.restart(damaged=False)

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    @property
    def state_folder(self) -> Path:
        return Path(self.folder.name) / "state"

    def restart(self, *, damaged: bool) -> None:
        self.disk.steps = None
        before = getattr(self, "epoch", None)
        store = Store(self.state_folder, self.bundled, self.disk.put)
        windows = Windows(10, lambda: 0.0, lambda: 0.0)
        self.monitor = Monitor(store, Plan(SIGNATURE, (), LEARN_ROWS), windows, "pod", lambda: 0.0)
        state = self.monitor.state
        self.epoch = state.epoch
        number = state.runs.get("run", Run()).number
        self.inside = [each for each in self.inside if each <= number] if state.epoch == before else []
        assert damaged or before in (None, state.epoch)
        self.acknowledge(number)

    def acknowledge(self, number: int) -> None:
        for each in [each for each in self.unacknowledged if each <= number]:
            del self.unacknowledged[each]

    def offer(self, batch: Batch) -> None:
        known = max(self.inside, default=0)
        self.monitor.offer(Arrival(batch))
        if batch.number > known:
            self.inside.append(batch.number)

    def save(self) -> None:
        saved = asyncio.run(self.monitor.save())
        self.acknowledge(saved.runs.get("run", Run()).number)

    @rule(rows=st.integers(1, 12), answered=st.booleans(), heard=st.booleans())
    def a_batch(self, rows: int, answered: bool, heard: bool) -> None:
        number = len(self.sent) + 1
        batch = self.sent[number] = self.unacknowledged[number] = made(number, rows, answered=answered)
        # The server sends in order: after what was not heard nothing is, until it sends all again.
        if heard and all(each in self.inside for each in self.unacknowledged if each < number):
            self.offer(batch)

    @rule()
    def all_again(self) -> None:
        for batch in self.unacknowledged.values():
            self.offer(batch)

    @rule()
    def a_save(self) -> None:
        self.save()

    @rule(steps=STEPS)
    def a_crash_while_saving(self, steps: int) -> None:
        self.disk.steps, self.disk.failure = steps, CrashError
        with contextlib.suppress(CrashError):
            self.save()
        self.restart(damaged=False)

    @rule(steps=STEPS)
    def a_full_disk(self, steps: int) -> None:
        self.disk.steps, self.disk.failure = steps, OSError
        with contextlib.suppress(OSError):
            self.save()
        self.disk.steps = None

    @rule(steps=STEPS)
    def a_crash_while_starting(self, steps: int) -> None:
        self.disk.steps, self.disk.failure = steps, CrashError
        with contextlib.suppress(CrashError):
            Store(self.state_folder, self.bundled, self.disk.put).open()
        self.restart(damaged=False)

    @rule(how=DAMAGE, place=st.floats(0, 0.999), tally_too=st.booleans())
    def damage(self, how: str, place: float, tally_too: bool) -> None:
        for name in (SNAPSHOT, *([TALLY] if tally_too else [])):
            harm(self.state_folder / name, how, place)
        self.lost_is_known &= not tally_too
        self.restart(damaged=True)
        assert self.monitor.state.intake.counted == 0

    @precondition(lambda self: self.monitor.state.reference is None)
    @rule()
    def a_reference_is_given(self) -> None:
        assert asyncio.run(self.monitor.adopt(reference()))
        self.acknowledge(self.monitor.saved.runs.get("run", Run()).number)

    @rule()
    def a_reading(self) -> None:
        self.save()
        found = self.monitor.reading()
        if found is None:
            return
        of = self.monitor.saved.reference
        assert of is not None
        found = Reading.from_dict(found.to_dict(), of)
        earlier = self.shown.get(found.epoch)
        if earlier is not None:
            assert found.sequence >= earlier.sequence
            assert found.sequence > earlier.sequence or found == earlier
            for now, before in zip(found.counts, earlier.counts, strict=True):
                assert ((now - before).cells >= 0).all()
        self.shown[found.epoch] = found

    @invariant()
    def every_row_is_counted_once(self) -> None:
        if not hasattr(self, "monitor"):
            return
        self.monitor.settle()
        state = self.monitor.state
        batches = [self.sent[number] for number in self.inside]
        rows = sum(each.rows for each in batches)
        assert state.intake.counted + state.held.rows == rows
        assert state.intake.dropped == max(self.inside, default=0)
        if state.reference is not None:
            for feature, counts in zip(state.reference.features, state.counts, strict=True):
                tensors = [
                    (each.inputs if feature.side == "input" else each.outputs).get(feature.tensor) for each in batches
                ]
                values = np.concatenate([np.empty(0, object), *(each for each in tensors if each is not None)])
                assert counts == count(feature.profile, values)
        acknowledged = sum(each.rows for each in self.sent.values() if each.number not in self.unacknowledged)
        counted = sum(each.rows for each in batches if each.number not in self.unacknowledged)
        assert not self.lost_is_known or acknowledged <= counted + state.intake.lost
        assert not (self.state_folder / f"{SNAPSHOT}{ASIDE}{ASIDE}").exists()


def harm(path: Path, how: str, place: float) -> None:
    content = bytearray(path.read_bytes())
    if how == "gone" or not content:
        path.unlink()
        return
    at = int(place * len(content))
    if how == "flip":
        content[at] ^= 0x55
    path.write_bytes({"flip": content, "cut": content[:at], "empty": b"", "other": b"something else"}[how])


TestPod = Pod.TestCase
TestPod.settings = settings(deadline=None, stateful_step_count=40, max_examples=60)
