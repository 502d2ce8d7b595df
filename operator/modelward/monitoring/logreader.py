"""Asks every pod of a model that keeps a prediction log how far it has come, of all revisions."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from modelward.api.modeldeployment import ModelDeployment
from modelward.facts import Observed, PodFacts
from modelward.kube.cache import Key
from modelward.kube.poller import PendingError, Poller, Question
from modelward.monitoring.client import Monitors
from modelward.monitoring.logged import LogError, Logged, PodLog
from modelward.runtimes.runtime import MODELWARD

KIND: Final = "logs"
"""Of the poller's questions."""

READ_EVERY = 60.0
"""Seconds between two looks: each may be a write of the status."""

STARTING = 60.0
"""Seconds that a pod may be unready before it is told that its monitor does not answer."""


class PredictionLogs:
    """`clock`: monotonic seconds."""

    def __init__(self, monitors: Monitors, poller: Poller, clock: Callable[[], float]) -> None:
        self._monitors, self._poller, self._clock = monitors, poller, clock
        self._known: dict[Key, tuple[str, Logged]] = {}

    def forget(self, owner: Key) -> None:
        """It is gone, or keeps no log any more: what is under way must not be remembered either."""
        self._poller.drop(Question(KIND, owner))
        self._known.pop(owner, None)

    def look(self, owner: ModelDeployment, observed: Observed) -> tuple[Logged | None, float | None]:
        """What is known of the log, and the seconds until the next look; None: no log is wanted. Raises PendingError
        where nobody was asked before."""
        key, wanted = Key(owner.namespace, owner.name), owner.spec.prediction_log
        if wanted is None:
            self.forget(key)
            return None, None
        pods = tuple(_pods(observed))

        async def read() -> None:
            now = self._clock() + offset
            found = await asyncio.gather(*(self._of(pod, now) for pod in pods))
            logs = tuple(each for each in found if each is not None)
            self._known[key] = (owner.uid, Logged(wanted.uri, logs))

        offset = observed.clock.now - self._clock()
        question = Question(KIND, key)
        again_in = self._poller.ask(question, read, READ_EVERY, (owner.uid, wanted.uri))
        if self._poller.is_pending(question):
            raise PendingError
        uid, logged = self._known.get(key, ("", Logged(wanted.uri)))
        return logged if uid == owner.uid else Logged(wanted.uri), again_in

    async def _of(self, pod: PodFacts, now: float) -> PodLog | None:
        """None: it keeps none, as it is of a revision that has none; or it is another pod."""
        answer = await self._monitors.log(pod)
        if answer.content is None and answer.problem is None:
            waits = 0.0 if pod.ready or pod.waits_since is None else now - pod.waits_since
            passing = pod.terminating or (not pod.ready and waits < STARTING)
            return PodLog(pod.name, silent=True, starting=passing)
        if answer.problem is not None:
            return PodLog(pod.name, disk=answer.problem)
        if not answer.content:
            return None
        try:
            return PodLog.of(pod.name, pod.uid, answer.content)
        except LogError as error:
            return PodLog(pod.name, disk=f"{error}; run operator and pods of the same version")


def _pods(observed: Observed) -> Iterable[PodFacts]:
    for facts in observed.revisions.values():
        for pod in facts.workload.pods:
            if pod.ip and any(each.name == MODELWARD.containers.monitor for each in pod.containers):
                yield pod
