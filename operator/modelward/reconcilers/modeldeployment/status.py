"""The status of a ModelDeployment: what people, Argo CD and Flux read instead of our code.

Pure: the same facts give the same status but for the times of transition, so a converged object is never written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.names import (
    ANNOTATION_COMMAND,
    COMPONENT_SERVER,
    GRPC_PORT,
    LABEL_COMPONENT,
    LABEL_INSTANCE,
    LABEL_MANAGED_BY,
    LABEL_REVISION,
)
from modelward.api.traffic import CANDIDATE
from modelward.facts import (
    ABORTED,
    PAUSED,
    ROLLED_BACK,
    ModelFacts,
    Observed,
    Progress,
    RevisionFacts,
    RouterFacts,
)
from modelward.models.following import Following
from modelward.models.resolved import ResolvedModel
from modelward.monitoring import status as monitored
from modelward.monitoring.status import Monitored
from modelward.reconcilers.modeldeployment import platform_status as platform
from modelward.reconcilers.modeldeployment.following import resolved_condition, unresolved
from modelward.retraining.effective import Effective, model_status
from modelward.retraining.run import Artifact
from modelward.revisions.artifact import artifacts_of, differing
from modelward.revisions.diagnosis import (
    FORMAT_NOT_ALLOWED,
    ROUTER_MEMORY_FIELD,
    SERVER_MEMORY_FIELD,
    Problem,
    diagnose,
)
from modelward.revisions.update import Phase, Update
from modelward.rollouts.decision import Decision
from modelward.rollouts.status import rollout_essence, rollout_status
from modelward.rollouts.strategies import stages_of
from modelward.rollouts.variants import variants_status

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
    problem = (diagnose(target.workload, SERVER_MEMORY_FIELD) or differing(target.workload)) if target else None
    if problem is not None and observed.consent_unread is not None:
        problem = with_unread_consent(problem, observed.consent_unread)
    if problem is None and observed.router.gateway and observed.router.gateway.refused:
        return Problem("GatewayRefused", observed.router.gateway.refused)
    if problem is None and observed.router.workload:
        router = diagnose(observed.router.workload, ROUTER_MEMORY_FIELD)
        problem = replace(router, message=f"The router does not come up. {router.message}") if router else None
    return problem or expired(observed)


def expired(observed: Observed) -> Problem | None:
    """Clients are shown a certificate whose time is over."""
    expires = observed.router.certificate.expires if observed.router.certificate else None
    if expires is None or observed.clock.now < expires:
        return None
    return Problem(
        "CertificateExpired",
        f"The certificate that the router shows clients has expired ({_time(expires)}). Renew it in the Secret that "
        "spec.router.tls.secretName names; where that is done, what it holds can't be loaded, and the log of the "
        "router's pods says why",
    )


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


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
        return f"the rollout of {arm.revision}: {where}", "RollingOut"
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


def build_conditions(
    observed: Observed, assessment: Assessment, stable: str, made_by: str | None = None
) -> tuple[Condition, ...]:
    """The four conditions, always all of them. `made_by`: the run whose model the target is, None: spec's own."""
    problem, waiting = assessment.problem, assessment.waiting_for
    keeps = f" Until then {stable} keeps serving." if stable != observed.target and assessment.servable.status else ""
    if problem:
        message = f"{problem.message}.{keeps}"
        ready = Condition(conditions.READY, False, problem.reason, message)
        reconciling = Condition(conditions.RECONCILING, False, problem.reason, "Waiting for the cause of Stalled to go")
        stalled = Condition(conditions.STALLED, True, problem.reason, message)
    elif waiting:
        message = f"Waiting for {waiting}.{keeps}"
        # Taking away what no longer gets traffic is work left to do, but the model that spec asks for does answer.
        done = assessment.reason in ("RemovingOldRevision", "RemovingFormerRouter", "WaitingForVariants", UPDATING)
        ready = Condition(conditions.READY, done, "Serving" if done else assessment.reason, message)
        reconciling = Condition(conditions.RECONCILING, True, assessment.reason, message)
        stalled = Condition(conditions.STALLED, False, "NoProblem", "Nothing needs a person")
    else:
        replicas = f"{observed.replicas} replica{'s' if observed.replicas > 1 else ''}"
        message = f"{observed.target} answers on {replicas} with {observed.target_model.uri}"
        message += f", which the run {made_by} made" if made_by else ""
        ready = Condition(conditions.READY, True, "Serving", message)
        reconciling = Condition(conditions.RECONCILING, False, "UpToDate", "Everything is as spec asks")
        stalled = Condition(conditions.STALLED, False, "NoProblem", "Nothing needs a person")
    return (ready, assessment.servable, reconciling, stalled)


def phase_of(rendered: tuple[Condition, ...], progress: Progress | None, stalled: bool) -> str:
    """One word for the printer column."""
    by_type = {condition.type: condition for condition in rendered}
    if stalled:
        return ROLLED_BACK if by_type[conditions.STALLED].reason in (ROLLED_BACK, ABORTED) else "Failed"
    if progress is not None and progress.phase == PAUSED:
        return PAUSED
    if by_type[conditions.READY].status:
        return "Ready"
    return "Progressing" if by_type[conditions.SERVABLE].status else "Pending"


def build_status(
    deployment: ModelDeployment,
    observed: Observed,
    decision: Decision,
    version: str,
    refused: Problem | None,
    now: str,
    gates: Sequence[Mapping[str, Any]] | None = None,
    comparisons: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
    watched: Monitored | None = None,
    effective: Effective | None = None,
    update: Update | None = None,
    following: Following | None = None,
    *,
    restarted: bool = False,
) -> dict[str, Any]:
    """The whole status, as it is to be stored. `now`: RFC 3339, UTC.

    `gates`: the evidence of the rollout; `comparisons`: by variant; None, or a variant that is missing: as it was;
    `watched`: by monitors, None: by none; `effective`: None: what spec asks for; `update`: to a newer platform, None:
    not known; `following`: None: no registry is asked; `restarted`: what the annotation asks for is done.
    """
    assessment, stable = assess(deployment, observed, decision, version, refused, following), decision.routes.stable
    if update is not None and update.phase is Phase.UPDATING:
        assessment = while_updating(assessment, observed)
    if update is not None and update.phase is Phase.REFUSED and assessment.problem is None:
        assessment = replace(assessment, problem=refusal(update.message, observed))
    asked = Artifact(deployment.spec.model.uri, deployment.spec.model.digest)
    effective = effective or Effective(asked, asked)
    built = build_conditions(observed, assessment, stable, effective.by.run if effective.by else None)
    if update is not None:
        built = (*built, platform.condition(deployment, update))
    if watched is not None:
        built = (*built, monitored.condition(watched))
    if following is not None:
        built = (*built, resolved_condition(following, deployment))
    stable_facts = observed.revisions.get(stable)
    last = deployment.status
    status: dict[str, Any] = {
        "observedGeneration": deployment.generation,
        "phase": phase_of(built, decision.progress, stalled=assessment.problem is not None),
        **_addresses(deployment, observed.router.tls),
        "model": _model(deployment, observed, decision, effective, following),
        "replicas": len(stable_facts.workload.pods) if stable_facts else 0,
        "readyReplicas": stable_facts.workload.ready if stable_facts else 0,
        "selector": _selector(deployment, decision),
        "stable": {**_revision(observed, decision, stable, last), "weight": decision.routes.stable_weight},
        "router": _router(observed, version),
        "conditions": conditions.render(built, last.get("conditions") or (), deployment.generation, now),
    }
    if stable != observed.target and observed.target in decision.replicas:
        status["candidate"] = _revision(observed, decision, observed.target, last)
    optional = {
        "monitor": monitored.status(watched, last.get("monitor") or {}) if watched else None,
        "history": [_revision(observed, decision, name, last) for name in decision.history],
        # Also once the annotation is gone: what was done for a value is not done again.
        "restart": last.get("restart") if refused is not None or not restarted else deployment.restart,
        "rollout": rollout_status(last.get("rollout") or {}, observed, decision, gates, now),
        "variants": variants_status(
            last.get("variants") or (), observed, decision.routes, decision.replicas, comparisons or {}
        ),
    }
    return status | {name: value for name, value in optional.items() if value}


def _model(
    deployment: ModelDeployment,
    observed: Observed,
    decision: Decision,
    effective: Effective,
    following: Following | None,
) -> dict[str, Any]:
    """`status.model`: as it was while nobody knows what spec asks for."""
    stable, last = decision.routes.stable, deployment.status.get("model")
    if following is not None and not following.usable and last:
        return dict(last)
    shown = model_status(effective, stable=stable == observed.target)
    if shown["source"] != "Registry":
        return shown
    facts = observed.revisions.get(stable)
    if stable == observed.target and facts is not None:
        artifact = next(iter(artifacts_of(facts.workload)), None)
        before = (deployment.status.get("stable") or {}) if last and last.get("uri") == shown["uri"] else {}
        digest = artifact.digest if artifact else before.get("digest")
        return shown | ({"fetchedDigest": digest} if digest else {})
    if decision.progress is not None and decision.progress.rejected and facts is not None:
        return shown | {"pinned": facts.model.version or facts.model.uri}
    return shown


def _selector(deployment: ModelDeployment, decision: Decision) -> str:
    """Of the pods that an autoscaler measures: those that share the requests which spec.replicas are for. A canary
    relieves the stable of what it takes, so it counts; copies and variants, which have their own number, do not."""
    candidate = decision.routes.arm(CANDIDATE)
    revisions = [decision.routes.stable, *([candidate.revision] if candidate is not None and candidate.weight else [])]
    which = f"={revisions[0]}" if len(revisions) == 1 else f" in ({','.join(revisions)})"
    return f"{LABEL_INSTANCE}={deployment.name},{LABEL_COMPONENT}={COMPONENT_SERVER},{LABEL_REVISION}{which}"


def _addresses(deployment: ModelDeployment, tls: bool) -> dict[str, str]:
    """Only Gateways themselves know by which scheme and port they are reached, and from where."""
    if deployment.spec.router.gateway is not None:
        return {}
    host = f"{deployment.name}.{deployment.namespace}.svc"
    return {"url": f"http{'s' if tls else ''}://{host}", "grpcAddress": f"{host}:{GRPC_PORT}"}


def _router(observed: Observed, version: str) -> dict[str, Any]:
    router = observed.router
    if router.gateway is not None:
        return {"configVersion": version, "live": router.follows(version)}
    expires = router.certificate.expires if router.certificate else None
    return {
        "configVersion": version,
        "replicas": observed.router_replicas,
        "readyReplicas": router.workload.ready if router.workload else 0,
        "liveReplicas": sum(pod.config_version == version for pod in router.serving),
        **({"certificateExpires": _time(expires)} if expires is not None else {}),
    }


def _told(last: Mapping[str, Any], name: str) -> ModelFacts | None:
    """The model of a revision that is gone, as status told of it while it was there."""
    known = (last.get("stable"), last.get("candidate"), *(last.get("history") or ()))
    told = next((each for each in known if each and each.get("revision") == name and "uri" in each), None)
    return None if told is None else ModelFacts(told["uri"], told.get("format", "auto"), told.get("digest"))


def _revision(observed: Observed, decision: Decision, name: str, last: Mapping[str, Any]) -> dict[str, Any]:
    facts: RevisionFacts | None = observed.revisions.get(name)
    model = facts.model if facts else observed.target_model if name == observed.target else _told(last, name)
    artifact = next(iter(artifacts_of(facts.workload)), None) if facts else None
    arm = next((arm for arm in decision.routes.arms if arm.revision == name), None)
    lineage = dict(model.lineage) if model and name != observed.target else {}  # the target's is in status.model
    shown: dict[str, Any] = {
        "revision": name,
        "uri": model.uri if model else None,
        "version": model.version if model else None,
        "commit": model.lineage.get("commit") if model else None,
        "lineage": lineage or None,
        "format": artifact.format if artifact else model.format if model else None,
        "digest": artifact.digest if artifact else model.digest if model else None,
        "signedBy": artifact.signed_by if artifact else None,
        "form": artifact.form if artifact else None,
        "fallback": artifact.fallback if artifact else None,
        "warnings": list(artifact.warnings) if artifact and artifact.warnings else None,
        "weight": arm.weight if arm else None,
        "mirrorPercent": arm.mirror or None if arm else None,
        "replicas": decision.replicas.get(name),
        "readyReplicas": facts.workload.ready if facts else 0,
    }
    return {key: value for key, value in shown.items() if value is not None}


def is_urgent(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether `new` says more than other counts, or other words for the same progress.

    Those change with every pod that comes up; writing each would cost more than it tells, so they may wait a little.
    """
    return _essence(old) != _essence(new)


def _essence(status: Mapping[str, Any]) -> dict[str, Any]:
    counts = ("replicas", "readyReplicas", "liveReplicas", "live")
    kept = {
        key: _essence(value) if isinstance(value, Mapping) else value
        for key, value in status.items()
        if key not in (*counts, "conditions", "rollout", "variants")
    }
    if "rollout" in status:
        kept["rollout"] = rollout_essence(status["rollout"])
    kept["variants"] = [
        (each["name"], each.get("revision"), each.get("weight")) for each in status.get("variants") or ()
    ]
    stored = conditions.by_type(status.get("conditions") or ())
    stalled = stored.get(conditions.STALLED, {})
    kept["conditions"] = {kind: condition["status"] for kind, condition in stored.items()}
    kept["platform"] = stored.get(conditions.PLATFORM_CURRENT, {}).get("reason") in platform.NEWS
    kept["problem"] = stalled.get("message") if stalled.get("status") == "True" else None
    return kept
