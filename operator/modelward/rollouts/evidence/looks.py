"""Looks at one arm beside the stable revision: what happened in both since the last look, over all pods.

What is remembered between two looks may be forgotten: the next look then only begins to count.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelward.facts import Observed, PodFacts
from modelward.rollouts.evidence.by_users import ByUsers, rows_of
from modelward.rollouts.evidence.pairs import Pairs, Sample
from modelward.rollouts.evidence.scrape import NEWEST, Scraper
from modelward.rollouts.evidence.tally import Counts, Readings, between, remembered
from modelward.rollouts.statistics.outcomes import Outcomes


@dataclass
class Looks:
    """At `revision` beside `stable`. `slo`: seconds, what `readings` were made with; `users`: what pods counted by
    them, and the objective it was made with; `cursors`: by pod uid, its epoch and the number of its last sample."""

    stable: str
    revision: str
    pairs: Pairs
    readings: Readings = field(default_factory=dict)
    slo: float | None = None
    users: tuple[Readings, float | None] = field(default_factory=lambda: ({}, None))
    cursors: dict[str, tuple[str, int]] = field(default_factory=dict)

    async def counts(
        self, scraper: Scraper, observed: Observed, slo: float | None, *, by_clients: bool, refusals: bool = False
    ) -> Mapping[str, Counts]:
        """By revision. `by_clients`: as routers saw it; else as the pods did, since nobody else sees what becomes of
        copies, but where another server than ours is one of the two: then routers, of copies too. `slo`: seconds.
        `refusals`: what models refused as well, which pods alone can tell apart."""
        foreign = any(observed.runtime_of(name) is not None for name in (self.stable, self.revision))
        own = {name: observed.pods_of(name) for name in (self.stable, self.revision)}
        pods = [pod for each in own.values() for pod in each]
        if (by_clients or foreign) and observed.router.pods:
            routers = [pod.pod for pod in observed.router.pods]
            told = scraper.routers if by_clients else scraper.copies
            now = dict(await told(routers, self.stable, self.revision, slo))
            if refusals and not foreign:
                now |= _refusals(await scraper.servers(own, None))
            pods += routers
        else:
            now = {} if foreign else dict(await scraper.servers(own, slo))
        if slo != self.slo:  # what was counted as slow before can't be taken from what is now
            self.readings, self.slo = {}, slo
        counts = between(self.readings, now)
        self.readings = remembered(self.readings, now, frozenset(pod.uid for pod in pods))
        return counts

    async def by_users(self, scraper: Scraper, observed: Observed, slo: float | None) -> ByUsers:
        """What happened since the last look, by users. `slo`: seconds."""
        own = {name: observed.pods_of(name) for name in (self.stable, self.revision)}
        now = await scraper.users(own, slo)
        before = self.users[0] if self.users[1] == slo else {}
        found = between(before, now)
        alive = frozenset(pod.uid for pods in own.values() for pod in pods)
        self.users = remembered(before, now, alive), slo
        return ByUsers(rows_of(self.stable, found), rows_of(self.revision, found))

    async def disagreements(self, scraper: Scraper, observed: Observed) -> Outcomes:
        """Requests that both sides answered and whose answers came to light since the last look."""
        sides = [observed.pods_of(name) for name in (self.stable, self.revision)]
        stable, revision = [await self._samples(scraper, pods) for pods in sides]
        alive = {pod.uid for pods in sides for pod in pods}
        self.cursors = {uid: cursor for uid, cursor in self.cursors.items() if uid in alive}
        return Outcomes(*self.pairs.add(stable, revision))

    async def _samples(self, scraper: Scraper, pods: tuple[PodFacts, ...]) -> list[Sample]:
        async def one(pod: PodFacts) -> list[Sample]:
            epoch, after = self.cursors.get(pod.uid, (None, NEWEST))
            answer = await scraper.samples(pod, after)
            if answer is None:
                return []
            current, following, samples = answer
            if epoch in (None, current) or after == 0:
                self.cursors[pod.uid] = (current, following)
                return samples
            # A process that was started anew counts from the beginning: this was only a part of its samples.
            self.cursors[pod.uid] = (current, 0)
            return []

        return [sample for found in await asyncio.gather(*map(one, pods)) for sample in found]


def _refusals(readings: Readings) -> Readings:
    """Of what pods counted, only this: the rest is told by the routers."""
    return {
        pod: {name: Counts(answered=each.answered, refused=each.refused) for name, each in counted.items()}
        for pod, counted in readings.items()
    }
