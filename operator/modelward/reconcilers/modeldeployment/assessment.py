"""What is the matter with a ModelDeployment: whether somebody gets answers, what is wrong, what is waited for. Pure.

The worst is told, and what may pass by itself is no problem yet; the texts are those of the conditions (status.py).
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.names import (
    ANNOTATION_COMMAND,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
)
from modelward.api.traffic import CANDIDATE
from modelward.facts import (
    PAUSED,
    Observed,
    RevisionFacts,
    RouterFacts,
)
from modelward.models.following import Following
from modelward.models.resolved import ResolvedModel
from modelward.reconcilers.modeldeployment.following import unresolved
from modelward.revisions.health.diagnosis import (
    FORMAT_NOT_ALLOWED,
    ROUTER_MEMORY_FIELD,
    SERVER_MEMORY_FIELD,
    Problem,
    diagnose,
    not_ready,
)
from modelward.revisions.observed.artifact import differing
from modelward.rollouts.decision import Decision
from modelward.rollouts.strategies import stages_of

UPDATING = "UpdatingPlatform"


@dataclass(frozen=True)
class Assessment:
    """What is the matter, in the terms of the conditions."""

    servable: Condition
    problem: Problem | None
    waiting_for: str | None
    """What the operator waits for, as the end of a sentence; None when nothing is left to do."""
    reason: str


def problem_of(observed: Observed, refused: Problem | None) -> Problem | None:
    """The most telling problem: what the API server refused, then the target's pods, the router's."""
    if refused:
        return refused
    target = observed.revisions.get(observed.target)
    problem = problem_of_revision(target) if target else None
    if problem is not None and observed.consent_unread is not None:
        problem = with_unread_consent(problem, observed.consent_unread)
    if problem is None and observed.router.gateway and observed.router.gateway.refused:
        return Problem("GatewayRefused", observed.router.gateway.refused)
    if problem is None and observed.router.workload:
        router = diagnose(observed.router.workload, ROUTER_MEMORY_FIELD)
        problem = replace(router, message=f"The router does not come up. {router.message}") if router else None
    return problem or expired(observed)


def problem_of_revision(facts: RevisionFacts) -> Problem | None:
    """What keeps a revision's pods from being ready, or from being of one artifact."""
    return (
        diagnose(facts.workload, SERVER_MEMORY_FIELD)
        or differing(facts.workload)
        or not_ready(facts.workload, facts.runtime, tapped=facts.tapped)
    )


def expired(observed: Observed) -> Problem | None:
    """Clients are shown a certificate whose time is over."""
    expires = observed.router.certificate.expires if observed.router.certificate else None
    if expires is None or observed.clock.now < expires:
        return None
    return Problem(
        "CertificateExpired",
        f"The certificate that the router shows clients has expired ({told_time(expires)}). Renew it in the Secret "
        "that spec.router.tls.secretName names; where that is done, what it holds can't be loaded, and the log of the "
        "router's pods says why",
    )


def with_unread_consent(problem: Problem, why: str) -> Problem:
    """Where a format is refused: the namespace may allow it, and nobody could see that."""
    if problem.reason != FORMAT_NOT_ALLOWED:
        return problem
    return replace(
        problem,
        message=f"{problem.message}. Whether the namespace has that label could not be read, so it counts as absent: "
        f"{why.rstrip('.')}. Give the operator's account the right to get the namespace",
    )


def loss_of(observed: Observed, stable: str) -> Problem | None:
    """What is wrong with a stable revision that spec does not ask for; the worst: it is gone, and nothing may take its
    place."""
    if stable == observed.target:
        return None
    if (facts := observed.revisions.get(stable)) is not None:
        problem = diagnose(facts.workload, SERVER_MEMORY_FIELD)
        return replace(problem, message=f"{stable}, which has the traffic: {problem.message}") if problem else None
    return Problem(
        "StableGone",
        f"{stable}, which has the traffic, was deleted together with its record, so it can't be made again, and "
        f"{observed.target} does not take its place unasked. Set spec back to the model that {stable} was, or let "
        f"{observed.target} have the traffic with the annotation {ANNOTATION_COMMAND}=promote",
    )


def assess(
    owner: ModelDeployment,
    observed: Observed,
    decision: Decision,
    version: str,
    refused: Problem | None,
    following: Following | None = None,
) -> Assessment:
    """Judge the facts. `version`: of the configuration that `decision` asks of the router."""
    answering, now = _servable(observed, decision.routes.stable), observed.clock.now
    problem = problem_of(observed, refused) or loss_of(observed, decision.routes.stable)
    if problem is None and following is not None and not following.usable and following.resolution is None:
        return Assessment(answering, *unresolved(following, decision.routes.stable))
    if problem is None or not problem.may_pass(now):
        waiting_for, reason = _waits_for(observed, decision, version)
        return Assessment(answering, problem or rejection(owner, decision), waiting_for, reason)
    passing = f"what may pass by itself. {problem.message}"
    return Assessment(answering, rejection(owner, decision), passing, problem.reason)


def patience_left(observed: Observed, stable: str) -> float | None:
    """Seconds after which a person has to look at what may pass by itself until then; no event tells of that moment."""
    problem, now = problem_of(observed, None) or loss_of(observed, stable), observed.clock.now
    return problem.until - now if problem is not None and problem.until is not None and problem.may_pass(now) else None


def rejection(owner: ModelDeployment, decision: Decision) -> Problem | None:
    """Spec asks for a revision that was tried and failed, or that somebody gave up."""
    progress = decision.progress
    if progress is None or not progress.rejected:
        return None
    return Problem(
        progress.phase,
        f"{progress.revision} does not get the traffic. {progress.message}. {_other_ways(owner)}, or try once more "
        f"with `kubectl annotate modeldeployment {owner.name} -n {owner.namespace} {ANNOTATION_COMMAND}=retry`",
    )


def _other_ways(owner: ModelDeployment) -> str:
    model = owner.spec.model
    if not isinstance(model, ResolvedModel):
        return "Change spec, set it back"
    return f"It is version {model.version} in the registry: move the alias there, or change spec"


def _waits_for(observed: Observed, decision: Decision, version: str) -> tuple[str | None, str]:
    """What is left to do, as the end of a sentence, and its reason."""
    target = observed.revisions.get(observed.target)
    router, stable, progress = observed.router, decision.routes.stable, decision.progress
    arm = decision.routes.arm(CANDIDATE)
    if progress is not None and progress.phase == PAUSED:
        return f"a person: {progress.message}", PAUSED
    if arm is None and (target is None or not target.workload.complete):
        return f"the pods of {observed.target} to become ready", "WaitingForPods"
    if router.workload is not None and not router.workload.complete:
        return "the router's pods to become ready", "WaitingForRouter"
    if arm is not None and progress is not None:
        steps = len(stages_of(observed.rollout, observed.replicas))
        where = f"step {progress.step + 1} of {steps}" if progress.step < steps else "full size"
        return f"the rollout of {arm.revision}: {where}{_unjudged(observed)}", "RollingOut"
    if stable != observed.target or not router.follows(version) or not router.reaches(observed.target):
        return _router_waits_for(router, version), "WaitingForRouter"
    late = [each.name for each in observed.variants if each.revision not in {a.revision for a in decision.routes.arms}]
    if late:
        return f"variant {', '.join(late)} to become ready", "WaitingForVariants"
    if router.former:
        return "the router that spec asked for before to be taken away", "RemovingFormerRouter"
    leaving = [name for name in decision.routes.attached if name not in decision.replicas]
    if leaving:
        return f"{', '.join(leaving)} to be taken away{_unseen(router)}", "RemovingOldRevision"
    return None, "Serving"


def _unjudged(observed: Observed) -> str:
    if not observed.unjudged:
        return ""
    gates = " and ".join(observed.unjudged)
    if observed.unjudged == ("disagreement",):
        return f"; {gates} can't be judged, since one of the two revisions runs another server without spec.runtime.tap"
    return f"; {gates} can't be judged, since one of the two revisions runs another server (spec.runtime)"


def while_updating(assessment: Assessment, observed: Observed) -> Assessment:
    """While pods are made anew for a newer platform, as many as ever answer, and those that don't come up are given up
    by the operator itself: the model is ready all the time."""
    target, router = observed.revisions.get(observed.target), observed.router.workload
    workloads = [each for each in (target.workload if target else None, router) if each is not None]
    found = problem_of(observed, None)
    if assessment.problem is not None and (assessment.problem != found or found == expired(observed)):
        return assessment
    if all(each.complete for each in workloads) or not all(each.available >= each.desired for each in workloads):
        return assessment
    what = "its pods to be made anew on the newer platform"
    waiting_for = f"{what}. {found.message}" if found is not None else what
    return Assessment(assessment.servable, None, waiting_for, UPDATING)


def refusal(message: str, observed: Observed) -> Problem:
    """The pods of now are refused, and those of before go on."""
    problem = Problem(FORMAT_NOT_ALLOWED, f"{message.rstrip('.')}. The pods that it has go on as they are")
    return problem if observed.consent_unread is None else with_unread_consent(problem, observed.consent_unread)


def _unseen(router: RouterFacts) -> str:
    if not router.unseen:
        return ""
    return (
        f", which may not go while pods of the router are not seen ({router.unseen} ready): delete those whose labels "
        f"{LABEL_MANAGED_BY} or {LABEL_INSTANCE} somebody changed"
    )


def _router_waits_for(router: RouterFacts, version: str) -> str:
    if router.gateway is not None and router.gateway.waits_for:
        return router.gateway.waits_for
    return f"the router to follow configuration {version}"


def _servable(observed: Observed, stable: str) -> Condition:
    """Whether somebody gets answers now, from whatever revision the router really sends requests to."""
    routed = observed.router.routes.stable if observed.router.routes else stable
    facts = observed.revisions.get(routed)
    if facts is None or facts.workload.ready == 0:
        message = f"No pod of {routed}, which gets the traffic, is ready"
        return Condition(conditions.SERVABLE, False, "NoReadyPods", message)
    if not facts.addressed:
        message = f"The Service of {routed}, by which the router reaches its pods, is gone"
        return Condition(conditions.SERVABLE, False, "NoService", message)
    if not observed.router.answers(routed):
        way = "no Gateway leads to them" if observed.router.gateway else "no router pod reaches them"
        message = f"Pods of {routed} are ready, but {way} yet"
        return Condition(conditions.SERVABLE, False, "RouterNotReady", message)
    return Condition(conditions.SERVABLE, True, "Answering", f"{routed} answers requests")


def told_time(seconds: float) -> str:
    """Seconds since the epoch as people read them in a condition."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
