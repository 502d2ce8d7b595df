"""The monitor's heart: takes arrivals, counts them, and has the counts written before anyone is shown them.

`state` is what is known, `saved` what is on the disk; both are values, so a write needs no lock against counting.
Everything runs in the event loop's thread but the writing itself.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from modelward_drift.counting.reading import Reading
from modelward_drift.profiles.reference import Reference, Side
from modelward_inference.artifact.features import Layout
from modelward_inference.protocol.messages import RequestError
from modelward_monitor.counting import counter
from modelward_monitor.counting.arrivals import SIDES, Arrival
from modelward_monitor.counting.counter import Plan, State
from modelward_monitor.counting.placing import fitted, plain_name
from modelward_monitor.counting.windows import Windows
from modelward_monitor.predictionlog.journal import Journal, Pending
from modelward_monitor.predictionlog.mark import FAILED, RECENT, Mark
from modelward_monitor.predictionlog.segments import Segment
from modelward_monitor.store import Store
from modelward_telemetry.logs import MAX_ID, QUOTES

log = logging.getLogger(__name__)

SAVE_EVERY: Final = 1.0
"""Seconds between snapshots while rows come in, at most: so long the server keeps what it has sent, and it has not
room for everything."""

PENDING_BYTES: Final = 4 << 20
"""Of arrivals that are counted together: joined they cost a fraction, and more would only take memory."""

PENDING: Final = 1000
"""Arrivals, likewise."""


def _first_of(arrival: Arrival) -> dict[str, Any]:
    """The `extra` of a line about a batch: the first request in it, whose id tells of the rest by the log's order."""
    requests = arrival.batch.requests
    if requests is None or not len(requests):
        return {}
    named = {"request_id": requests.ids[0][:MAX_ID]}
    traced = next((at.trace_id for index, at in requests.contexts if index == 0), "")
    return {**named, "trace_id": traced} if traced else named


def _has_work(journal: Journal | None, mark: Mark, close: bool) -> bool:
    return journal is not None and (journal.pending or close or journal.due(mark))


class Monitor:
    """`clock`: monotonic, in seconds; `journal`: of the prediction log, `outcomes`: of what becomes of predictions;
    None: there is none."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        windows: Windows,
        pod: str,
        clock: Callable[[], float] = time.monotonic,
        journal: Journal | None = None,
        outcomes: Journal | None = None,
    ) -> None:
        self._store, self.plan, self.windows, self._pod, self._clock = store, plan, windows, pod, clock
        self._journal, self._outcomes = journal, outcomes
        self.state: State = store.open()
        self.saved: State = self.state
        if journal is not None:
            self.state = replace(self.state, log=journal.open(self.state.log))
        if outcomes is not None:
            self.state = replace(self.state, outcomes=outcomes.open(self.state.outcomes))
        self.saved_at = clock()
        windows.roll(self.state)
        self.failure: str | None = None
        self.final = False
        self._pending: list[Arrival] = []
        self._bytes = 0
        self._writing = asyncio.Lock()
        self._due = asyncio.Event()
        self._listeners: list[Callable[[State], None]] = []

    def offer(self, arrival: Arrival) -> None:
        """Take it in. It counts from the next `settle` on, and stays for good from the next `save` on."""
        self._pending.append(arrival)
        self._bytes += arrival.size
        if self._bytes > PENDING_BYTES or len(self._pending) >= PENDING:
            self.settle()
            self._due.set()

    def settle(self) -> None:
        """Count what is pending."""
        arrivals, self._pending, self._bytes = self._pending, [], 0
        if not arrivals:
            return
        if self._journal is not None:
            self._journal.offer(arrivals, self.state.runs)
        refused = self.state.intake.refused
        try:
            self.state = counter.take(self.state, arrivals, self.plan)
            if self.state.intake.refused > refused:
                self._tell(arrivals)
        except Exception:
            # No row is known to do this. One that does must not take the others with it, nor come again and again.
            log.exception("rows can't be counted", extra={QUOTES: True})
            self._one_by_one(arrivals)

    async def save(self, *, close_log: bool = False) -> State:
        """What was offered before is on the disk when this returns. Callers at the same time share a write.
        `close_log`: end the log's open segment.

        Raises OSError; everything is then kept, and written with the next one.
        """
        async with self._writing:
            self.settle()
            state, journal, outcomes = self.state, self._journal, self._outcomes
            logs = _has_work(journal, state.log, close_log) or _has_work(outcomes, state.outcomes, close_log)
            if state is not self.saved or logs:
                taken = journal.take() if journal is not None else []
                told = outcomes.take() if outcomes is not None else []
                try:
                    written = await asyncio.to_thread(self._write, state, taken, told, close_log)
                except OSError as error:
                    if journal is not None:
                        journal.give_back(taken)
                    for each in told:  # who told them hears of it, and tells them again
                        each.lost = each.lost or FAILED
                    self.failure = f"the snapshot can't be written: {error}"
                    raise
                # What was counted meanwhile is not on the disk; how far the log has come is known to this one alone.
                if self.state is state:
                    self.state = written
                else:
                    self.state = replace(self.state, log=written.log, outcomes=written.outcomes, told=written.told)
                for each in told:
                    each.kept = each.lost is None
                self.saved, self.saved_at, self.failure = written, self._clock(), None
                for listener in tuple(self._listeners):
                    listener(written)
            return self.saved

    def _write(self, state: State, taken: list[Pending], told: list[Pending], close_log: bool) -> State:
        """First the log, then what says how far it has come: a monitor that dies in between gets the batches again."""
        journal, outcomes = self._journal, self._outcomes
        done: list[Segment] = []
        done_outcomes: list[Segment] = []
        if journal is not None:
            mark, done = journal.write(state.log, taken, close=close_log)
            state = replace(state, log=mark)
        if outcomes is not None:
            mark, done_outcomes = outcomes.write(state.outcomes, told, close=close_log)
            names = (*state.told, *(each.name for each in told if each.lost is None))
            state = replace(state, outcomes=mark, told=names[-RECENT:])
        self._store.write(state)
        if journal is not None:
            journal.forget(done)
        if outcomes is not None:
            outcomes.forget(done_outcomes)
        return state

    @property
    def log_failure(self) -> str | None:
        """Why rows can't be written to the log's segments, while that is so."""
        return self._journal.failure if self._journal is not None else None

    def has_told(self, name: str) -> bool:
        """Whether the outcomes of a request are on the disk already."""
        before = self._outcomes is not None and self._outcomes.has(name)
        return before or name in self.saved.told

    def log_news(self) -> None:
        """What became of a segment waits to be counted."""
        for each in (self._journal, self._outcomes):
            if each is not None:
                each.news = True
                self._due.set()

    def listen(self, listener: Callable[[State], None]) -> Callable[[], None]:
        """`listener` is called after each write. Returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def adopt(self, reference: Reference) -> bool:
        """Count against it from now on, with all that was held back. False: there is another one, which was published
        with the model. Raises OSError."""
        self.settle()
        known = self.state.reference
        if known is not None and {known.source, reference.source} == {"learned"} and known.digest != reference.digest:
            self.state = counter.switched(self.state, uuid.uuid4().hex, reference)
        if self.state.reference is None and self.plan.problem is None:
            self.state = counter.with_reference(self.state, reference)
        if self.state.digest != reference.digest:
            return False
        await self.save()
        return True

    def reading(self) -> Reading | None:
        """Of what is on the disk. None: there is no reference yet."""
        return counter.reading(self.saved, self._pod, final=self.final) if self.saved.reference else None

    @property
    def layout(self) -> Layout:
        """Of what is counted, or learned; empty while neither is known."""
        return self.state.layout if self.state.layout.slots else self.state.held.layout

    @property
    def features(self) -> Mapping[Side, tuple[str, ...]]:
        """Their names as clients know them, by side."""
        return {side: tuple(plain_name(slot) for slot in self.layout.slots if slot.side == side) for side in SIDES}

    @property
    def tensors(self) -> Mapping[Side, tuple[str, ...]]:
        """That have features, by side."""
        signature = self.plan.signature
        found = [(slot.side, slot.tensor) for slot in self.layout.slots]
        if not found and signature is not None:
            found = [("input", each.name) for each in signature.inputs] + [
                ("output", e.name) for e in signature.outputs
            ]
        return {side: tuple(dict.fromkeys(name for where, name in found if where == side)) for side in SIDES}

    @property
    def snapshot_age(self) -> float:
        """Seconds since everything that is known was on the disk."""
        return 0.0 if self.state is self.saved and not self._pending else self._clock() - self.saved_at

    async def run(self) -> None:
        """Write about each second, or as soon as much is pending, until cancelled."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._due.wait(), SAVE_EVERY)
            self._due.clear()
            said = self.failure
            try:
                self.windows.roll(await self.save())
            except OSError:
                if self.failure != said:
                    log.error("%s; no batch is acknowledged and no count shown until it can", self.failure)

    def _tell(self, arrivals: list[Arrival]) -> None:
        """Why rows were refused that could be read, once for all of them."""
        for arrival in arrivals:
            try:
                fitted(self.layout, arrival)
            except RequestError as error:
                log.warning("rows are refused: %s", error, extra=_first_of(arrival))
                return

    def _one_by_one(self, arrivals: list[Arrival]) -> None:
        for arrival in arrivals:
            try:
                self.state = counter.take(self.state, [arrival], self.plan)
            except Exception:
                told = {QUOTES: True, **_first_of(arrival)}
                log.exception("a batch of %d rows is refused", arrival.batch.rows, extra=told)
                self.state = counter.take(self.state, [Arrival(arrival.batch, arrival.sides, refused=True)], self.plan)
