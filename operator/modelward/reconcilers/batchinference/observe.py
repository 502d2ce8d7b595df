"""What the cluster holds of a BatchInference: its runs, and the model that one which begins now would take.

Reads the cache. Whose a Job is says its owner's uid; what it says of itself counts for nothing else.
"""

from collections.abc import Callable
from typing import Final

from modelward.api.batchinference import BatchInference
from modelward.api.driftpolicy import DriftPolicy, parse_target
from modelward.api.driftpolicy import parse as parse_policy
from modelward.api.invalid import InvalidObjectError
from modelward.api.modeldeployment import parse_pods
from modelward.api.modelregistry import ModelRegistry
from modelward.batches.drift import DriftAsked, asked_of_pods
from modelward.batches.job_manifest import RunModel
from modelward.batches.progress import PASSES, facts_of
from modelward.batches.run import RunFacts, Used, about_of
from modelward.kube.cache import Cache, Key, Object
from modelward.kube.resources import CONTROLLER_REVISIONS, DRIFT_POLICIES, JOBS, MODEL_DEPLOYMENTS, PODS
from modelward.models.following import WAITING, NoRegistry, Said
from modelward.models.references import kind_of
from modelward.models.resolved import Resolution, ResolvedModel, as_resolved, resolved_model
from modelward.registries.choice import chosen
from modelward.retraining.served import registries_of
from modelward.revisions.health.diagnosis import Problem
from modelward.revisions.observed.ownership import belongs_to, is_pod_of_job
from modelward.revisions.observed.workloads import pod_facts
from modelward.revisions.pods import pod_template
from modelward.revisions.record import asked_in
from modelward.values.durations import seconds

About = Callable[[ModelRegistry, str, float], Said | None]
"""What a registry is known to say of a reference, and has said since a time (seconds since the epoch)."""

AS_OFTEN: Final = 2.0
"""Intervals of a registry within which what it said is news enough for a run."""


def runs_of(batch: BatchInference, cache: Cache, now: float) -> list[RunFacts]:
    """Its runs that have a Job, in the order in which they began. `now`: seconds since the epoch."""
    key = Key(batch.namespace, batch.name, batch.kind)
    pods, found = cache.children(key, PODS), []
    for job in cache.children(key, JOBS):
        kept = about_of(job)
        if kept is not None and belongs_to(job, batch):
            own = [(pod, pod_facts(pod)) for pod in pods if is_pod_of_job(pod, job)]
            found.append(facts_of(job, kept, own, now))
    return sorted(found, key=lambda each: (each.started, each.name))


def model_of(batch: BatchInference, cache: Cache, about: About, now: float) -> RunModel | Problem:
    """What a run that begins now takes; or why there is none, which may pass by itself."""
    if batch.spec.model.model_deployment is not None:
        return _stable_of(batch, cache, batch.spec.model.model_deployment)
    asked = batch.spec.model.as_model
    if kind_of(asked.uri) is None:
        return RunModel(asked, Used(name=batch.name, uri=asked.uri, digest=asked.digest or ""))
    registry = chosen(asked, registries_of(cache, batch.namespace))
    if isinstance(registry, NoRegistry):
        return Problem(registry.reason, registry.message)
    said = about(registry, asked.uri, now - AS_OFTEN * seconds(registry.spec.poll_interval))
    if said is None:
        told = f"Waiting for ModelRegistry {registry.name} to say what {asked.uri} is"
        return Problem(WAITING, told, PASSES)
    if said.resolved is None:
        told = said.trouble.message if said.trouble else f"ModelRegistry {registry.name} does not know {asked.uri}"
        return Problem(said.trouble.reason if said.trouble else WAITING, told, PASSES)
    resolution = Resolution(asked.uri, registry.name, registry.address, now, said.resolved)
    model = resolved_model(asked, resolution, registry)
    used = Used(name=batch.name, uri=model.uri, version=model.version, digest=model.digest or "")
    return RunModel(model, used)


def drift_of(batch: BatchInference, cache: Cache, now: float) -> DriftAsked | None:
    """By which rules the rows of a run that begins now are judged. None: by none."""
    name = batch.spec.model.model_deployment or ""
    body = cache.get(MODEL_DEPLOYMENTS, batch.namespace, name) if name else None
    policies: list[DriftPolicy] = []
    unreadable: list[str] = []
    labels = {} if body is None else body["metadata"].get("labels") or {}
    for each in () if body is None else cache.of_namespace(DRIFT_POLICIES, batch.namespace):
        metadata = each["metadata"]
        try:
            takes = parse_target(each["spec"]["target"]).takes(name, labels)
        except (InvalidObjectError, LookupError, TypeError, AttributeError):
            continue  # nobody knows what it watches
        if not takes or metadata.get("deletionTimestamp"):
            continue
        try:
            policies.append(parse_policy(each))
        except InvalidObjectError:
            unreadable.append(metadata["name"])
    return asked_of_pods(batch, policies, unreadable, now)


def _stable_of(batch: BatchInference, cache: Cache, name: str) -> RunModel | Problem:
    """The revision that has the traffic, as its record has it: nobody but the operator can write that."""
    body = cache.get(MODEL_DEPLOYMENTS, batch.namespace, name)
    if body is None or body["metadata"].get("deletionTimestamp"):
        return Problem(
            "ModelMissing",
            f"There is no ModelDeployment {name} in this namespace, which spec.model.modelDeployment names. "
            "Create it, or correct the name",
        )
    stable = (body.get("status") or {}).get("stable") or {}
    revision = str(stable.get("revision") or "")
    if not revision:
        return Problem("ModelNotServing", f"Waiting for {name} to have a stable revision", PASSES)
    record = cache.get(CONTROLLER_REVISIONS, batch.namespace, revision)
    asked = asked_in(record) if record is not None and _is_owned(record, body) else None
    try:
        spec = None if asked is None else parse_pods(asked)
    except InvalidObjectError:
        spec = None
    if spec is None or asked is None:
        return Problem(
            "RevisionUnknown",
            f"What {revision}, the stable revision of {name}, was made from is not known: its record is of an earlier "
            "version of Modelward, or gone. It is written with the next rollout",
        )
    if spec.runtime is not None:
        return Problem(
            "OtherRuntime",
            f"{name} is served by another server than Modelward's own (spec.runtime), which no batch asks. Name an "
            "artifact that Modelward's own loads by spec.model.uri",
        )
    model = as_resolved(spec.model, asked["model"])
    version = model.version if isinstance(model, ResolvedModel) else str(stable.get("version") or "")
    first = str(stable.get("digest") or "")
    if not (model.digest or first):
        return Problem("ModelNotServing", f"Waiting for {name} to tell which artifact {revision} serves", PASSES)
    used = Used(name=name, uri=model.uri, version=version, revision=revision, digest=model.digest or first)
    return RunModel(model, used, first, pod_template.own_image(spec.template))


def _is_owned(record: Object, body: Object) -> bool:
    references = record["metadata"].get("ownerReferences") or ()
    return any(each.get("uid") == body["metadata"]["uid"] for each in references)
