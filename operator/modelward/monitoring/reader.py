"""Reads the monitors of the stable revision's pods, adds their counts up, and keeps everybody's windows.

What a restart must not forget (the sum of the pods that are gone, where each window began, which window ended last) is
in a ConfigMap before anybody sees it. The rest is in the pods.
"""

import asyncio
import functools
import logging
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from modelward.api.modeldeployment import ModelDeployment, Monitor
from modelward.facts import Observed, PodFacts
from modelward.kube.cache import Key, Object
from modelward.kube.client import Api, ApiError
from modelward.kube.poller import PendingError, Poller, Question
from modelward.kube.resources import CONFIG_MAPS
from modelward.monitoring import judging, pooling, store, windows
from modelward.monitoring.client import Answer, Monitors
from modelward.monitoring.judging import Rules
from modelward.monitoring.logreader import PredictionLogs
from modelward.monitoring.pooling import Pool
from modelward.monitoring.status import Monitored, PodMonitor
from modelward.monitoring.windows import Book, Look, Window, WindowSettings
from modelward.net.untrusted import quoted
from modelward.revisions.observed.ownership import belongs_to, claim_of_another
from modelward.runtimes.runtime import MODELWARD
from modelward.values.durations import seconds
from modelward_drift.counting.reading import Reading
from modelward_drift.errors import DriftError
from modelward_drift.judging.verdict import Decision
from modelward_drift.profiles.reference import Reference

log = logging.getLogger(__name__)

STARTING = 60.0
"""Seconds that a pod may be unready before it is told that its monitor does not answer."""

READ_EVERY = 10.0
"""Seconds between two looks; shorter windows are looked at four times each."""

MUTE_EVERY = 60.0
"""Seconds between two looks where no monitor answers, at most; it doubles from READ_EVERY on: pods that only begin
answer soon, and those that never do need not be asked often."""

ORPHANED_AFTER = 600.0
"""Seconds after which the windows of a reader that does not ask for them any more are dropped."""

FAREWELL_EVERY = 1.0
"""Seconds between two looks while a pod ends: it waits for that look."""

OWN = "own"
"""The reader whose windows the ModelDeployment's status shows; others are policies, by uid."""


@dataclass(frozen=True)
class _Reader:
    """Who asks for windows: which ones, and when last."""

    settings: WindowSettings
    asked_at: float


@dataclass
class _State:
    """Of one revision of the ModelDeployment with this uid. `books`: by reader, as they are stored.

    `saved`: the ConfigMap of an earlier operator, until its reference is known; `taken`: who else has it; `known`: the
    pods that are stored; `damaged`: why what was stored is lost; `asked`: uids of the pods that there are; `mute`:
    looks in a row that none of them answered.
    """

    owner: str
    revision: str
    readers: dict[str, _Reader]
    began: float
    saved: Object | None = None
    loaded: bool = False
    taken: str | None = None
    pool: Pool | None = None
    books: dict[str, Book] = field(default_factory=dict)
    known: frozenset[str] | None = None
    not_stored: str | None = None
    damaged: str | None = None
    asked: frozenset[str] = frozenset()
    mute: int = 0
    pods: tuple[PodMonitor, ...] = ()
    judged: tuple[Window, tuple[Decision, ...]] | None = None
    shown: Monitored | None = None


class Monitoring:
    """`clock`: monotonic seconds. Times of windows are the wall clock's, which the caller gives."""

    def __init__(self, api: Api, monitors: Monitors, poller: Poller, clock: Callable[[], float]) -> None:
        self._api = api
        self._poller = poller
        self._monitors = monitors
        self._clock = clock
        self._states: dict[Key, _State] = {}
        self.logs = PredictionLogs(monitors, poller, clock)

    def forget(self, owner: Key) -> None:
        self._leave(owner)
        self.logs.forget(owner)

    def _leave(self, owner: Key) -> None:
        """Nothing is counted of it now; its log is asked for by itself."""
        self._states.pop(owner, None)
        self._poller.drop(Question("monitors", owner))

    def shown(self) -> dict[tuple[str, str], Monitored]:
        """What was last said of each ModelDeployment with a monitor, by namespace and name."""
        return {
            (key.namespace, key.name): state.shown for key, state in self._states.items() if state.shown is not None
        }

    def look(self, owner: ModelDeployment, observed: Observed) -> tuple[Monitored | None, float | None]:
        """What is to be said of the stable revision's monitors, as of the last look at them, and seconds until the next
        (None: one is under way). None where spec asks for no monitor, or nothing is served yet.
        Raises PendingError where the revision's were asked for the first time just now.
        """
        key = Key(owner.namespace, owner.name)
        wanted, routes = owner.spec.monitor, observed.router.routes
        if owner.spec.prediction_log is None:
            self.logs.forget(key)
        if wanted is None or routes is None:
            self._leave(key)
            return None, None
        state = self._state(key, owner.uid, routes.stable, wanted)
        pods = _pods(observed, routes.stable)
        if state.asked != (uids := frozenset(pod.uid for pod in pods)):
            state.asked, state.mute = uids, 0  # others may well answer
        read = functools.partial(self._read, owner, state, pods, observed.clock.now - self._clock())
        question = Question("monitors", key)
        again_in = self._poller.ask(question, read, _pause(state, pods), (owner.uid, state.revision))
        if self._poller.is_pending(question):
            raise PendingError
        state.shown = _told(state, wanted)
        return state.shown, again_in

    def window(self, owner: Key, revision: str, reader: str, settings: WindowSettings, now: float) -> Look:
        """A reader's windows, as of the last look at the pods. `revision`: that the reader takes for the stable one."""
        state = self._states.get(owner)
        if state is None or state.revision != revision:
            return Look(problem="its monitors have not been read yet")
        state.readers[reader] = _Reader(settings, self._clock())
        pool, book = state.pool, state.books.get(reader)
        if pool is None or book is None:
            return Look(pool.reference if pool else None, problem="its monitors have not been read yet")
        current = windows.current(book, pool, revision, now)
        unread = None if pool.whole else "some pods have not been read again since the operator began"
        return Look(pool.reference, current, book.closed, book.missing or unread)

    def _state(self, key: Key, owner: str, revision: str, wanted: Monitor) -> _State:
        state = self._states.get(key)
        if state is None or (state.owner, state.revision) != (owner, revision):
            # Another reference and other pods: every reader's windows begin anew.
            readers = {} if state is None else dict(state.readers)
            state = self._states[key] = _State(owner, revision, readers, self._clock())
        settings = WindowSettings(seconds(wanted.window.duration), wanted.window.min_samples)
        state.readers[OWN] = _Reader(settings, self._clock())
        return state

    async def _read(self, owner: ModelDeployment, state: _State, pods: tuple[PodFacts, ...], offset: float) -> None:
        """`offset`: of the wall clock to the monotonic one, seconds. Raises ApiError, ApiUnreachableError."""
        now = self._clock() + offset
        if not state.loaded:
            name = store.store_name(state.revision)
            found = await self._api.get(CONFIG_MAPS, owner.namespace, name)
            state.taken = claim_of_another(found, owner) if found is not None else None
            state.saved = found if found is not None and belongs_to(found, owner) else None
            state.loaded = True
        answers = dict(zip(pods, await asyncio.gather(*map(self._monitors.counts, pods)), strict=True))
        state.mute = state.mute + 1 if answers and all(each == Answer() for each in answers.values()) else 0
        reference = await self._reference(state, answers)
        if reference is None:
            state.pods = tuple(_said(pod, _heard(pod, answer, None)[1], now) for pod, answer in answers.items())
            return
        if state.pool is None or state.pool.reference.digest != reference.digest:
            self._begin(state, reference)
        assert state.pool is not None
        heard = [_heard(pod, answer, reference) for pod, answer in answers.items()]
        unwilling = await self._hand_over(reference, answers)
        state.pods = tuple(
            PodMonitor(pod.name, problem=unwilling[pod]) if pod in unwilling else _said(pod, said, now)
            for pod, (_, said) in zip(answers, heard, strict=True)
        )
        readings = [reading for reading, _ in heard if reading is not None]
        await self._keep(owner, state, pooling.heard(state.pool, readings, frozenset(pod.uid for pod in pods)), now)

    async def _reference(self, state: _State, answers: dict[PodFacts, Answer]) -> Reference | None:
        """What the revision is compared with: the one that is known, as long as any pod counts against it. A pod whose
        reference can't be read gets that as its answer.

        A learned one is the first that any pod has learned, and all pods are given it.
        """
        known = state.pool.reference if state.pool else None
        if known is None and state.saved is not None:
            known = store.stored_reference(state.saved)
        digests = {pod: _digest(answer) for pod, answer in answers.items()}
        present = {digest for digest in digests.values() if digest is not None}
        if known is not None and (known.source == "learned" or known.digest in present or not present):
            return known
        for pod, digest in digests.items():
            try:
                found = await self._monitors.reference(pod) if digest is not None else None
            except DriftError as error:
                answers[pod] = Answer(problem=f"{error}; run operator and pods of the same version")
                continue
            if found is not None:
                return found
        return known

    def _begin(self, state: _State, reference: Reference) -> None:
        """Go on where an earlier operator ended, or begin to count."""
        log.info("%s is compared with the reference %s", state.revision, reference.digest)
        resumed = store.restored(state.saved, reference) if state.saved is not None else None
        if state.saved is not None and store.is_damaged(state.saved, reference, resumed):
            state.damaged = (
                f"What ConfigMap {store.store_name(state.revision)} held of the windows could not be read: somebody "
                "else has edited it. They begin anew"
            )
        state.pool, state.books = resumed or (pooling.opened(reference), {})
        state.known = state.pool.pods() if resumed else None
        state.saved = None

    async def _hand_over(self, reference: Reference, answers: Mapping[PodFacts, Answer]) -> dict[PodFacts, str]:
        """Give a learned reference to the pods that still learn, or have learned another one. What pods say that learn
        and can't take it, as those of another release."""
        refused: dict[PodFacts, str] = {}
        if reference.source != "learned":
            return refused
        for pod, answer in answers.items():
            if answer.learning or _digest(answer) not in (None, reference.digest):
                said = await self._monitors.adopt(pod, reference)
                if answer.learning and said.problem:
                    refused[pod] = said.problem
        return refused

    async def _keep(self, owner: ModelDeployment, state: _State, pool: Pool, now: float) -> None:
        """Let every reader's window come to its end, and store what must not be forgotten before it is shown."""
        silent = self._clock() - ORPHANED_AFTER
        state.readers = {name: reader for name, reader in state.readers.items() if reader.asked_at >= silent}
        # Those that an earlier operator stored have some time to ask again.
        books = {name: book for name, book in state.books.items() if name in state.readers or state.began >= silent}
        for name, reader in state.readers.items():
            if name in books:
                books[name] = windows.advanced(books[name], pool, reader.settings, state.revision, now)
            elif pool.whole:
                books[name] = replace(windows.opened(pool, now), missing=state.damaged)
        changed = books.keys() != state.books.keys() or any(books[each] is not state.books[each] for each in books)
        if changed or pool.pods() != state.known:
            await self._store(owner, state, pool, books)
        state.pool, state.books = pool, books

    async def _store(self, owner: ModelDeployment, state: _State, pool: Pool, books: Mapping[str, Book]) -> None:
        if state.taken is not None:
            name = store.store_name(state.revision)
            state.not_stored = (
                f"The windows can't be stored, so they begin anew with the operator: ConfigMap {name} {state.taken}"
            )
            return
        try:
            await self._api.apply(CONFIG_MAPS, store.store(owner, state.revision, pool, books))
        except ApiError as error:
            if not error.is_refusal:
                raise
            # The windows go on in memory; only another operator would begin them anew.
            log.warning("%s/%s: windows can't be stored: %s", owner.namespace, owner.name, error)
            state.not_stored = f"The windows can't be stored, so they begin anew with the operator: {error.message}"
        else:
            state.known, state.not_stored = pool.pods(), None


def _pods(observed: Observed, revision: str) -> tuple[PodFacts, ...]:
    """Those of a revision that have a monitor, and an address to ask it by; ending ones, too."""
    facts = observed.revisions.get(revision)
    found = facts.workload.pods if facts else ()
    return tuple(
        pod
        for pod in found
        if pod.ip and any(container.name == MODELWARD.containers.monitor for container in pod.containers)
    )


def _pause(state: _State, pods: Collection[PodFacts]) -> float:
    """Seconds between two looks."""
    if any(pod.terminating for pod in pods):
        return FAREWELL_EVERY
    if state.mute:
        return min(MUTE_EVERY, READ_EVERY * 2.0 ** min(state.mute - 1, 16))
    shortest = min((reader.settings.duration for reader in state.readers.values()), default=READ_EVERY)
    return max(1.0, min(READ_EVERY, shortest / 4))


def _digest(answer: Answer) -> str | None:
    content = answer.content
    digest = content.get("digest") if isinstance(content, Mapping) else None
    return digest if isinstance(digest, str) else None


def _heard(pod: PodFacts, answer: Answer, reference: Reference | None) -> tuple[Reading | None, PodMonitor]:
    """A pod's reading, where it is one of this reference, and what is to be said of the pod."""
    digest = _digest(answer)
    said = PodMonitor(pod.name, digest, answer.learning, answer.problem)
    if answer.content is None or reference is None or digest not in (None, reference.digest):
        return None, said
    try:
        reading = Reading.from_dict(answer.content, reference)
    except DriftError as error:
        return None, PodMonitor(pod.name, problem=f"{quoted(error)}; run operator and pods of the same version")
    if reading.pod != pod.uid:
        # Another pod has this address by now.
        return None, PodMonitor(pod.name)
    return reading, said


def _said(pod: PodFacts, said: PodMonitor, now: float) -> PodMonitor:
    """What is to be said of a pod at `now`, seconds since the epoch: one that is only starting owes no answer yet."""
    waits = 0.0 if pod.ready or pod.waits_since is None else now - pod.waits_since
    return replace(said, starting=not pod.ready and waits < STARTING)


def _told(state: _State, wanted: Monitor) -> Monitored:
    pool, book = state.pool, state.books.get(OWN)
    window = book.closed if book else None
    decisions: tuple[Decision, ...] = ()
    if pool is not None and window is not None:
        if state.judged is None or state.judged[0] is not window:
            rules = Rules(state.readers[OWN].settings)
            state.judged = (window, judging.judged(pool.reference, window, rules))
        decisions = state.judged[1]
    return Monitored(
        state.revision,
        wanted.top_features,
        pool.reference if pool else None,
        state.pods,
        window,
        decisions,
        book.start if book else None,
        state.not_stored or (book.missing if book else None),
        pool.intake if pool else None,
    )
