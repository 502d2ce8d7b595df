"""Stands in for Scraper: what pods have counted and answered is set by the test. A fake, since a test needs no pods."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelward.facts import PodFacts
from modelward.rollouts.evidence.by_users import counted
from modelward.rollouts.evidence.pairs import Sample
from modelward.rollouts.evidence.scrape import NEWEST
from modelward.rollouts.evidence.tally import Counts, Readings


@dataclass
class FakeScraper:
    """`routers_say`, `pods_say`: by uid, and by revision; `samples_say`: by uid, epoch and all samples; `asked`: how
    often whom."""

    routers_say: dict[str, dict[str, Counts]] = field(default_factory=dict)
    pods_say: dict[str, Counts] = field(default_factory=dict)
    samples_say: dict[str, tuple[str, list[Sample]]] = field(default_factory=dict)
    users_say: dict[str, list[list[int]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    slos: list[float | None] = field(default_factory=list)

    async def routers(self, pods: Collection[PodFacts], stable: str, arm: str, slo: float | None) -> Readings:
        self.asked.append("routers")
        self.slos.append(slo)
        return {
            pod.uid: {name: counts for name, counts in self.routers_say[pod.uid].items() if name in (stable, arm)}
            for pod in pods
            if pod.uid in self.routers_say
        }

    async def copies(self, pods: Collection[PodFacts], stable: str, arm: str, slo: float | None) -> Readings:
        self.asked.append("copies")
        found = await self.routers(pods, stable, arm, slo)
        self.asked.remove("routers")
        return found

    async def servers(self, pods: Mapping[str, Collection[PodFacts]], slo: float | None) -> Readings:
        self.asked.append("servers")
        self.slos.append(slo)
        return {
            pod.uid: {name: self.pods_say[pod.uid]}
            for name, own in pods.items()
            for pod in own
            if pod.uid in self.pods_say
        }

    async def samples(self, pod: PodFacts, after: int) -> tuple[str, int, list[Sample]] | None:
        self.asked.append("samples")
        if pod.uid not in self.samples_say:
            return None
        epoch, samples = self.samples_say[pod.uid]
        return epoch, len(samples), [] if after == NEWEST else samples[after:]

    async def users(self, pods: Mapping[str, Collection[PodFacts]], slo: float | None) -> Readings:
        self.asked.append("users")
        self.slos.append(slo)
        return {
            pod.uid: counted(name, {"users": self.users_say[pod.uid]})
            for name, own in pods.items()
            for pod in own
            if pod.uid in self.users_say
        }

    def count(self, pod: PodFacts, **counts: Counts) -> None:
        """A router pod counts more, by revision (`a`: fraud-a)."""
        said = self.routers_say.setdefault(pod.uid, {})
        for short, more in counts.items():
            name = f"fraud-{short}"
            said[name] = said.get(name, Counts()) + more

    def answer(self, pod: PodFacts, *requests: tuple[str, Any], epoch: str = "e1") -> None:
        """A model pod answers more requests: id and answer; another epoch begins anew."""
        known, samples = self.samples_say.get(pod.uid, (epoch, []))
        said = [Sample(name, {"label": [value]}) for name, value in requests]
        self.samples_say[pod.uid] = (epoch, [*(samples if known == epoch else []), *said])
