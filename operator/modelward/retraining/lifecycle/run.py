"""A retraining run: what it was started for, how far it has come, what came of it; and what triggers say of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from modelward.drift.verdicts import Judged
from modelward.values.hashing import content_hash
from modelward.values.times import show_time

JOB, WEBHOOK = "Job", "Webhook"
AIRFLOW, PREFECT, GITHUB, JENKINS = "Airflow", "Prefect", "Github", "Jenkins"
ARGO, KUBEFLOW = "ArgoWorkflow", "Kubeflow"

OWNED: Final = frozenset({JOB, ARGO})
"""Kinds of runs that are objects of this cluster, which go with the run's own; all others go on in another system."""

DRIFT, SCHEDULE, REQUEST = "Drift", "Schedule", "Request"

STARTING, RUNNING, ROLLING_OUT, ENDED = "Starting", "Running", "RollingOut", "Ended"
"""Phases. Each is stored before what it tells of is done, so that whoever comes after a crash goes on there. RollingOut
is the acceptance of the run's model: from then on the ModelDeployment asks for it."""

PROMOTED, ROLLED_BACK, REFUSED, REPORTED = "Promoted", "RolledBack", "Refused", "Reported"
UNCHANGED, SUPERSEDED, FAILED, CANCELLED = "Unchanged", "Superseded", "Failed", "Cancelled"
DELETED = "Deleted"
"""Of a run whose object somebody deleted before it had ended: only the policy's memory tells of it."""

RESULTS: Final = (PROMOTED, ROLLED_BACK, REFUSED, REPORTED, UNCHANGED, SUPERSEDED, FAILED, CANCELLED)
"""What a RetrainingRun shows as its phase when it has ended."""

IN_VAIN: Final = frozenset({ROLLED_BACK, REFUSED, REPORTED, UNCHANGED})
"""Results after which the same drift of the same revision would only lead to the same again."""


@dataclass(frozen=True)
class Artifact:
    """A model by its address, and its digest where that is known."""

    uri: str
    digest: str | None = None


@dataclass(frozen=True)
class Registration:
    """What a run reported, where that is a reference: `uri`; what a registry at `address` said it means is `version`,
    and the run's model. `package`: its ARN, of SageMaker, by which the registry is told what became of it; `registry`:
    the name of the ModelRegistry then; `lineage`: where the version came from, as models/resolved.py has it."""

    uri: str
    address: str
    version: str
    package: str | None = None
    registry: str | None = None
    lineage: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Holdout:
    """One metric on rows that were held out, of the model that is served and of the new one."""

    metric: str
    current: float
    candidate: float
    higher_is_better: bool = True

    @property
    def worse(self) -> bool:
        """Not a number is worse than any."""
        better = self.candidate >= self.current if self.higher_is_better else self.candidate <= self.current
        return not better and self.current == self.current

    def __str__(self) -> str:
        return f"{self.metric} {self.candidate:.4g}, the current model {self.current:.4g}"


@dataclass(frozen=True)
class Report:
    """What a run says that it made. `registration`: None where it reported an address."""

    model: Artifact
    version: str | None = None
    holdout: Holdout | None = None
    registration: Registration | None = None


WORKING, SUCCEEDED, BROKE, WAITS, UNTOLD = "Working", "Succeeded", "Broke", "Waits", "Untold"
ASKED = "Asked"
"""States of an Outcome. Waits: it could not be done or asked now, to be tried again; Asked: there is no answer yet, and
nothing is to be decided before; Untold: it goes on elsewhere, and nobody tells of it."""


@dataclass(frozen=True)
class Outcome:
    """What starting or asking led to. `message`: why, where it went wrong; `handle`: what the trigger wants to be given
    again; `delay`: in one CamelCase word, what keeps it from going on, which `message` tells of with its cure; `stuck`:
    that does not pass by itself."""

    state: str
    message: str = ""
    report: Report | None = None
    handle: str | None = None
    delay: str = ""
    stuck: bool = False


@dataclass(frozen=True)
class Run:
    """A RetrainingRun. Times: seconds since the epoch.

    `key`: what it was started for, once and for all; `occasion`: the part of it that is told, the end of the window,
    the time of the schedule or the value of the request; `started_at`: when it was decided; `revision`: the target's
    stable one then; `from_model`: what the target's spec asked for then; `attempt`: counts runs for the same reason;
    `drifted`, `features`, `window`: the evidence; `uid`: of the object; `begun_at`: when the trigger had started it;
    `accepted_at`: when its model became the one that the target is to serve; `delay`, `stuck`: as the trigger's Outcome
    has them; `deadline`: when it is stopped if it has not ended, None: nobody stops it any more.
    """

    name: str
    key: str
    kind: str
    trigger: str
    reason: str
    started_at: float
    revision: str
    from_model: Artifact
    attempt: int = 1
    phase: str = STARTING
    result: str | None = None
    message: str = ""
    model: Artifact | None = None
    holdout: str | None = None
    version: str | None = None
    handle: str | None = None
    ended_at: float | None = None
    drifted: tuple[str, ...] = ()
    features: tuple[Mapping[str, Any], ...] = ()
    window: Judged | None = None
    target: str = ""
    target_uid: str = ""
    occasion: str = ""
    uid: str = ""
    begun_at: float | None = None
    accepted_at: float | None = None
    delay: str = ""
    stuck: bool = False
    deadline: float | None = None
    registration: Registration | None = None

    @property
    def as_written(self) -> Artifact | None:
        """Its model as a person writes it into spec: what a version stands for may be no address that spec takes."""
        if self.model is None or self.registration is None:
            return self.model
        return replace(self.model, uri=self.registration.uri)

    @property
    def held_up(self) -> str | None:
        """What keeps it from going on, and until when that is borne, in a sentence; None: nothing."""
        if not self.delay:
            return None
        until = "" if self.deadline is None else f". It is stopped at {show_time(round(self.deadline))}"
        return f"{self.message.rstrip('.')}{until}"

    @property
    def shown_phase(self) -> str:
        """In one word, how far it is or how it ended."""
        return self.result or self.phase


def run_name(policy: str, key: str) -> str:
    """`<policy>-<10 hex digits>`: the same key has the same name for ever, so that no crash can start it twice."""
    return f"{policy}-{content_hash({'key': key})}"
