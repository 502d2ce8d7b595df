"""A trigger that is asked beside the reconcile, because whoever answers it may take their time.

Invariant: what it is told once is returned once; until then the outcome is Asked, and nothing is decided. An answer
that is lost (the status could not be written) is asked for again, which every trigger allows.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from modelward.kube.cache import Key
from modelward.kube.poller import Poller, Question
from modelward.kube.resources import DRIFT_POLICIES
from modelward.retraining.lifecycle.run import ASKED, SUCCEEDED, Outcome
from modelward.retraining.triggers.trigger import Order, Trigger

EVERY: Final = 4.0
"""Seconds between two questions of the same run: a little less than policies ask for."""


class PolledTrigger:
    """`trigger`, behind the same interface. `kind`: of its questions, which share a limit; `every`: seconds between two
    questions how a run goes."""

    def __init__(self, trigger: Trigger, poller: Poller, kind: str = "webhook", every: float = EVERY) -> None:
        self._trigger = trigger
        self._poller = poller
        self._kind = kind
        self._every = every
        self._answers: dict[Question, tuple[object, Outcome]] = {}

    async def start(self, order: Order) -> Outcome:
        return self._ask(order, "start", self._trigger.start, EVERY)

    async def poll(self, order: Order) -> Outcome:
        return self._ask(order, "poll", self._trigger.poll, self._every)

    async def cancel(self, order: Order) -> Outcome:
        """A start that is under way first gets its answer, which may say what to stop."""
        question = self._question(order)
        stopping, about = replace(question, part=f"{question.part} stop"), ("stop", order.policy.uid, order.run.key)
        known = self._answers.pop(stopping, None)
        if known is not None and known[0] == about:
            return known[1]

        async def stop() -> None:
            await self._poller.answered(question)
            asked, answer = self._answers.pop(question, (None, None))
            started = answer.handle if answer is not None and asked == _about(order, "start") else None
            handle = order.run.handle or started
            outcome = await self._trigger.cancel(replace(order, run=replace(order.run, handle=handle)))
            self._answers[stopping] = (about, outcome or Outcome(SUCCEEDED))

        self._poller.ask(stopping, stop, EVERY)
        return Outcome(ASKED)

    def _ask(self, order: Order, what: str, ask: Callable[[Order], Awaitable[Outcome]], every: float) -> Outcome:
        question, about = self._question(order), _about(order, what)
        known = self._answers.pop(question, None)
        if known is not None and known[0] == about:
            return known[1]

        async def look() -> None:
            self._answers[question] = (about, await ask(order))

        self._poller.ask(question, look, every, about)
        return Outcome(ASKED)

    def _question(self, order: Order) -> Question:
        key = Key(order.policy.namespace, order.policy.name, DRIFT_POLICIES.kind)
        return Question(self._kind, key, order.run.name)


def _about(order: Order, what: str) -> object:
    return (what, order.policy.uid, order.run.key, order.run.handle)
