"""Pods that never answer and webhooks that hang cost those that they belong to, and nobody else. In simulated time.

The loop is the operator's own: queue, workers, poller, evidence, monitoring, probe and trigger. Only what is asked is
pretended, and a reconcile does no more than ask.
"""

import asyncio
import itertools
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from builders import container, observed, owner, pod, revision, router
from everywhere import Everywhere
from modelward.api.modeldeployment import Monitor
from modelward.facts import Clock, Observed, PodFacts
from modelward.kube.cache import Cache, Key
from modelward.kube.poller import AWAITED, PendingError, Poller
from modelward.kube.queue import WorkQueue
from modelward.kube.resources import DRIFT_POLICIES, MODEL_DEPLOYMENTS
from modelward.monitoring.client import Answer
from modelward.monitoring.reader import Monitoring
from modelward.reconcilers.driftpolicy.reconcile import ASK_EVERY
from modelward.reconcilers.loop import Controller
from modelward.reconcilers.modeldeployment.reconcile import Outcome
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.triggers.polled import PolledTrigger
from modelward.retraining.triggers.trigger import Order
from modelward.rollouts.evidence.collector import LOOK_EVERY, EvidenceCollector
from modelward.rollouts.evidence.tally import Readings
from modelward.routing.envoy.probe import RouterProbe
from simulated import simulate
from unit.retraining.test_triggers_webhook import FACTS, RUN, policy
from unit.rollouts.test_evidence_collector import rolling

MINUTES = 2
POD_TIMEOUT, ROUTER_TIMEOUT, WEBHOOK_TIMEOUT = 2.0, 1.0, 10.0
"""Seconds, as in pods.py, routerprobe.py and webhook.py."""

CANARY = Key("ml", "canary")
POLICY = Key("ml", "fraud", DRIFT_POLICIES.kind)
HANGING = 15


class Asked:
    """Whoever is asked: the canary's pods and the good webhook answer at once, and all others never."""

    def __init__(self) -> None:
        self.canary: list[float] = []
        self.good: list[float] = []

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    async def routers(self, pods: Collection[PodFacts], _stable: str, _arm: str, _slo: float | None) -> Readings:
        if any(each.name.startswith("mute") for each in pods):
            await asyncio.sleep(POD_TIMEOUT)
        else:
            self.canary.append(self.now())
        return {}

    async def counts(self, _pod: PodFacts) -> Answer:
        await asyncio.sleep(POD_TIMEOUT)
        return Answer()

    async def get(self, *_: Any) -> None:
        """Of the API server, which has nothing stored."""

    async def start(self, order: Order) -> runs.Outcome:
        raise AssertionError(order)

    async def poll(self, order: Order) -> runs.Outcome:
        if order.run.name != "good":
            await asyncio.sleep(WEBHOOK_TIMEOUT)
        else:
            self.good.append(self.now())
        return runs.Outcome(runs.WORKING)

    async def cancel(self, order: Order) -> None:
        raise AssertionError(order)


class MuteRouters(RouterProbe):
    async def _version(self, _ip: str) -> str | None:
        await asyncio.sleep(ROUTER_TIMEOUT)
        return None

    async def _answers(self, _ip: str, _revision: str) -> bool:
        await asyncio.sleep(ROUTER_TIMEOUT)
        return False


class Tenants:
    """Asks what a reconcile of each object asks, and nothing else."""

    def __init__(self, asked: Asked, poller: Poller) -> None:
        anything: Any = asked
        self.evidence = EvidenceCollector(anything, None, poller)
        self.monitoring = Monitoring(anything, anything, poller, asked.now)
        self.probe = MuteRouters(anything, poller, clock=asked.now)
        self.trigger = PolledTrigger(anything, poller)

    async def reconcile(self, key: Key) -> Outcome:
        try:
            return Outcome(await self._ask(key))
        except PendingError:
            return Outcome(AWAITED)

    async def _ask(self, key: Key) -> float | None:
        one = replace(owner(), namespace=key.namespace, name=key.name)
        match key.name.partition("-")[0]:
            case "canary":
                return self.evidence.look(one, rolling()).again_in
            case "evidence":
                return self.evidence.look(one, _mute(rolling())).again_in
            case "monitors":
                return self.monitoring.look(replace(one, spec=replace(one.spec, monitor=Monitor())), WATCHED)[1]
            case "probe":
                self.probe.look(key, [pod("mute", ip="10.0.0.1"), pod("mute-too", ip="10.0.0.2")], "v1", {"a": "way"})
                return 5.0
        names = ["good", *(f"hanging-{number}" for number in range(HANGING))]
        for name in names:
            await self.trigger.poll(Order(policy("http://hook"), replace(RUN, name=name, handle="/1"), FACTS))
        return ASK_EVERY


def _mute(facts: Observed) -> Observed:
    (one,) = facts.router.pods
    return replace(facts, router=replace(facts.router, pods=(replace(one, pod=pod("mute")),)))


WATCHED = observed(
    "fraud-a",
    revision("fraud-a", pods=(pod("mute", containers=(container(), container("monitor"))),)),
    router=router("fraud-a"),
    clock=Clock(1000.0),
)


def asked_among(*neighbours: Key) -> Asked:
    """When the canary and the good webhook are asked within some minutes, among these neighbours."""

    async def main() -> Asked:
        asked = Asked()
        cache, queue = Cache(), WorkQueue(asked.now)
        cache.watched = ()
        poller = Poller(queue.add, asked.now)
        tenants = Tenants(asked, poller)
        kinds = {MODEL_DEPLOYMENTS.kind: tenants, DRIFT_POLICIES.kind: tenants}
        controller = Controller(
            None, cache, queue, _Led(), Everywhere(), kinds, asked.now, poller=poller,  # type: ignore[arg-type]
        )  # fmt: skip
        for key in (*neighbours, CANARY):
            queue.add(key)
        running = asyncio.create_task(controller.run(_nothing()))
        await asyncio.sleep(60.0 * MINUTES)
        assert controller.stuck() is None
        running.cancel()
        await asyncio.wait([running])
        return asked

    return simulate(main())


class _Led:
    """A lease that is held."""

    async def acquire(self) -> None: ...

    async def release(self) -> None: ...

    async def keep(self) -> None:
        await asyncio.Event().wait()


async def _nothing() -> tuple[()]:
    return ()


def intervals(times: list[float]) -> list[float]:
    return [after - before for before, after in itertools.pairwise(times)]


def mute(kind: str, namespace: str, number: int = 60) -> list[Key]:
    return [Key(namespace, f"{kind}-{each}") for each in range(number)]


NEIGHBOURS: Mapping[str, list[Key]] = {
    "nobody": [],
    "mute monitors": mute("monitors", "ml"),
    "mute candidates": mute("evidence", "ml"),
    "mute routers": mute("probe", "ml"),
    "hanging webhooks": [POLICY],
    "all of it": [*mute("monitors", "ml"), *mute("evidence", "ml"), *mute("probe", "ml"), POLICY],
    "all of it five times, elsewhere": [
        *mute("monitors", "other", 300), *mute("evidence", "other", 300), *mute("probe", "other", 300), POLICY,
    ],
}  # fmt: skip


@pytest.mark.parametrize("who", NEIGHBOURS)
def test_a_canary_is_looked_at_as_often_as_alone(who: str) -> None:
    looks = asked_among(*NEIGHBOURS[who]).canary
    assert len(looks) >= 0.9 * MINUTES * 60 / LOOK_EVERY
    # But for the first moments, in which nobody knows yet who is mute.
    settled = [time for time in looks if time >= 10.0]
    assert max(intervals(settled)) <= 1.1 * LOOK_EVERY


def test_a_webhook_is_asked_as_often_as_alone_though_others_of_its_policy_hang() -> None:
    asked = asked_among(POLICY)
    assert max(intervals(asked.good)) <= 1.1 * ASK_EVERY
