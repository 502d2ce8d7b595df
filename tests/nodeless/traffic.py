"""Stands in for the counters of routers and pods, which this tier has not: each look finds more requests.

A mock, because nothing sends requests on a bare API server; the e2e tier reads real counters of real Envoys.
"""

from collections.abc import Collection, Mapping
from typing import Any

from modelward.facts import PodFacts
from modelward.rollouts.evidence.by_users import ROWS, row_of
from modelward.rollouts.evidence.pairs import Sample
from modelward.rollouts.evidence.tally import Counts, Readings

REQUESTS = 2000
"""Of each revision between two looks."""


class FakeTraffic:
    """Instead of Scraper. `errors`: share of error answers by revision; `bad_but`: every revision but this one fails
    often; `quiet`: nobody sends anything; `one_user`: whose the errors are, as far as requests of one go."""

    def __init__(self) -> None:
        self.errors: dict[str, float] = {}
        self.bad_but = ""
        self.quiet = False
        self.one_user = False
        self._counts: dict[str, Counts] = {}

    async def routers(self, pods: Collection[PodFacts], stable: str, arm: str, _slo: float | None) -> Readings:
        for revision in (stable, arm):
            if not self.quiet:
                usual = 0.2 if self.bad_but and revision != self.bad_but else 0.0
                bad = round(REQUESTS * self.errors.get(revision, usual))
                self._counts[revision] = self._counts.get(revision, Counts()) + Counts(
                    REQUESTS, bad, REQUESTS, 0, REQUESTS, 0
                )
        first = next((pod.uid for pod in pods), None)
        return {first: {name: self._counts[name] for name in (stable, arm) if name in self._counts}} if first else {}

    async def copies(self, pods: Collection[PodFacts], stable: str, arm: str, slo: float | None) -> Readings:
        return await self.routers(pods, stable, arm, slo)

    async def servers(self, pods: Mapping[str, Collection[PodFacts]], slo: float | None) -> Readings:
        stable, arm = pods
        return await self.routers([pod for own in pods.values() for pod in own], stable, arm, slo)

    async def users(self, pods: Mapping[str, Collection[PodFacts]], _slo: float | None) -> Readings:
        """None, as of pods of an earlier version; or all errors of a revision are those of one group of users."""
        if not self.one_user:
            return {}
        readings: dict[str, dict[str, Counts]] = {}
        for revision, own in pods.items():
            total = self._counts.get(revision, Counts())
            each = total.requests // ROWS
            rows = [min(each, total.errors), *[0] * (ROWS - 1)]
            counted = {row_of(revision, number): Counts(each, bad, each) for number, bad in enumerate(rows)}
            readings |= {pod.uid: counted for pod in list(own)[:1]}
        return readings

    async def samples(self, _pod: PodFacts, _after: int) -> tuple[str, int, list[Sample]] | None:
        return None


def as_scraper(traffic: FakeTraffic) -> Any:
    """In the place of the real one."""
    return traffic
