"""The status of a ModelDeployment: what people, Argo CD and Flux read instead of our code.

Pure: the same facts give the same status but for the times of transition, so a converged object is never written.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.names import (
    COMPONENT_SERVER,
    GRPC_PORT,
    LABEL_COMPONENT,
    LABEL_INSTANCE,
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
)
from modelward.models.following import Following
from modelward.monitoring import logged as prediction_log
from modelward.monitoring import status as monitored
from modelward.monitoring.logged import Logged
from modelward.monitoring.status import Monitored
from modelward.reconcilers.modeldeployment import platform_status
from modelward.reconcilers.modeldeployment.assessment import (
    UPDATING,
    Assessment,
    assess,
    refusal,
    told_time,
    while_updating,
)
from modelward.reconcilers.modeldeployment.following import resolved_condition
from modelward.reconcilers.modeldeployment.previous import previous
from modelward.reconcilers.modeldeployment.write_back import Told
from modelward.retraining.effective import Effective, model_status
from modelward.retraining.lifecycle.run import Artifact
from modelward.revisions.health.diagnosis import (
    Problem,
)
from modelward.revisions.health.pod_volumes import log_claim
from modelward.revisions.observed.artifact import artifacts_of
from modelward.revisions.update import Phase, Update
from modelward.rollouts.decision import Decision
from modelward.rollouts.status import rollout_essence, rollout_status
from modelward.rollouts.variants import variants_status


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
    back: Told | None = None,
    *,
    restarted: bool = False,
    logged: Logged | None = None,
    further: Sequence[Condition | None] = (),
    outcomes: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The whole status, as it is to be stored. `now`: RFC 3339, UTC.

    `gates`: the evidence of the rollout; `comparisons`: by variant; None, or a variant that is missing: as it was;
    `watched`: by monitors, None: by none; `effective`: None: what spec asks for; `update`: to a newer platform, None:
    not known; `following`: None: no registry is asked; `back`: what the registry was told, None: nothing; `restarted`:
    what the annotation asks for is done; `logged`: what pods say of the prediction log, None: there is to be none;
    `further`: what is to be said of the cache, the autoscaler and outcomes, None: nobody asks for it; `outcomes`: what
    they say of variants, by name, a variant that is missing: as it was, None: nobody asks for them.
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
        built = (*built, platform_status.condition(deployment, update))
    if watched is not None:
        built = (*built, monitored.condition(watched))
    if logged is not None:
        built = (*built, prediction_log.condition(logged, log_claim(observed)))
    if following is not None:
        built = (*built, resolved_condition(following, deployment))
    built = (*built, *(each for each in further if each is not None))
    if back is not None and back.condition is not None:
        built = (*built, back.condition)
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
        "predictionLog": prediction_log.status(logged) if logged is not None else None,
        "history": [_revision(observed, decision, name, last) for name in decision.history],
        "previous": previous(last, observed, stable, now),
        "rollout": rollout_status(last.get("rollout") or {}, observed, decision, gates, now),
        "writeBack": None if back is None else back.record,
        "variants": variants_status(
            last.get("variants") or (),
            observed,
            decision.routes,
            decision.replicas,
            comparisons or {},
            outcomes,
        ),
    }
    # Also once the annotation is gone, and where it is empty: what was done for a value is not done again.
    mark = last.get("restart") if refused is not None or not restarted else deployment.restart
    if mark is not None:
        status["restart"] = mark
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
        **({"certificateExpires": told_time(expires)} if expires is not None else {}),
    }


def _told(last: Mapping[str, Any], name: str) -> ModelFacts | None:
    """The model of a revision that is gone, as status told of it while it was there."""
    known = (last.get("stable"), last.get("candidate"), *(last.get("history") or ()))
    told = next((each for each in known if each and each.get("revision") == name and "uri" in each), None)
    return None if told is None else ModelFacts(told["uri"], told.get("format", "auto"), told.get("digest"))


def _features(asked: Mapping[str, Any] | None) -> dict[str, str] | None:
    """By which definitions a revision's features are looked up, as the user wrote it then."""
    features = (asked or {}).get("features")
    if not isinstance(features, Mapping):
        return None
    return {name: str(features[name]) for name in ("service", "digest") if features.get(name)}


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
        "runtime": facts.runtime.name if facts and facts.runtime else None,
        "protocol": facts.runtime.protocol if facts and facts.runtime else None,
        "features": _features(facts.asked if facts else None),
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
    kept["platform"] = stored.get(conditions.PLATFORM_CURRENT, {}).get("reason") in platform_status.NEWS
    kept["problem"] = stalled.get("message") if stalled.get("status") == "True" else None
    return kept
