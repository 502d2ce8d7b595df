"""What was seen in the cluster, as values that decisions are made from.

Nothing here knows how it was seen. A fact that could not be established is None or absent, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelward.api.rollout import AT_ONCE, Rollout
from modelward.api.traffic import CANDIDATE, HeaderMatch


@dataclass(frozen=True)
class ContainerFacts:
    """One container of a pod.

    `running`: it is at work now; `exit_*` speak of the end of its latest run: the current state where it ended, else
    the run before. `restarts`: how often it was started again.
    """

    name: str
    ready: bool = False
    waiting_reason: str | None = None
    waiting_message: str = ""
    exit_code: int | None = None
    exit_reason: str = ""
    exit_message: str = ""
    restarts: int = 0
    running: bool = False


@dataclass(frozen=True)
class Source:
    """What a volume is made from. `kind`: of the object; `field`: by which the user names it."""

    kind: str
    name: str
    field: str


@dataclass(frozen=True)
class Unmounted:
    """Why a pod's volumes don't come. `reason`: one CamelCase word; `message`: the cause and the cure. `patience`:
    seconds since the pod waits before which it may well pass by itself."""

    source: Source
    reason: str
    message: str
    patience: float = 300.0


@dataclass(frozen=True)
class PodFacts:
    """One pod. `unschedulable`: the scheduler's message, where it found no node. `waits_since`: since when it is not
    ready, seconds since the epoch; None: it is, or nobody says. `key`: its public key, as its download announced it;
    empty: it has one, and has not announced it; None: it was made before pods had keys, or is no model's. `maker`: the
    name of what controls it, which of a Deployment's pods is the ReplicaSet of their template. `needs`: what its
    volumes are made from that it can't be without; `unmounted`: which of it keeps the pod from starting, as far as that
    was looked at.
    """

    name: str
    uid: str
    ip: str | None = None
    ready: bool = False
    terminating: bool = False
    unschedulable: str | None = None
    waits_since: float | None = None
    containers: tuple[ContainerFacts, ...] = ()
    key: str | None = None
    namespace: str = ""
    maker: str = ""
    needs: tuple[Source, ...] = ()
    unmounted: Unmounted | None = None


@dataclass(frozen=True)
class WorkloadFacts:
    """A Deployment and its pods.

    `settled`: its controller has seen the newest manifest and every pod runs it. `failure`: why its controller can't
    make pods at all (a quota, a policy), where it said so. `overdue`: it has waited for the pods of the newest manifest
    for as long as the Deployment lets it.
    """

    desired: int
    ready: int = 0
    available: int = 0
    settled: bool = False
    failure: str | None = None
    pods: tuple[PodFacts, ...] = ()
    overdue: bool = False

    @property
    def complete(self) -> bool:
        """Every wanted pod runs the newest manifest and answers."""
        return self.settled and self.available >= self.desired


@dataclass(frozen=True)
class ModelFacts:
    """The artifact that a revision serves, as its Deployment records it. `version`, `lineage`: as a registry told them
    when the revision was made; None, empty: none did."""

    uri: str
    format: str
    digest: str | None = None
    version: str | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Promotion:
    """When a revision became the stable one. `number` grows with each promotion; `at`: seconds since the epoch."""

    number: int
    at: float


@dataclass(frozen=True)
class RuntimeFacts:
    """Another server than ours. `name`: of its preset, or `container`; `ready`, `live`: paths that answer 200 while it
    is so; `hidden`: paths that no client reaches, nor what is below them, with `*` for any one part."""

    name: str
    protocol: str
    ready: str
    live: str
    hidden: tuple[str, ...] = ()


@dataclass(frozen=True)
class RevisionFacts:
    """One revision that exists in the cluster. `promoted`: None where it never was the stable one.

    `deployed`: its Deployment is there; without one there is only the record that it can be made from again.
    `addressed`: its Service is there, by which routers reach its pods. `intent`, `asked`: what the user wrote of it, as
    a hash and as it was, where its record says so. `runtime`: what answers there, None: our own server; `tapped`: a tap
    stands before it.
    """

    name: str
    model: ModelFacts
    workload: WorkloadFacts
    promoted: Promotion | None = None
    deployed: bool = True
    addressed: bool = True
    intent: str = ""
    asked: Mapping[str, Any] | None = None
    runtime: RuntimeFacts | None = None
    tapped: bool = False

    @property
    def keeps_answers(self) -> bool:
        """Whether its pods give samples of their answers."""
        return self.runtime is None or self.tapped


@dataclass(frozen=True)
class Arm:
    """A revision that gets requests beside the stable one.

    `name`: candidate, or that of a variant. `weight`: percent of all requests; `mirror`: percent of the requests that
    it gets a copy of, whose answers nobody sees.
    """

    name: str
    revision: str
    weight: int = 0
    mirror: int = 0


@dataclass(frozen=True)
class Match:
    """Requests whose `header` has this `value` go to `revision`."""

    header: str
    value: str
    revision: str


@dataclass(frozen=True)
class RouteTable:
    """Where the router sends requests.

    `stable` gets what the arms leave of them. `attached` revisions are known to the router and can be reached through
    it by their own host, but get none of the traffic. `versions`: by revision, as a registry names what it serves, for
    the headers of answers; of models that are in none there is none. `runtimes`: by revision, of those alone that
    another server than ours answers for.
    """

    stable: str
    arms: tuple[Arm, ...] = ()
    attached: tuple[str, ...] = ()
    matches: tuple[Match, ...] = ()
    versions: tuple[tuple[str, str], ...] = ()
    runtimes: tuple[tuple[str, RuntimeFacts], ...] = ()

    @property
    def revisions(self) -> tuple[str, ...]:
        """Each revision once, the stable first."""
        return tuple(dict.fromkeys((self.stable, *(arm.revision for arm in self.arms), *self.attached)))

    @property
    def stable_weight(self) -> int:
        """Percent of all requests."""
        return 100 - sum(arm.weight for arm in self.arms)

    def arm(self, name: str) -> Arm | None:
        """The arm of that name, where there is one."""
        return next((arm for arm in self.arms if arm.name == name), None)


PROGRESSING, PAUSED, PROMOTED, ROLLED_BACK, ABORTED = "Progressing", "Paused", "Promoted", "RolledBack", "Aborted"


@dataclass(frozen=True)
class Progress:
    """How far the rollout to `revision` has come, as it is stored beside the routes: one write changes both.

    `step`: index of the stage, from 0; as many as there are stages: being promoted. `reason`, `message`: of the last
    decision. `attempt`: evidence of an earlier one no longer counts. `intent`: what the user asked for with it; empty:
    not known.
    """

    revision: str
    step: int = 0
    phase: str = PROGRESSING
    reason: str = ""
    message: str = ""
    attempt: int = 1
    intent: str = ""

    @property
    def rejected(self) -> bool:
        """Whether this revision is not to get traffic until somebody asks for it again."""
        return self.phase in (ROLLED_BACK, ABORTED)


@dataclass(frozen=True)
class RouterPodFacts:
    """One router pod. `config_version`: what it follows now, None where it did not answer.

    `reachable`: the revisions that answered through it.
    """

    pod: PodFacts
    config_version: str | None = None
    reachable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class GatewayFacts:
    """The HTTPRoute as the Gateways see it that it is for.

    `accepted`: each has taken it up, in its newest form or an earlier one; `live`: the configuration that clients see,
    None where that is not certain; `reachable`: revisions whose pods the Gateways know; `refused`: why one does not
    take it; `waits_for`: what they have not done yet; `again_in`: seconds until time alone changes something.
    """

    accepted: bool = False
    live: str | None = None
    reachable: frozenset[str] = frozenset()
    refused: str | None = None
    waits_for: str | None = None
    again_in: float | None = None


@dataclass(frozen=True)
class CertificateFacts:
    """What clients of a router are shown.

    `expires`: the first of its pods' certificates, in seconds since the epoch; `refused`: how many changes of the
    Secret a pod, by name, could not load since it began, where that is news.
    """

    expires: float | None = None
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RouterFacts:
    """The router as it is. `routes`, `progress`, `version`: stored with its configuration, None where there is none.

    `gateway`: None for an Envoy of the model's own, whose pods are asked. `former`: something of the other kind of
    router, which spec asked for before, is still there and may send requests to any revision. `tls`: clients are led
    to pods of the model's own Envoy that speak TLS.
    """

    workload: WorkloadFacts | None = None
    routes: RouteTable | None = None
    version: str | None = None
    pods: tuple[RouterPodFacts, ...] = ()
    progress: Progress | None = None
    gateway: GatewayFacts | None = None
    former: bool = False
    tls: bool = False
    certificate: CertificateFacts | None = None

    @property
    def serving(self) -> tuple[RouterPodFacts, ...]:
        """The pods that clients reach."""
        return tuple(pod for pod in self.pods if pod.pod.ready and not pod.pod.terminating)

    def follows(self, version: str | None) -> bool:
        """Whether clients see configuration `version` and nothing else."""
        if self.gateway is not None:
            return version is not None and self.gateway.live == version
        return bool(self.serving) and version is not None and all(p.config_version == version for p in self.serving)

    def reaches(self, revision: str) -> bool:
        """Whether `revision` answers by every way that clients take."""
        if self.gateway is not None:
            return revision in self.gateway.reachable
        return bool(self.serving) and all(revision in pod.reachable for pod in self.serving)

    def answers(self, revision: str) -> bool:
        """Whether somebody gets answers from `revision`, which has the traffic and pods that are ready.

        A former router goes only when the new one is live, so until then it still serves.
        """
        if self.gateway is not None and self.gateway.accepted:
            return True
        return self.former or any(revision in pod.reachable for pod in self.serving)

    @property
    def unseen(self) -> int:
        """Pods that serve and that nobody sees: somebody changed the labels that they are watched by."""
        return max(0, self.workload.ready - len(self.serving)) if self.workload is not None else 0

    @property
    def settled(self) -> bool:
        """Whether nothing, ready or not, may still hold an older configuration."""
        return (
            not self.former
            and not self.unseen
            and self.follows(self.version)
            and all(pod.config_version == self.version for pod in self.pods)
        )


@dataclass(frozen=True)
class VariantFacts:
    """A long-lived arm as spec asks for it. `revision`: the one that its model leads to."""

    name: str
    revision: str
    model: ModelFacts
    weight: int = 0
    mirror: int = 0
    replicas: int = 1


@dataclass(frozen=True)
class Judgement:
    """What the gates say of the candidate.

    `failed`: the sentence of the first gate that failed; `waits_for`: what a gate that has not decided yet waits for;
    `compared`: requests of the candidate that were looked at.
    """

    failed: str | None = None
    waits_for: str | None = None
    passed: bool = True
    compared: int = 0


@dataclass(frozen=True)
class Clock:
    """Times in seconds since the epoch, of the rollout to the target; None: not known.

    `step`: since when the router follows the step; `waiting`: since when the step can't begin.
    """

    now: float = 0.0
    step: float | None = None
    waiting: float | None = None

    def since(self, time: float | None) -> float:
        """Seconds since `time`, 0 where it is not known, or lies ahead because somebody's clock was set back."""
        return 0.0 if time is None else max(0.0, self.now - time)


@dataclass(frozen=True)
class Observed:
    """Everything that one reconcile looks at.

    `target`: the revision that spec asks for. `intent`: see Progress.
    `consent_unread`: why nobody knows which formats the namespace allows, where that is so. `unresolved`: nobody knows
    what spec's model is, so `target` goes on as its record has it. `unjudged`: gates of spec that are not in `rollout`,
    since another server than ours is on one side.
    """

    target: str
    target_model: ModelFacts
    replicas: int
    router_replicas: int
    revisions: Mapping[str, RevisionFacts] = field(default_factory=dict)
    router: RouterFacts = RouterFacts()
    last_stable: str | None = None
    """The stable revision as status names it: it matters only where the router's configuration is gone."""
    last_progress: Progress | None = None
    """As status tells it, and for the same case."""
    rollout: Rollout = AT_ONCE
    judgement: Judgement | None = None
    """None: nobody has looked yet."""
    clock: Clock = Clock()
    command: str | None = None
    variants: tuple[VariantFacts, ...] = ()
    matches: tuple[HeaderMatch, ...] = ()
    history_limit: int = 0
    unresolved: bool = False
    intent: str = ""
    consent_unread: str | None = None
    unjudged: tuple[str, ...] = ()

    def pods_of(self, revision: str) -> tuple[PodFacts, ...]:
        """The pods of a revision that answer now."""
        facts = self.revisions.get(revision)
        return tuple(pod for pod in facts.workload.pods if pod.ready) if facts else ()

    def runtime_of(self, revision: str) -> RuntimeFacts | None:
        """What answers for a revision, None: our own server, or nobody knows yet."""
        facts = self.revisions.get(revision)
        return facts.runtime if facts is not None else None

    def keeps_answers(self, revision: str) -> bool:
        """Whether a revision's pods give samples of their answers."""
        facts = self.revisions.get(revision)
        return facts is None or facts.keeps_answers

    @property
    def carrying(self) -> int:
        """Pods for the whole load: as many as spec asks for, and no fewer than the stable has while it may not shrink.
        Of these a step's share is counted, whatever an autoscaler makes of a stable that a canary relieves."""
        routes = self.router.routes
        stable = self.revisions.get(routes.stable) if routes is not None and routes.stable != self.target else None
        return max(self.replicas, stable.workload.desired) if stable is not None else self.replicas

    @property
    def progress(self) -> Progress | None:
        """Of the last rollout, None where there never was one."""
        return self.router.progress if self.router.routes else self.last_progress

    @property
    def candidate_arm(self) -> Arm | None:
        """What the router gives the target now."""
        arm = self.router.routes.arm(CANDIDATE) if self.router.routes else None
        return arm if arm is not None and arm.revision == self.target else None
