"""What a DriftPolicy knows of one model: what it sees of it, and what it remembers."""

from dataclasses import dataclass, field

from modelward.drift.verdicts import Verdict
from modelward.quality.measured import Kept
from modelward.quality.parity_found import ParityKept
from modelward.retraining.lifecycle.run import Artifact, Run


@dataclass(frozen=True)
class RolloutFacts:
    """`status.rollout` of the target."""

    uri: str
    phase: str
    message: str = ""


@dataclass(frozen=True)
class TargetFacts:
    """A ModelDeployment as the policy sees it. `asked`: what its spec asks for; `stable`: what its stable revision
    serves; `stalled`: why it needs a person, None where it does not; `moving`: a candidate is being tried; `effective`:
    what it is to serve, None: what spec asks for; `effective_run`: the run that made that, `accepted_at`: and when it
    was accepted, seconds since the epoch; `behind`: its status speaks of an earlier spec or effective model;
    `version`: what the registry said last, where that is to be served."""

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
    effective: Artifact | None = None
    effective_run: str | None = None
    accepted_at: float | None = None
    behind: bool = False
    version: str | None = None

    @property
    def serves(self) -> Artifact:
        """What it is to serve."""
        return self.effective or self.asked


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
class Ended:
    """What is remembered of a run that has ended, whether its object is still there or not. Times: seconds since the
    epoch."""

    name: str
    trigger: str
    occasion: str
    attempt: int
    result: str
    started_at: float
    ended_at: float
    message: str = ""


@dataclass(frozen=True)
class Memory:
    """What is remembered of one target. `scheduled_at`: the last time of the schedule that is dealt with; `run`: the
    one that is not settled yet, without its evidence; `runs`: of those that were, the latest and the latest with a
    result, the latest first; `quality`: what outcomes say; `parity`: whether
    requests have the features of training."""

    name: str
    uid: str
    verdict: Verdict = field(default_factory=Verdict)
    scheduled_at: float | None = None
    handled_request: str | None = None
    failures: int = 0
    answered: Answered | None = None
    rejected: tuple[Rejected, ...] = ()
    run: Run | None = None
    runs: tuple[Ended, ...] = ()
    quality: Kept | None = None
    parity: ParityKept | None = None
