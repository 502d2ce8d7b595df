"""A small cluster that stores what `decide()` says, part by part, while pods, routers and people do as they like."""

from dataclasses import dataclass, field, replace
from typing import Any

from builders import pod, workload
from modelward.api.rollout import AT_ONCE, Rollout
from modelward.api.traffic import HeaderMatch
from modelward.facts import (
    Judgement,
    ModelFacts,
    Observed,
    Progress,
    Promotion,
    RevisionFacts,
    RouterFacts,
    RouterPodFacts,
    RouteTable,
    VariantFacts,
    WorkloadFacts,
)
from modelward.revisions.intent import held
from modelward.rollouts.decision import Decision
from modelward.rollouts.status import clock_of, progress_of, rollout_status
from modelward.rollouts.trial import begin

GOOD = Judgement(passed=True, compared=10**9)
UNDECIDED = Judgement(passed=False, waits_for="errorRate: 3 of 100 requests", compared=3)
ASKING = ("promote", "retry")
"""Commands that ask for a revision that was rejected once more."""

BAD = Judgement(failed="errorRate: 9 of 90 errors", passed=False)


@dataclass
class Pods:
    """A revision's Deployment. `edited`: somebody changed its pods or its labels; `hidden`: from the operator, too."""

    desired: int
    ready: int = 0
    settled: bool = False
    promoted: Promotion | None = None
    edited: bool = False
    hidden: bool = False


@dataclass
class Router:
    """One router pod: the routes that it follows, the revisions whose addresses it found, what a probe knows of it."""

    uid: str
    routes: RouteTable
    ready: bool = False
    found: set[str] = field(default_factory=set)
    known: RouterPodFacts | None = None
    ways: dict[str, Any] = field(default_factory=dict)


@dataclass
class World:
    """The state of the cluster. `config`: routes and progress, None where the ConfigMap is gone."""

    asked: str
    """The model."""
    replicas: int = 1
    rollout: Rollout = AT_ONCE
    variants: tuple[VariantFacts, ...] = ()
    matches: tuple[HeaderMatch, ...] = ()
    history_limit: int = 0
    command: str | None = None
    revisions: dict[str, Pods] = field(default_factory=dict)
    records: dict[str, Promotion | None] = field(default_factory=dict)
    """By revision, with the promotion that is written on it."""
    services: dict[str, int] = field(default_factory=dict)
    """By revision: which one it is, of those that it had."""
    config: tuple[RouteTable, Progress | None] | None = None
    routers: list[Router] = field(default_factory=list)
    status: dict[str, Any] = field(default_factory=dict)
    now: float = 1e9
    verdict: Judgement = GOOD
    """Of the evidence from now on; one that failed stays so for its attempt."""
    failed: set[tuple[str, str, int]] = field(default_factory=set)
    rejected: set[str] = field(default_factory=set)
    """Models that must not get traffic before somebody asks for them again."""
    image: int = 1
    """Of the operator: each is an earlier one, which names revisions by the pods that it makes."""
    stable: str | None = None
    """As the router was told last."""
    made: int = 0
    """Router pods so far."""

    @property
    def fresh(self) -> str:
        """The revision that spec leads to now."""
        return f"{self.asked}.{self.image}"

    @property
    def target(self) -> str:
        return self._held()[0]

    def _held(self) -> tuple[str, Progress | None]:
        routes, stored = self.config or (None, None)
        progress = stored if routes else progress_of(self.status.get("rollout") or {})
        # What status tells of has no intent; it is unchanged where spec asks for the model that it speaks of.
        unchanged = progress is not None and model_of(progress.revision) == self.asked
        return held(self.fresh, self.asked, progress, self._facts(), self.command, unchanged=unchanged)

    def observed(self) -> Observed:
        """What a reconcile sees now."""
        routes = self.config[0] if self.config else None
        target, progress = self._held()
        asked = {target, *(variant.revision for variant in self.variants)}
        wanted = {routes.stable, *asked} & set(routes.revisions) if routes else set()
        version = None if routes is None else repr(routes)
        stored = self.status.get("rollout") or {}
        pods = tuple(self._probed(router, version, wanted) for router in self.routers)
        ready = workload(len(pods), sum(each.ready for each in self.routers))
        facts = Observed(
            target=target,
            intent=self.asked,
            target_model=model_facts(self.asked),
            replicas=self.replicas,
            router_replicas=2,
            revisions=self._facts(),
            router=RouterFacts(ready, routes, version, pods if routes else (), progress if routes else None),
            last_stable=(self.status.get("stable") or {}).get("revision"),
            last_progress=progress,
            rollout=self.rollout,
            command=self.command,
            variants=self.variants,
            matches=self.matches,
            history_limit=self.history_limit,
        )
        facts = replace(facts, clock=clock_of(stored, facts.progress, target, self.now))
        return replace(facts, judgement=self._judged(facts))

    def _facts(self) -> dict[str, RevisionFacts]:
        """As revisions_of does: a revision is there while its Deployment or its record is."""
        found = {}
        for name in sorted({*self.revisions, *self.records}):
            pods = self.revisions.get(name)
            seen = pods if pods is not None and self._is_found(name, pods) else None
            if seen is None and name not in self.records:
                continue
            counts = workload(seen.desired, seen.ready, settled=seen.settled) if seen else WorkloadFacts(0)
            promoted = (seen.promoted if seen else None) or self.records.get(name)
            found[name] = RevisionFacts(
                name, model_facts(model_of(name)), counts, promoted, seen is not None, name in self.services
            )
        return found

    def _is_found(self, name: str, pods: Pods) -> bool:
        """As find_lost does: one that the watches lost sight of is looked for where anything names it."""
        routes = self.config[0] if self.config else None
        named = {routes.stable, *(arm.revision for arm in routes.arms)} if routes else set()
        named |= {(self.status.get("stable") or {}).get("revision")}
        return not pods.hidden or pods.desired > 0 or name in named or name in self.services

    def _way(self, name: str) -> Any:
        pods = self.revisions.get(name)
        return self.services.get(name), pods is not None and not pods.hidden and pods.ready > 0

    def _probed(self, router: Router, version: str | None, wanted: set[str]) -> RouterPodFacts:
        """As RouterProbe does: a pod that already said what is wanted is not asked again while the ways stay."""
        known, shown = router.known, pod(router.uid, ready=router.ready)
        ways = {name: self._way(name) for name in wanted}
        if not (known and known.config_version == version and ways.items() <= router.ways.items()):
            reached = wanted & set(router.routes.revisions) & router.found & set(self.revisions) & set(self.services)
            answering = {name for name in reached if self.revisions[name].ready}
            known = RouterPodFacts(shown, repr(router.routes) if router.ready else None, frozenset(answering))
            router.ways = {name: ways[name] for name in answering}
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
        asked = [name for name in with_manifests(seen) if name in decision.replicas]
        writes = [
            *(
                lambda name=name, write=write: write(name, decision)
                for name in dict.fromkeys([*asked, *decision.replicas])
                for write in (self._record, self._address, self._deploy)
            ),
            lambda: self._configure(seen, decision),
            *(
                lambda name=name, objects=objects: objects.pop(name, None)
                for name in decision.remove
                for objects in (self.services, self.revisions, self.records)
            ),
            self._take_up,
            lambda: self._report(seen, decision),
        ]
        for write in writes[:parts]:
            write()

    def _record(self, name: str, decision: Decision) -> None:
        kept = self.records.get(name) or (self.revisions[name].promoted if name in self.revisions else None)
        self.records[name] = (decision.promotion if name == decision.routes.stable else None) or kept

    def _address(self, name: str, _decision: Decision) -> None:
        if name not in self.services:
            self.made += 1
            self.services[name] = self.made
            self._forget_address(name)

    def _deploy(self, name: str, decision: Decision) -> None:
        replicas = decision.replicas[name]
        pods = self.revisions.setdefault(name, Pods(replicas))
        pods.ready = min(pods.ready, replicas)
        # Pods of an edit are replaced.
        pods.settled = pods.settled and pods.desired >= replicas and not pods.edited
        pods.desired, pods.edited, pods.hidden = replicas, False, False
        pods.promoted = (decision.promotion if name == decision.routes.stable else None) or self.records.get(name)

    def _forget_address(self, name: str) -> None:
        for router in self.routers:
            router.found.discard(name)

    def somebody(self, what: str, name: str) -> None:
        """Foreign hands on one object of a revision, or on all."""
        pods = self.revisions.get(name)
        if what in ("deletes the Deployment", "deletes all"):
            self.revisions.pop(name, None)
        elif pods is not None and what == "scales":
            pods.desired, pods.ready, pods.settled = 0, 0, True
        elif pods is not None and what == "edits":
            pods.edited = True
        elif pods is not None and what == "relabels":
            pods.edited = pods.hidden = True
        elif pods is not None and what == "annotates":
            pods.promoted = None
        if what in ("deletes the Service", "deletes all"):
            self.services.pop(name, None)
            self._forget_address(name)
        if what in ("deletes the record", "deletes all"):
            self.records.pop(name, None)

    def _configure(self, seen: Observed, decision: Decision) -> None:
        self.config = decision.routes, decision.progress
        self.stable = decision.routes.stable
        self.rejected -= {model_of(seen.target)} if seen.command in ASKING else set()
        if decision.progress is not None and decision.progress.rejected:
            self.rejected.add(model_of(decision.progress.revision))
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
        addressed = revision in self.services
        return pods is not None and pods.ready > 0 and addressed and all(revision in each.found for each in serving)

    def settle(self) -> None:
        """Everything comes up."""
        for pods in self.revisions.values():
            pods.ready, pods.settled = pods.desired, True
        for router in self.routers:
            router.ready = True
            self.follow(router)
            router.found = set(router.routes.revisions) & set(self.services)

    def ask_for(self, model: str) -> None:
        if model != self.asked:
            self.rejected.clear()
        self.asked = model

    def make_anew(self, model: str) -> None:
        """The ModelDeployment is deleted, with all that it owns, and another one has its name."""
        self.asked, self.command, self.config, self.status, self.stable = model, None, None, {}, None
        for owned in (self.revisions, self.records, self.services, self.routers, self.failed, self.rejected):
            owned.clear()  # type: ignore[attr-defined]

    def lose_config(self) -> None:
        self.config = None
        told = self.status.get("rollout") or {}
        self.rejected &= {model_of(told["revision"])} if told.get("phase") in ("RolledBack", "Aborted") else set()

    def lose_status(self) -> None:
        self.status = {}
        if self.config is None:
            self.rejected.clear()


def model_of(revision: str) -> str:
    return revision.partition(".")[0]


def model_facts(model: str) -> ModelFacts:
    return ModelFacts(f"s3://models/{model}.onnx", "auto")


def with_manifests(seen: Observed) -> list[str]:
    """The revisions whose manifests are known."""
    return list(dict.fromkeys([seen.target, *(variant.revision for variant in seen.variants)]))


def receivers(routes: RouteTable) -> set[str]:
    """What a router with these routes sends clients' requests or copies to."""
    sent = {arm.revision for arm in routes.arms if arm.weight or arm.mirror}
    return sent | {match.revision for match in routes.matches} | ({routes.stable} if routes.stable_weight else set())
