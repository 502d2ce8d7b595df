"""Which OpenLineage events the statuses of a ModelDeployment and of RetrainingRuns stand for. Pure.

A job is a ModelDeployment: its first deployment and each rollout (an attempt at it) are runs of `namespace/name`, its
retraining runs are runs of `namespace/name/retraining`. Invariant: a run's id is made of what the run is, and the time
of an event is that which status tells, so that the same status gives the same events whoever reads it, and an event
that is sent again after a crash is the same one. Failure: a status that can't be read stands for none.
"""

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from modelward import __version__
from modelward.api.conditions import READY, by_type
from modelward.facts import ABORTED, PROMOTED, ROLLED_BACK
from modelward.lineage.facets import (
    PRODUCER,
    SCHEMA,
    SENTENCE,
    data_sets,
    facet,
    gates,
    looked_up,
    model_facet,
    model_set,
    plain,
    source_code,
)
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Run
from modelward.retraining.persistence.run_object import read_run
from modelward.values.times import read_time

START, COMPLETE, FAIL, ABORT = "START", "COMPLETE", "FAIL", "ABORT"

_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "https://modelward.io/openlineage")

_ENDS: Final = {PROMOTED: COMPLETE, ROLLED_BACK: FAIL, ABORTED: ABORT}
"""Of a rollout, by its phase."""

_RESULTS: Final = {
    runs.PROMOTED: COMPLETE, runs.REPORTED: COMPLETE, runs.UNCHANGED: COMPLETE, runs.SUPERSEDED: COMPLETE,
    runs.FAILED: FAIL, runs.REFUSED: FAIL, runs.ROLLED_BACK: FAIL, runs.CANCELLED: ABORT, runs.DELETED: ABORT,
}  # fmt: skip
"""Of a retraining run: COMPLETE where it brought a model, whatever became of it but for a bad one."""

_UNREADABLE: Final = (KeyError, TypeError, ValueError, AttributeError, LookupError)


@dataclass(frozen=True)
class Event:
    """`run`: its id; `type`: START, COMPLETE, FAIL or ABORT; `time`: seconds since the epoch; `document`: as it is
    sent."""

    run: str
    type: str
    time: float
    document: Mapping[str, Any]

    @property
    def identity(self) -> tuple[str, str]:
        """Told once."""
        return self.run, self.type

    def body(self) -> bytes:
        return json.dumps(self.document, separators=(",", ":")).encode()


@dataclass(frozen=True)
class _Told:
    """A run of a job, before it is an event."""

    namespace: str
    job: str
    run: str
    what: str
    described: str
    run_facets: Mapping[str, Any]
    inputs: Sequence[Mapping[str, Any]] = ()
    outputs: Sequence[Mapping[str, Any]] = ()
    source: Mapping[str, Any] | None = None

    def event(self, kind: str, time: float, error: str = "") -> Event:
        run_facets = {
            **self.run_facets,
            "processing_engine": facet(
                "ProcessingEngineRunFacet", "1-1-1", version=__version__, name="modelward",
            ),
        }  # fmt: skip
        if error:
            message = plain(error, SENTENCE)
            run_facets["errorMessage"] = facet(
                "ErrorMessageRunFacet", "1-0-1", message=message, programmingLanguage="PYTHON"
            )
        job_facets: dict[str, Any] = {
            "documentation": facet("DocumentationJobFacet", "1-1-0", description=self.described),
            "jobType": facet(
                "JobTypeJobFacet", "2-0-4", processingType="BATCH", integration="MODELWARD", jobType=self.what.upper()
            ),
        }
        if self.source is not None:
            job_facets["sourceCodeLocation"] = self.source
        document = {
            "eventType": kind,
            "eventTime": _shown(time),
            "producer": PRODUCER,
            "schemaURL": SCHEMA,
            "run": {"runId": self.run, "facets": run_facets},
            "job": {"namespace": self.namespace, "name": self.job, "facets": job_facets},
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
        }
        return Event(self.run, kind, time, document)


def of_model(
    body: Mapping[str, Any], namespace: str, first: bool | None, made_by: Mapping[str, str] | None = None
) -> tuple[Event, ...] | None:
    """What the status of a ModelDeployment stands for; None where it can't be read. `namespace`: of jobs, as
    OpenLineage has them; `first`: its stable revision is the first that it ever had, None: nobody knows; `made_by`:
    uids of RetrainingRuns by name."""
    try:
        status = body.get("status") or {}
        rollout = status.get("rollout") or {}
        if "startedAt" in rollout:
            return _rollout(body, status, rollout, namespace, made_by or {})
        if not status.get("stable"):
            return ()
        return None if first is None else _deployment(body, status, namespace) if first else ()
    except _UNREADABLE:
        return None


def essence(body: Mapping[str, Any]) -> tuple[object, ...]:
    """What of a ModelDeployment makes events: while it is the same, they are."""
    try:
        status = body.get("status") or {}
        rollout, stable = status.get("rollout") or {}, status.get("stable") or {}
        ready = [each.get("status") for each in status.get("conditions") or () if each.get("type") == READY]
        told = [str(rollout.get(name)) for name in ("revision", "attempt", "startedAt", "phase", "endedAt")]
        return body["metadata"]["uid"], *told, str(stable.get("revision")), *map(str, ready)
    except _UNREADABLE:
        return ()


def of_run(body: Mapping[str, Any], namespace: str) -> tuple[Event, ...] | None:
    """What a RetrainingRun stands for; None where it can't be read."""
    run = read_run(body)
    try:
        return None if run is None else _retraining(namespace, (str(body["metadata"]["namespace"]), run.target), run)
    except _UNREADABLE:
        return None


def retraining_id(uid: str) -> str:
    """The run's id of the RetrainingRun with this uid."""
    return _id(uid, "retraining")


def aborted(last: Event, time: float, why: str) -> Event:
    """The end of a run that nothing tells of any more. `last`: the last event of it."""
    document = json.loads(last.body())
    document |= {"eventType": ABORT, "eventTime": _shown(time)}
    document["run"]["facets"]["errorMessage"] = facet(
        "ErrorMessageRunFacet", "1-0-1", message=plain(why, SENTENCE), programmingLanguage="PYTHON"
    )
    return Event(last.run, ABORT, time, document)


def is_end(event: Event) -> bool:
    return event.type != START


def _deployment(body: Mapping[str, Any], status: Mapping[str, Any], namespace: str) -> tuple[Event, ...]:
    """The first revision, until it is ready."""
    metadata, stable = body["metadata"], status["stable"]
    told = _told(body, status, stable, namespace, f"deploy/{stable['revision']}", "Deploy", {})
    events = [told.event(START, read_time(metadata["creationTimestamp"]))]
    ready = by_type(status.get("conditions") or ()).get(READY) or {}
    if ready.get("status") == "True":
        events.append(told.event(COMPLETE, read_time(ready["lastTransitionTime"])))
    return tuple(events)


def _rollout(
    body: Mapping[str, Any],
    status: Mapping[str, Any],
    rollout: Mapping[str, Any],
    namespace: str,
    made_by: Mapping[str, str],
) -> tuple[Event, ...]:
    revision, began = str(rollout["revision"]), str(rollout["startedAt"])
    shown = {
        "strategy": _plain(rollout.get("strategy")), "attempt": int(rollout.get("attempt", 1)),
        "from": _plain(rollout.get("from")), "gates": gates(rollout.get("gates")),
    }  # fmt: skip
    known = {"revision": revision, "uri": rollout.get("uri")}
    for role in (status.get("stable"), status.get("candidate"), *(status.get("history") or ())):
        if role and role.get("revision") == revision:
            known = {**known, **role}
    ended = _ENDS.get(str(rollout.get("phase")))
    result = str(rollout["phase"]) if ended else None
    named = f"rollout/{revision}/{rollout.get('attempt', 1)}/{began}"
    told = _told(body, status, known, namespace, named, "Rollout", shown | {"result": result}, made_by)
    start = _told(body, status, known, namespace, named, "Rollout", shown | {"gates": None}, made_by)
    events = [start.event(START, read_time(began))]
    if ended:
        time = read_time(str(rollout.get("endedAt") or began))
        error = "" if ended == COMPLETE else str(rollout.get("message") or rollout["phase"])
        events.append(told.event(ended, time, error))
    return tuple(events)


def _told(
    body: Mapping[str, Any],
    status: Mapping[str, Any],
    revision: Mapping[str, Any],
    namespace: str,
    named: str,
    what: str,
    more: Mapping[str, Any],
    made_by: Mapping[str, str] | None = None,
) -> _Told:
    """`revision`: as status tells of it."""
    metadata, model = body["metadata"], status.get("model") or {}
    name, reference = f"{metadata['namespace']}/{metadata['name']}", model.get("reference") or {}
    uri = str(revision.get("uri") or "")
    is_target = bool(uri) and uri == model.get("uri")
    lineage = revision.get("lineage") or (model.get("lineage") if is_target else None) or {}
    named_by = {"Registry": reference, "RetrainingRun": model.get("registration") or {}}
    followed = named_by.get(str(model.get("source")), {}) if is_target else {}
    version = revision.get("version") or followed.get("version")
    told = model_facet(
        kind=what,
        revision=_plain(revision.get("revision")),
        uri=plain(uri),
        version=_plain(version),
        alias=_plain(followed.get("alias")),
        digest=_plain(revision.get("digest")),
        format=_plain(revision.get("format")),
        features=looked_up(revision.get("features")),
        **more,
    )
    run_facets: dict[str, Any] = {"modelward_model": told}
    run = model.get("run") if is_target else None
    if run is not None and (uid := (made_by or {}).get(str(run))):
        parent = {"run": {"runId": retraining_id(uid)}, "job": {"namespace": namespace, "name": _trains(name)}}
        run_facets["parent"] = facet("ParentRunFacet", "1-2-0", **parent)
    inputs, registry = [], _registry(followed.get("address"))
    if registry and lineage.get("name") and version:
        inputs.append(model_set(registry, plain(lineage["name"]), str(version)))
    inputs += data_sets(lineage, registry or f"{namespace}/{metadata['namespace']}")
    served = str(version or revision.get("digest") or revision.get("revision") or "")
    asked = plain(((body.get("spec") or {}).get("model") or {}).get("uri") or uri)
    return _Told(
        namespace, name, _id(str(metadata["uid"]), named), what,
        f"Model {metadata['name']} in namespace {metadata['namespace']}, which serves {asked}", run_facets,
        inputs, (model_set(namespace, name, served),), source_code(lineage),
    )  # fmt: skip


def _retraining(namespace: str, model: tuple[str, str], run: Run) -> tuple[Event, ...]:
    name = "/".join(model)
    facets: dict[str, Any] = {
        "modelward_model": model_facet(
            kind="Retraining",
            revision=run.revision,
            uri=plain(run.model.uri) if run.model is not None else None,
            digest=_plain(run.model.digest) if run.model is not None else None,
            version=_plain(run.version),
            attempt=run.attempt,
            trigger=run.trigger,
            reason=plain(run.reason, SENTENCE),
            holdout=_plain(run.holdout),
            result=run.result,
        )
    }
    if run.trigger == runs.SCHEDULE:
        # The time that the schedule named; a run begins later where something was in its way.
        facets["nominalTime"] = facet("NominalTimeRunFacet", "1-0-1", nominalStartTime=_shown(read_time(run.occasion)))
    made = run.model is not None and run.result in (runs.PROMOTED, runs.REPORTED, runs.ROLLED_BACK, runs.REFUSED)
    version = None if run.model is None else run.version or run.model.digest or plain(run.model.uri)
    learnt: list[dict[str, Any]] = []
    source = None
    if (told_by := run.registration) is not None:
        # What the version that it reported was made from, by its registry: as of a rollout of it.
        learnt = data_sets(told_by.lineage, _registry(told_by.address))
        source = source_code(told_by.lineage)
    told = _Told(
        namespace, _trains(name), retraining_id(run.uid), "Retraining",
        f"Retrains the model {model[1]} in namespace {model[0]}", facets,
        (model_set(namespace, name, run.revision), *learnt), (model_set(namespace, name, version),) if made else (),
        source,
    )  # fmt: skip
    events = [told.event(START, run.started_at)]
    kind = _RESULTS.get(run.result or "")
    if kind is not None:
        failed = "" if kind == COMPLETE else run.message or str(run.result)
        events.append(told.event(kind, run.ended_at or run.started_at, failed))
    return tuple(events)


def _plain(value: object) -> str | None:
    return None if value is None else plain(value)


def _registry(address: object) -> str:
    """The namespace of what a registry has; empty where there is none. Behind `#` is who asks it."""
    return plain(str(address or "").partition("#")[0])


def _trains(job: str) -> str:
    return f"{job}/retraining"


def _id(uid: str, what: str) -> str:
    """The same run has the same id for ever."""
    return str(uuid.uuid5(_IDS, f"{uid}/{what}"))


def _shown(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
