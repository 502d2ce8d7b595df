"""Asks the monitors in model pods: what they compare with, and what they have counted."""

from dataclasses import dataclass
from typing import Any

import aiohttp

from modelward.facts import PodFacts
from modelward.net.budget import Budget
from modelward.net.credentials import Credentials
from modelward.net.pods import BadAnswerError, NoAnswerError, Pods
from modelward.net.untrusted import decoded, quoted
from modelward.runtimes.runtime import MODELWARD
from modelward_auth.messages import MONITOR
from modelward_drift.profiles.reference import Reference


@dataclass(frozen=True)
class Answer:
    """`content`: the document, where there is one. Else `learning`: rows it has, of those it learns from, or `problem`:
    what it says is wrong. Nothing at all: it did not answer."""

    content: Any = None
    learning: tuple[int, int] | None = None
    problem: str | None = None


class Monitors:
    """`port` is an argument for tests."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        port: int = MODELWARD.ports.monitor,
        credentials: Credentials | None = None,
        budget: Budget | None = None,
    ) -> None:
        self._pods = Pods(session, credentials=credentials, budget=budget)
        self._port = port

    async def counts(self, pod: PodFacts) -> Answer:
        """A Reading's document. It tells the monitor of a pod that ends that its last counts were read."""
        return await self._ask("GET", pod, "/v1/counts?final=1")

    async def reference(self, pod: PodFacts) -> Reference | None:
        """What the pod compares with, None where it has nothing or does not answer. Raises DriftError where that is of
        a release which this one can't read."""
        answer = await self._ask("GET", pod, "/v1/reference")
        return None if answer.content is None else Reference.from_dict(answer.content)

    async def adopt(self, pod: PodFacts, reference: Reference) -> Answer:
        """Let the pod compare with this one."""
        return await self._ask("PUT", pod, "/v1/reference", reference.to_dict())

    async def log(self, pod: PodFacts) -> Answer:
        """How far the pod's prediction log has come; an empty document where it keeps none."""
        try:
            return await self._pods.ask(pod, self._port, "/v1/log", _log_answer, "GET", None, MONITOR)
        except NoAnswerError:
            return Answer()
        except BadAnswerError as error:
            return Answer(problem=str(error))

    async def _ask(self, method: str, pod: PodFacts, path: str, body: Any = None) -> Answer:
        try:
            return await self._pods.ask(pod, self._port, path, _answer, method, body, MONITOR)
        except NoAnswerError:
            return Answer()
        except BadAnswerError as error:
            return Answer(problem=str(error))


def _answer(status: int, raw: bytes) -> Answer:
    """Raises one of UNREADABLE for what is no answer of a monitor."""
    content = decoded(raw)
    if status == 200:
        return Answer(content)
    learning = content.get("learning")
    if learning:
        return Answer(learning=(int(learning["rows"]), int(learning["of"])))
    return Answer(problem=quoted(content["error"]))


def _log_answer(status: int, raw: bytes) -> Answer:
    """Likewise."""
    if status == 404:
        return Answer({})
    content = decoded(raw)
    return Answer(content) if status == 200 else Answer(problem=quoted(content["error"]))
