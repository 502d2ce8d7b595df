"""What a DriftPolicy knows of one model: what it sees of it, and what it remembers in status."""

from dataclasses import dataclass, field

from modelward.domain.runs import Artifact, Run
from modelward.domain.verdicts import Verdict


@dataclass(frozen=True)
class RolloutFacts:
    """`status.rollout` of the target."""

    uri: str
    phase: str
    message: str = ""


@dataclass(frozen=True)
class TargetFacts:
    """A ModelDeployment as the policy sees it. `stable`: what its stable revision serves; `stalled`: why it needs a
    person, None where it does not; `moving`: a candidate is being tried."""

    name: str
    uid: str
    generation: int
    observed_generation: int
    asked: Artifact
    stable_revision: str | None = None
    stable: Artifact | None = None
    rollout: RolloutFacts | None = None
    moving: bool = False
    stalled: str | None = None


@dataclass(frozen=True)
class Answered:
    """A drift that a run was made for in vain: the same features of the same revision start no other."""

    revision: str
    drifted: tuple[str, ...]
    run: str
    result: str


@dataclass(frozen=True)
class Rejected:
    """A model that a run brought, and that was not taken."""

    model: Artifact
    reason: str


@dataclass(frozen=True)
class Memory:
    """What status remembers of one target. `scheduled_at`: the last time of the schedule that is dealt with."""

    name: str
    uid: str
    verdict: Verdict = field(default_factory=Verdict)
    scheduled_at: float | None = None
    handled_request: str | None = None
    failures: int = 0
    answered: Answered | None = None
    rejected: tuple[Rejected, ...] = ()
    run: Run | None = None
    runs: tuple[Run, ...] = ()
