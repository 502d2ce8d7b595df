"""A small cluster that stores what `decide()` says, part by part, while pods, routers and people do as they like."""

from dataclasses import dataclass, field, replace
from typing import Any

from builders import MODEL, pod, workload
from modelward.api.rollout import AT_ONCE, Rollout
from modelward.api.traffic import HeaderMatch
from modelward.domain.facts import (
    Judgement,
    Observed,
    Progress,
    Promotion,
    RevisionFacts,
    RouterFacts,
    RouterPodFacts,
    RouteTable,
    VariantFacts,
)
from modelward.domain.report import clock_of, progress_of, rollout_status
from modelward.domain.rollout import Decision
from modelward.domain.trial import begin

GOOD = Judgement(passed=True, compared=10**9)
UNDECIDED = Judgement(passed=False, waits_for="errorRate: 3 of 100 requests", compared=3)
ASKING = ("promote", "retry")
"""Commands that ask for a revision that was rejected once more."""

BAD = Judgement(failed="errorRate: 9 of 90 errors", passed=False)


@dataclass
class Pods:
    """A revision's Deployment."""

    desired: int
    ready: int = 0
    settled: bool = False
    promoted: Promotion | None = None

    def facts(self, name: str) -> RevisionFacts:
        return RevisionFacts(name, MODEL, workload(self.desired, self.ready, settled=self.settled), self.promoted)


@dataclass
class Router:
    """One router pod: the routes that it follows, the revisions whose addresses it found, what a probe knows of it."""

    uid: str
    routes: RouteTable
    ready: bool = False
    found: set[str] = field(default_factory=set)
    known: RouterPodFacts | None = None


@dataclass
class World:
    """The state of the cluster. `config`: routes and progress, None where the ConfigMap is gone."""

    target: str
    replicas: int = 1
    rollout: Rollout = AT_ONCE
    variants: tuple[VariantFacts, ...] = ()
    matches: tuple[HeaderMatch, ...] = ()
    history_limit: int = 0
    command: str | None = None
    revisions: dict[str, Pods] = field(default_factory=dict)
    config: tuple[RouteTable, Progress | None] | None = None
    routers: list[Router] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    now: float = 1e9
    verdict: Judgement = GOOD
    """Of the evidence from now on; one that failed stays so for its attempt."""
    failed: set[tuple[str, str, int]] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    """Revisions that must not get traffic before somebody asks for them again."""
    stable: str | None = None
    """As the router was told last."""
    made: int = 0
    """Router pods so far."""

    def observed(self) -> Observed:
        """What a reconcile sees now."""
        routes, progress = self.config or (None, None)
        asked = {self.target, *(variant.revision for variant in self.variants)}
        wanted = {routes.stable, *asked} & set(routes.revisions) if routes else set()
        version = None if routes is None else repr(routes)
        stored = self.status.get("rollout") or {}
        pods = tuple(self._probed(router, version, wanted) for router in self.routers)
        facts = Observed(
            target=self.target,
            target_model=MODEL,
            replicas=self.replicas,
            router_replicas=2,
            revisions={name: pods.facts(name) for name, pods in self.revisions.items()},
            router=RouterFacts(workload(len(pods)), routes, version, pods if routes else (), progress),
            last_stable=(self.status.get("stable") or {}).get("revision"),
            last_progress=progress_of(stored),
            rollout=self.rollout,
            command=self.command,
            variants=self.variants,
            matches=self.matches,
            history_limit=self.history_limit,
        )
        facts = replace(facts, clock=clock_of(stored, facts.progress, self.target, self.now))
        return replace(facts, judgement=self._judged(facts))

    def _probed(self, router: Router, version: str | None, wanted: set[str]) -> RouterPodFacts:
        """As RouterProbe does: a pod that already said what is wanted is not asked again."""
        known, shown = router.known, pod(router.uid, ready=router.ready)
        if not (known and known.config_version == version and known.reachable >= wanted):
            reached = wanted & set(router.routes.revisions) & router.found & set(self.revisions)
            answering = {name for name in reached if self.revisions[name].ready}
            known = RouterPodFacts(shown, repr(router.routes) if router.ready else None, frozenset(answering))
        router.known = replace(known, pod=shown)
        return router.known

    def _judged(self, facts: Observed) -> Judgement | None:
        """As EvidenceCollector does: by stable, candidate and attempt, and only where the candidate has an arm."""
        progress, routes = begin(facts), facts.router.routes
        if facts.candidate_arm is None or routes is None or progress.rejected or facts.target == routes.stable:
            return None
        case = (routes.stable, facts.target, progress.attempt)
        if self.verdict is BAD:
            self.failed.add(case)
        return BAD if case in self.failed else self.verdict

    def apply(self, seen: Observed, decision: Decision, parts: int | None = None) -> None:
        """Write the decision in the operator's order; it dies after `parts` of the writes."""
        rendered = [name for name in with_manifests(seen) if name in decision.replicas]
        writes = [
            *(lambda name=name: self._deploy(name, decision) for name in rendered),
            lambda: self._configure(seen, decision),
            *(lambda name=name: self._scale(name, decision.replicas[name]) for name in decision.replicas),
            *(lambda name=name: self.revisions.pop(name, None) for name in decision.remove),
            self._take_up,
            lambda: self._report(seen, decision),
        ]
        for write in writes[:parts]:
            write()

    def _deploy(self, name: str, decision: Decision) -> None:
        pods = self.revisions.setdefault(name, Pods(decision.replicas[name]))
        self._scale(name, decision.replicas[name])
        if name == decision.routes.stable:
            pods.promoted = decision.promotion or pods.promoted

    def _scale(self, name: str, replicas: int) -> None:
        pods = self.revisions[name]
        pods.ready = min(pods.ready, replicas)
        pods.settled = pods.settled and pods.desired >= replicas
        pods.desired = replicas

    def _configure(self, seen: Observed, decision: Decision) -> None:
        self.config = decision.routes, decision.progress
        self.stable = decision.routes.stable
        self.rejected -= {decision.routes.stable, *([seen.target] if seen.command in ASKING else [])}
        if decision.progress is not None and decision.progress.rejected:
            self.rejected.add(decision.progress.revision)
        while len(self.routers) < 2:
            self.add_router(decision.routes)

    def _take_up(self) -> None:
        self.command = None

    def _report(self, seen: Observed, decision: Decision) -> None:
        stored = self.status.get("rollout") or {}
        rollout = rollout_status(stored, seen, decision, None, "2026-01-01T00:00:00Z")
        self.status = {"stable": {"revision": decision.routes.stable}} | ({"rollout": rollout} if rollout else {})

    def add_router(self, routes: RouteTable) -> None:
        self.made += 1
        self.routers.append(Router(f"router-{self.made}", routes))

    def follow(self, router: Router) -> None:
        """The kubelet brings the newest configuration, where there is one."""
        if self.config is not None:
            router.routes = self.config[0]
            router.found &= set(router.routes.revisions)

    def is_reached(self, revision: str) -> bool:
        """Whether every router pod that clients reach knows the address of `revision`, and something is behind it."""
        pods = self.revisions.get(revision)
        serving = [router for router in self.routers if router.ready]
        return pods is not None and pods.ready > 0 and all(revision in router.found for router in serving)

    def settle(self) -> None:
        """Everything comes up."""
        for pods in self.revisions.values():
            pods.ready, pods.settled = pods.desired, True
        for router in self.routers:
            router.ready = True
            self.follow(router)
            router.found = set(router.routes.revisions)

    def ask_for(self, target: str) -> None:
        if target != self.target:
            self.rejected.discard(target)
        self.target = target

    def lose_config(self) -> None:
        self.config = None
        told = self.status.get("rollout") or {}
        self.rejected &= {told["revision"]} if told.get("phase") in ("RolledBack", "Aborted") else set()

    def lose_status(self) -> None:
        self.status = {}
        if self.config is None:
            self.rejected.clear()


def with_manifests(seen: Observed) -> list[str]:
    """The revisions whose manifests are known."""
    return list(dict.fromkeys([seen.target, *(variant.revision for variant in seen.variants)]))


def receivers(routes: RouteTable) -> set[str]:
    """What a router with these routes sends clients' requests or copies to."""
    sent = {arm.revision for arm in routes.arms if arm.weight or arm.mirror}
    return sent | {match.revision for match in routes.matches} | ({routes.stable} if routes.stable_weight else set())
