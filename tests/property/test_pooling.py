"""Whatever becomes of pods and operators: a row is in exactly one window, or the loss is told."""

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelward.monitoring import pooling, windows
from modelward.monitoring.windows import Book, WindowSettings
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.reading import Intake, Reading
from modelward_drift.profiles.reference import Feature, Reference

PROFILE = profile_of("x", "numeric", [float(value) for value in range(100)])
REFERENCE = Reference((Feature("input", "x", None, PROFILE),))
SETTINGS = WindowSettings(10.0, 5)


class Cluster(RuleBasedStateMachine):
    """Pods that count, and an operator that reads all of them, in part, or begins anew from what it stored.

    What is lost is only what a pod takes along that was not read to its end, or that goes while nobody has read it.
    """

    @initialize()
    def begin(self) -> None:
        self.now = 0.0
        self.names = 0
        self.pods: dict[str, tuple[str, int]] = {}  # epoch and rows
        self.pool = pooling.opened(REFERENCE)
        self.book = windows.opened(self.pool, self.now)
        self.stored = self.dumped()
        self.known = self.pool.pods()
        self.seen: list[windows.Window] = []
        self.total = 0  # rows that any pod ever counted
        self.unread = 0  # of those, rows that no operator can have read any more

    def dumped(self) -> str:
        return json.dumps([pooling.dump(self.pool), windows.dump(self.book)])

    @rule()
    def start_pod(self) -> None:
        self.names += 1
        self.pods[f"p{self.names}"] = ("e1", 0)

    @precondition(lambda self: self.pods)
    @rule(data=st.data(), rows=st.integers(1, 20))
    def serve(self, data: st.DataObject, rows: int) -> None:
        pod = data.draw(st.sampled_from(sorted(self.pods)))
        epoch, before = self.pods[pod]
        self.pods[pod] = (epoch, before + rows)
        self.total += rows

    @precondition(lambda self: self.pods)
    @rule(data=st.data())
    def lose_disk(self, data: st.DataObject) -> None:
        """A pod that counts anew: what was read before stays."""
        pod = data.draw(st.sampled_from(sorted(self.pods)))
        epoch, rows = self.pods[pod]
        self.unread += rows - self.read_of(pod)
        self.pods[pod] = (f"e{int(epoch[1:]) + 1}", 0)

    @precondition(lambda self: self.pods)
    @rule(data=st.data())
    def end_pod(self, data: st.DataObject) -> None:
        pod = data.draw(st.sampled_from(sorted(self.pods)))
        self.unread += self.pods.pop(pod)[1] - self.read_of(pod)

    def read_of(self, pod: str) -> int:
        last = self.pool.last.get(pod)
        return last.intake.counted if last is not None and last.epoch == self.pods.get(pod, (last.epoch,))[0] else 0

    @rule(data=st.data(), passed=st.floats(0.1, 15))
    def look(self, data: st.DataObject, passed: float) -> None:
        """Some of the pods answer."""
        self.now += passed
        answering = data.draw(st.sets(st.sampled_from(sorted(self.pods)))) if self.pods else set()
        readings = [
            Reading(pod, epoch, rows, REFERENCE.digest, (count(PROFILE, [50.0] * rows),), Intake(counted=rows))
            for pod, (epoch, rows) in self.pods.items()
            if pod in answering
        ]
        pool = pooling.heard(self.pool, readings, frozenset(self.pods))
        book: Book = windows.advanced(self.book, pool, SETTINGS, "r", self.now)
        if book is not self.book or pool.pods() != self.known:
            self.pool, self.book = pool, book
            self.stored, self.known = self.dumped(), pool.pods()
        if book.closed is not None and (not self.seen or self.seen[-1].end != book.closed.end):
            self.seen.append(book.closed)
        self.pool, self.book = pool, book

    @rule()
    def restart_operator(self) -> None:
        raw_pool, raw_book = json.loads(self.stored)
        pool, book = pooling.load(raw_pool, REFERENCE), windows.load(raw_book, REFERENCE)
        assert pool is not None
        assert book is not None
        self.pool, self.book = pool, book

    @invariant()
    def nothing_is_counted_twice(self) -> None:
        in_windows = sum(window.rows for window in self.seen)
        assert in_windows <= self.total
        current = windows.current(self.book, self.pool, "r", self.now)
        if current is not None and self.pool.generation == 1:
            assert in_windows + current.rows <= self.total

    @invariant()
    def nothing_is_lost_without_a_word(self) -> None:
        current = windows.current(self.book, self.pool, "r", self.now)
        if current is None or self.pool.generation != 1:
            return
        unread_now = sum(rows - self.read_of(pod) for pod, (_, rows) in self.pods.items())
        assert sum(window.rows for window in self.seen) + current.rows + unread_now + self.unread >= self.total


Cluster.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestCluster = Cluster.TestCase
