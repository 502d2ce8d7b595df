"""Pods of a model made anew in place because the platform has changed: its image, its environment, its defaults.

No revision changes by it, and no gate is asked: a model's Deployments are updated as Kubernetes does it, one model as a
whole. Its records stay what its pods were until all new ones are ready, and then become what they are. Where one does
not come up, all go back to what is recorded, and stay there until somebody decides or the platform changes again.

Invariant: each decision looks at facts alone; what has begun is marked on the records before any pod is touched, so
that it goes on after a crash anywhere.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum

from modelward.facts import PAUSED, PROGRESSING, Observed, WorkloadFacts
from modelward.revisions.health import pod_volumes
from modelward.revisions.health.diagnosis import FORMAT_NOT_ALLOWED, Problem, diagnose
from modelward.values.stored import known_text

RETRY, SKIP = "retry", "skip"
COMMANDS = (RETRY, SKIP)

RESTARTS = 2
"""How often a new container has to have been started again before its end stops the fleet: a store or a registry that
stumbled once, among thousands of pods, is no fault of the platform. The kubelet takes half a minute for that."""

NOT_BY_PODS = ("Unschedulable", "PodsRejected", *pod_volumes.REASONS)
"""Problems that no other pods cure."""


class Phase(StrEnum):
    """How far a model is. WAITING: it can't begin now; READY: it can, when it is its turn. REFUSED: nobody consents any
    more to what it is, which is its namespace's affair and stops no other."""

    CURRENT = "current"
    WAITING = "waiting"
    READY = "ready"
    UPDATING = "updating"
    FAILED = "failed"
    REFUSED = "refused"
    SKIPPED = "skipped"


_ENDED = (Phase.FAILED, Phase.REFUSED, Phase.SKIPPED)
_MARKED = (Phase.UPDATING, *_ENDED)


@dataclass(frozen=True)
class Mark:
    """What a record remembers. `to`: hash of the template that pods are to get, or were; `message`: of a failure;
    `before`: what made the pods that there were as it began, none of which is of `to`."""

    to: str
    phase: Phase
    message: str = ""
    before: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pods:
    """The pods of one Deployment of a model.

    `wanted`, `recorded`, `made_of`: hashes of the template as it would be made now, as it is recorded (None: there is
    no record), and as the Deployment has it; `at_once`: nobody would lose anything by another template;
    `memory_field`: see diagnose; `refused`: why the API server did not take the template that is wanted.
    """

    name: str
    wanted: str
    recorded: str | None
    made_of: str | None = None
    mark: Mark | None = None
    workload: WorkloadFacts | None = None
    at_once: bool = False
    memory_field: str = ""
    refused: str | None = None

    @property
    def outdated(self) -> bool:
        return self.recorded not in (None, self.wanted) and not self.at_once

    @property
    def marked(self) -> Mark | None:
        """The mark, where it is about what is wanted now."""
        return self.mark if self.mark is not None and self.mark.to == self.wanted else None

    @property
    def proven(self) -> bool:
        return self.made_of == self.wanted and self.workload is not None and self.workload.complete

    @property
    def unrecorded(self) -> bool:
        """Pods are on their way to what is wanted, and the record of what they were is gone, by somebody's hand: nobody
        knows a way back. A new one is of what is wanted, and marked until that has proved itself."""
        if self.at_once or self.proven:
            return False
        if self.recorded is not None:
            return self.recorded == self.wanted and self.marked is not None
        return self.made_of == self.wanted and self.workload is not None and self.workload.ready > 0

    @property
    def pending(self) -> bool:
        """Whether something is left to do or to be proved."""
        return self.outdated or self.unrecorded

    @property
    def before(self) -> tuple[str, ...]:
        """See Mark: as it is kept, or to be kept where it begins now."""
        if self.marked is not None and self.marked.phase is Phase.UPDATING:
            return self.marked.before
        if self.workload is None or self.unrecorded:
            return ()
        # One that ends may be left of an earlier try of the same template, which a new one takes up again.
        return tuple(sorted({pod.maker for pod in self.workload.pods if pod.maker and not pod.terminating}))


@dataclass(frozen=True)
class Choice:
    """What one Deployment is made of. `fresh`: of what is wanted, else of its record; `confirmed`: the record becomes
    what is wanted; `mark`: to be kept on the record."""

    fresh: bool
    confirmed: bool = False
    mark: Mark | None = None


@dataclass(frozen=True)
class Update:
    """What is done about one model, by the name of the Deployment. `message`: why it failed."""

    phase: Phase = Phase.CURRENT
    choices: Mapping[str, Choice] = field(default_factory=dict)
    message: str = ""


def update(pods: Sequence[Pods], *, granted: bool, may_begin: bool, command: str | None, now: float) -> Update:
    """The next step. `granted`: it is the model's turn; `may_begin`: it is at rest; `command`: a person's, RETRY or
    SKIP; `now`: seconds since the epoch."""
    current = {each.name: Choice(True, each.recorded != each.wanted) for each in pods if not each.pending}
    pending = [each for each in pods if each.pending]
    if not pending:
        return Update(Phase.CURRENT, current)
    phase, message = _phase(pending, command, now)
    if phase is Phase.WAITING and may_begin:
        phase = Phase.UPDATING if granted else Phase.READY
    if phase is Phase.UPDATING and all(each.marked is not None and each.proven for each in pending):
        return Update(Phase.CURRENT, current | {each.name: Choice(True, confirmed=True) for each in pending})
    return Update(phase, current | {each.name: _choice(each, phase, message) for each in pending}, message)


def _choice(each: Pods, phase: Phase, message: str) -> Choice:
    before = each.before if phase is Phase.UPDATING else ()
    mark = Mark(each.wanted, phase, message, before) if phase in _MARKED else None
    return Choice(fresh=phase is Phase.UPDATING or each.unrecorded, mark=mark)


def _phase(pending: Sequence[Pods], command: str | None, now: float) -> tuple[Phase, str]:
    """Where the model stands by its marks, and why it failed: one that failed or is skipped stands for all."""
    marks = [mark for each in pending if (mark := each.marked) is not None]
    if command == SKIP:
        return Phase.SKIPPED, ""
    for ended in _ENDED:
        found = next((mark for mark in marks if mark.phase is ended), None)
        if found is not None and command != RETRY:
            return ended, found.message
    if not any(mark.phase is Phase.UPDATING for mark in marks) and not any(each.unrecorded for each in pending):
        return Phase.WAITING, ""
    return next((why for each in pending if (why := _failure(each, now)) is not None), (Phase.UPDATING, ""))


def _failure(each: Pods, now: float) -> tuple[Phase, str] | None:
    """Why the new pods of one Deployment don't come up, where that is certain."""
    if each.refused is not None:
        return Phase.FAILED, f"{each.name}: the API server refuses its new pods: {each.refused}"
    if each.workload is None or each.made_of != each.wanted or each.workload.complete:
        return None
    problem = diagnose(_of_new_pods(each.workload, each.before), each.memory_field, RESTARTS)
    stay = f". {_NO_WAY_BACK}" if each.unrecorded else ""
    if problem is not None and not problem.may_pass(now):
        refused = problem.reason == FORMAT_NOT_ALLOWED
        return (Phase.REFUSED if refused else Phase.FAILED), f"{each.name}: {problem.message}{stay}"
    if each.workload.overdue:
        why = f". {problem.message}" if problem else ""
        return Phase.FAILED, f"{each.name}: its new pods were not ready in time{why}{stay}"
    return None


_NO_WAY_BACK = "Its record was deleted meanwhile, and with it what these pods were, so that they stay"


def _of_new_pods(workload: WorkloadFacts, before: tuple[str, ...]) -> WorkloadFacts:
    """What is to be seen of the pods that are not of `before`: an old one may fail for reasons of its own, until it is
    replaced. Where the API server takes no more pods of one of the two, what it says names most often which."""
    new = tuple(pod for pod in workload.pods if pod.maker not in before)
    failure = workload.failure
    if failure is not None:
        of_old = any(f'"{maker}-' in failure for maker in before)
        of_new = any(f'"{pod.maker}-' in failure for pod in new)
        # Who names neither refused pods by what they are, and has let new ones in.
        if of_old or (new and before and not of_new):
            failure = None
    return replace(workload, pods=new, failure=failure)


def lost_without(workload: WorkloadFacts, memory_field: str) -> bool:
    """Whether nothing answers, by a fault that other pods may cure: then there is nothing to wait for."""
    problem: Problem | None = diagnose(workload, memory_field)
    return workload.ready == 0 and problem is not None and problem.reason not in NOT_BY_PODS


def is_at_rest(observed: Observed, *, old_routers: bool = False) -> bool:
    """Whether nothing goes on that new pods would disturb: no rollout, nobody's pause or command, no router on its way,
    and every pod is there. What was rejected is at rest, beside the stable that serves. `old_routers`: the router's
    pods are outdated themselves, so that they may be unable to read what they are to follow: only new ones can then."""
    router, progress = observed.router, observed.progress
    if router.routes is None or router.former or observed.command:
        return False
    if progress is not None and progress.phase in (PROGRESSING, PAUSED):
        return False
    stable, target = router.routes.stable, observed.target
    if stable != target and not (progress is not None and progress.rejected and progress.revision == target):
        return False
    if router.workload is not None and not router.workload.complete:
        return False
    wanted = {variant.name: variant.revision for variant in observed.variants}
    arms = {arm.name: arm.revision for arm in router.routes.arms}
    serving = [observed.revisions.get(name) for name in (stable, *wanted.values())]
    settled = all(facts is not None and facts.workload.complete for facts in serving)
    return settled and arms == wanted and (old_routers or router.follows(router.version))


def dump_mark(mark: Mark) -> str:
    """As ANNOTATION_UPDATE holds it."""
    said = {"to": mark.to, "phase": str(mark.phase), "message": mark.message, "before": mark.before}
    return json.dumps({name: value for name, value in said.items() if value})


def load_mark(annotation: str | None) -> Mark | None:
    """The inverse of `dump_mark`; None where there is none that can be read: then it begins anew."""
    try:
        return known_text(Mark, annotation or "null")
    except ValueError:
        return None
