"""What was seen in the cluster, as values that decisions are made from.

Nothing here knows how it was seen. A fact that could not be established is None or absent, never guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ContainerFacts:
    """One container of a pod.

    `exit_*` speak of the end of its latest run: the current state where it ended, else the run before.
    """

    name: str
    ready: bool = False
    waiting_reason: str | None = None
    waiting_message: str = ""
    exit_code: int | None = None
    exit_reason: str = ""
    exit_message: str = ""


@dataclass(frozen=True)
class PodFacts:
    """One pod. `unschedulable`: the scheduler's message, where it found no node."""

    name: str
    uid: str
    ip: str | None = None
    ready: bool = False
    terminating: bool = False
    unschedulable: str | None = None
    containers: tuple[ContainerFacts, ...] = ()


@dataclass(frozen=True)
class WorkloadFacts:
    """A Deployment and its pods.

    `settled`: its controller has seen the newest manifest and every pod runs it. `failure`: why its controller can't
    make pods at all (a quota, a policy), where it said so.
    """

    desired: int
    ready: int = 0
    available: int = 0
    settled: bool = False
    failure: str | None = None
    pods: tuple[PodFacts, ...] = ()

    @property
    def complete(self) -> bool:
        """Every wanted pod runs the newest manifest and answers."""
        return self.settled and self.available >= self.desired


@dataclass(frozen=True)
class ModelFacts:
    """The artifact that a revision serves, as its Deployment records it."""

    uri: str
    format: str
    digest: str | None = None


@dataclass(frozen=True)
class RevisionFacts:
    """One revision that exists in the cluster."""

    name: str
    model: ModelFacts
    workload: WorkloadFacts


@dataclass(frozen=True)
class RouteTable:
    """Where the router sends requests.

    `stable` gets the traffic. `attached` revisions are known to the router and can be probed through it, but get none.
    """

    stable: str
    attached: tuple[str, ...] = ()

    @property
    def revisions(self) -> tuple[str, ...]:
        return (self.stable, *self.attached)


@dataclass(frozen=True)
class RouterPodFacts:
    """One router pod. `config_version`: what it follows now, None where it did not answer.

    `reachable`: the revisions that answered through it.
    """

    pod: PodFacts
    config_version: str | None = None
    reachable: frozenset[str] = frozenset()


@dataclass(frozen=True)
class RouterFacts:
    """The router as it is. `routes` and `version` are those of its ConfigMap, None where there is none yet."""

    workload: WorkloadFacts | None = None
    routes: RouteTable | None = None
    version: str | None = None
    pods: tuple[RouterPodFacts, ...] = ()

    @property
    def serving(self) -> tuple[RouterPodFacts, ...]:
        """The pods that clients reach."""
        return tuple(pod for pod in self.pods if pod.pod.ready and not pod.pod.terminating)

    def follows(self, version: str | None) -> bool:
        """Whether clients see configuration `version` and nothing else."""
        return bool(self.serving) and version is not None and all(p.config_version == version for p in self.serving)

    def reaches(self, revision: str) -> bool:
        """Whether `revision` answered through every pod that clients reach."""
        return bool(self.serving) and all(revision in pod.reachable for pod in self.serving)


@dataclass(frozen=True)
class Observed:
    """Everything that one reconcile looks at. `target`: the revision that spec asks for."""

    target: str
    target_model: ModelFacts
    replicas: int
    router_replicas: int
    revisions: Mapping[str, RevisionFacts] = field(default_factory=dict)
    router: RouterFacts = RouterFacts()
    last_stable: str | None = None
    """The stable revision as status names it: it matters only where the router's ConfigMap is gone."""
