"""A trigger that is asked beside the reconcile: what it is told, when, and that nothing is decided before."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from modelward.api.driftpolicy import DriftPolicy
from modelward.kube.cache import Cache, Key
from modelward.kube.client import ApiUnreachableError
from modelward.kube.poller import Poller
from modelward.reconcilers.driftpolicy.reconcile import PolicyReconciler, _Target
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import ASKED, SUCCEEDED, WORKING, Outcome, Run
from modelward.retraining.target import Memory
from modelward.retraining.triggers.polled import EVERY, PolledTrigger
from modelward.retraining.triggers.trigger import Order
from simulated import simulate

from .test_triggers_webhook import FACTS, MODEL, RUN, policy

KEY = Key("ml", "fraud", "DriftPolicy")
ORDER = Order(policy("http://hook"), RUN, FACTS)
POLLED = replace(ORDER, run=replace(RUN, phase=runs.RUNNING, handle="http://hook/1"))
DONE = Outcome(SUCCEEDED, report=runs.Report(replace(MODEL, uri="s3://models/fraud/2/fraud.tar")))


class Stored:
    """The runs' objects: whatever is stored is so."""

    async def refusal(self, _policy: DriftPolicy, _run: Run) -> None: ...

    async def store(self, _policy: DriftPolicy, run: Run, _now: str) -> Run:
        return run


class OtherSide:
    """The trigger itself, which takes two seconds for each answer. `ended`: handles of the runs that it was to stop."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ended: list[str | None] = []
        self.fails = False
        self.due: list[Key] = []
        self.poller = Poller(self.due.append, asyncio.get_running_loop().time)
        self.trigger = PolledTrigger(self, self.poller)

    async def start(self, _order: Order) -> Outcome:
        return await self._answer("start", Outcome(WORKING, handle="http://hook/1"))

    async def poll(self, _order: Order) -> Outcome:
        return await self._answer("poll", DONE)

    async def cancel(self, order: Order) -> None:
        self.ended.append(order.run.handle)

    async def _answer(self, what: str, outcome: Outcome) -> Outcome:
        self.asked.append(what)
        await asyncio.sleep(2.0)
        if self.fails:
            raise ApiUnreachableError("no answer for the Secret")
        return outcome


def test_a_system_that_wants_to_be_asked_seldom_is() -> None:
    async def main() -> None:
        other = OtherSide()
        trigger = PolledTrigger(other, other.poller, "github", 30.0)
        for _ in range(12):
            await trigger.poll(POLLED)
            await other.poller.idle()
            await asyncio.sleep(4.0)
        assert 2 <= other.asked.count("poll") <= 3, "in about 70 seconds"
        for _ in range(4):
            await trigger.start(ORDER)
            await other.poller.idle()
            await asyncio.sleep(11.0)
        assert other.asked.count("start") == 2, "what has not begun yet is no load"

    simulate(main())


def test_each_answer_is_told_once_and_makes_the_policy_due() -> None:
    async def main() -> None:
        other = OtherSide()
        assert await other.trigger.poll(POLLED) == await other.trigger.poll(POLLED) == Outcome(ASKED)
        await other.poller.idle()
        assert (other.due, other.asked) == ([KEY], ["poll"])
        assert await other.trigger.poll(POLLED) == DONE
        assert await other.trigger.poll(POLLED) == Outcome(ASKED), "what was lost is asked for again"
        await asyncio.sleep(10.0)
        await other.trigger.poll(POLLED)
        await other.poller.idle()
        assert other.asked == ["poll", "poll"]

    simulate(main())


def test_the_answer_to_one_question_is_not_that_to_another() -> None:
    async def main() -> None:
        other = OtherSide()
        await other.trigger.start(ORDER)
        await other.poller.idle()
        assert await other.trigger.poll(POLLED) == Outcome(ASKED)
        await other.poller.idle()
        assert await other.trigger.poll(POLLED) == DONE
        assert other.asked == ["start", "poll"]

    simulate(main())


def test_who_could_not_even_be_asked_is_asked_again() -> None:
    async def main() -> None:
        other = OtherSide()
        other.fails = True
        await other.trigger.poll(POLLED)
        await other.poller.idle()
        assert other.due == [KEY]
        other.fails = False
        await asyncio.sleep(5 * EVERY)
        assert await other.trigger.poll(POLLED) == Outcome(ASKED)
        await other.poller.idle()
        assert await other.trigger.poll(POLLED) == DONE

    simulate(main())


@pytest.mark.parametrize("after", [1.0, 3.0], ids=["while it starts", "once it has started"])
def test_a_run_that_is_stopped_before_its_handle_is_stored_is_stopped_all_the_same(after: float) -> None:
    async def main() -> None:
        other = OtherSide()
        await other.trigger.start(ORDER)
        await asyncio.sleep(after)
        await other.trigger.cancel(ORDER)
        await other.poller.idle()
        assert other.ended == ["http://hook/1"]

    simulate(main())


def test_a_run_is_stopped_by_what_status_knows() -> None:
    async def main() -> None:
        other = OtherSide()
        await other.trigger.cancel(POLLED)
        assert other.ended == [], "nobody waits for it"
        await other.poller.idle()
        assert other.ended == ["http://hook/1"]

    simulate(main())


def test_what_comes_of_stopping_is_told_once_and_makes_the_policy_due() -> None:
    async def main() -> None:
        other = OtherSide()
        assert await other.trigger.cancel(POLLED) == await other.trigger.cancel(POLLED) == Outcome(ASKED)
        await other.poller.idle()
        assert other.due == [KEY]
        assert await other.trigger.cancel(POLLED) == Outcome(SUCCEEDED)
        assert other.ended == ["http://hook/1"]

    simulate(main())


def test_a_run_that_is_overdue_is_asked_once_more_before_it_is_stopped() -> None:
    """The operator was away while it ended in time."""

    async def main() -> None:
        other = OtherSide()
        late = datetime.fromtimestamp(RUN.started_at + 10**6, UTC)
        anything = None
        reconciler = PolicyReconciler(
            anything, Cache(), anything, anything, {runs.WEBHOOK: other.trigger}, "me", lambda: late  # type: ignore[arg-type]
        )  # fmt: skip
        reconciler._runs = Stored()  # type: ignore[assignment]
        memory = Memory("fraud", "t", run=POLLED.run)
        target = _Target(memory, memory.verdict, POLLED.run, (), {}, FACTS, selected=True)
        assert await reconciler._step(POLLED.policy, target, POLLED.run) == POLLED.run
        await other.poller.idle()
        moved = await reconciler._step(POLLED.policy, target, POLLED.run)
        assert DONE.report is not None
        assert (moved.model, moved.phase) == (DONE.report.model, runs.ROLLING_OUT)
        assert other.ended == []

    simulate(main())
