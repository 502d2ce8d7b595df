"""What a policy remembers of each target, written and read: JSON of bounded size, an object for each target.

None of it is in the policy's status, which has to fit into one object however many targets there are.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from modelward.api import names
from modelward.api.driftpolicy import DriftPolicy
from modelward.drift.verdicts import PENDING, UNKNOWN, Recent, Verdict, read_window, show_window
from modelward.retraining.run import Artifact, Run
from modelward.retraining.run_object import read_artifact, show_artifact
from modelward.retraining.target import Answered, Ended, Memory, Rejected
from modelward.values.hashing import content_hash
from modelward.values.times import read_time, show_time

DATA: Final = "memory"
"""The entry of the ConfigMap."""

LONGEST: Final = 500
"""Characters of a message that are remembered."""


def is_fresh(policy: DriftPolicy) -> bool:
    """Whether spec has changed since the status was written."""
    return policy.status.get("observedGeneration") != policy.generation


def memory_manifest(policy: DriftPolicy, memory: Memory) -> dict[str, Any]:
    """The ConfigMap that holds it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": memory_name(policy, memory.uid),
            "namespace": policy.namespace,
            "labels": {
                names.LABEL_MANAGED_BY: names.MANAGED_BY,
                names.LABEL_PART_OF: "modelward",
                names.LABEL_COMPONENT: names.COMPONENT_RETRAINING,
                names.LABEL_POLICY: policy.name,
                names.LABEL_TARGET: memory.name,
            },
            "ownerReferences": [policy.owner_reference],
        },
        "data": {DATA: json.dumps(show_memory(memory), sort_keys=True)},
    }


def memory_name(policy: DriftPolicy, target_uid: str) -> str:
    """Of the policy's and the target's uid: a namesake of either has another."""
    return f"{policy.name}-{content_hash({'policy': policy.uid, 'target': target_uid})}-memory"


def load_memory(body: Mapping[str, Any], *, forgiven: bool) -> Memory | None:
    """The inverse of memory_manifest; None where somebody wrote something else."""
    try:
        return read_memory(json.loads(body["data"][DATA]), forgiven=forgiven)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def read_memory(raw: Mapping[str, Any], *, forgiven: bool) -> Memory:
    """`forgiven`: whoever changes spec has looked; failures, and what was in vain, count no longer."""
    scheduled, answered, run = raw.get("scheduledAt"), raw.get("answered"), raw.get("run")
    return Memory(
        name=raw["name"],
        uid=raw.get("uid", ""),
        verdict=_read_verdict(raw),
        scheduled_at=None if scheduled is None else read_time(scheduled),
        handled_request=raw.get("handledRequest"),
        failures=0 if forgiven else int(raw.get("failures", 0)),
        answered=None if forgiven or answered is None else _read_answered(answered),
        rejected=tuple(Rejected(read_artifact(each), each.get("reason", "")) for each in raw.get("rejected") or ()),
        run=None if run is None else _read_run(run),
        runs=tuple(_read_ended(each) for each in raw.get("runs") or ()),
    )


def _read_run(raw: Mapping[str, Any]) -> Run:
    return Run(
        name=raw["name"],
        key=raw["key"],
        kind=raw["kind"],
        trigger=raw["trigger"],
        reason="",
        started_at=read_time(raw["startedAt"]),
        revision="",
        from_model=Artifact(""),
        attempt=int(raw.get("attempt", 1)),
        handle=raw.get("handle"),
        target=raw.get("target", ""),
        target_uid=raw.get("targetUid", ""),
        occasion=raw.get("occasion", ""),
        uid=raw.get("uid", ""),
    )


def _show_run(run: Run) -> dict[str, Any]:
    """What it takes to stop it when its object is gone, and to account for it."""
    shown = {
        "name": run.name,
        "uid": run.uid,
        "key": run.key,
        "kind": run.kind,
        "trigger": run.trigger,
        "occasion": run.occasion,
        "attempt": run.attempt,
        "target": run.target,
        "targetUid": run.target_uid,
        "handle": run.handle,
        "startedAt": show_time(run.started_at),
    }
    return {name: value for name, value in shown.items() if value not in (None, "")}


def _read_ended(raw: Mapping[str, Any]) -> Ended:
    return Ended(
        raw["name"],
        raw["trigger"],
        raw.get("occasion", ""),
        int(raw.get("attempt", 1)),
        raw["result"],
        read_time(raw["startedAt"]),
        read_time(raw["endedAt"]),
        raw.get("message", ""),
    )


def _show_ended(ended: Ended) -> dict[str, Any]:
    return {
        "name": ended.name,
        "trigger": ended.trigger,
        "occasion": ended.occasion,
        "attempt": ended.attempt,
        "result": ended.result,
        "startedAt": show_time(ended.started_at),
        "endedAt": show_time(ended.ended_at),
        "message": ended.message[:LONGEST],
    }


def _read_answered(raw: Mapping[str, Any]) -> Answered:
    return Answered(raw["revision"], tuple(raw.get("drifted") or ()), raw["run"], raw["result"])


def _read_verdict(raw: Mapping[str, Any]) -> Verdict:
    verdict, message = raw.get("verdict", PENDING), raw.get("message", "")
    window = read_window(raw.get("window"))
    return Verdict(
        verdict=verdict,
        message=message,
        revision=raw.get("revision"),
        window=window,
        judged=int(raw.get("judged", 0)),
        drifted=tuple(raw.get("drifted") or ()),
        features=tuple(raw.get("features") or ()),
        recent=tuple(
            Recent(read_time(each["end"]), tuple(each.get("drifted") or ())) for each in raw.get("recent") or ()
        ),
        problem=message if verdict == UNKNOWN and window is not None else None,
    )


def show_memory(memory: Memory) -> dict[str, Any]:
    """The inverse of read_memory."""
    verdict, answered = memory.verdict, memory.answered
    shown = {
        "name": memory.name,
        "uid": memory.uid,
        "revision": verdict.revision,
        "verdict": verdict.verdict,
        "message": verdict.message,
        "window": show_window(verdict.window),
        "judged": verdict.judged or None,
        "drifted": list(verdict.drifted),
        "features": [dict(each) for each in verdict.features],
        "recent": [_show_recent(each) for each in verdict.recent],
        "scheduledAt": None if memory.scheduled_at is None else show_time(memory.scheduled_at),
        "handledRequest": memory.handled_request,
        "failures": memory.failures or None,
        "answered": None
        if answered is None
        else {
            "revision": answered.revision,
            "drifted": list(answered.drifted),
            "run": answered.run,
            "result": answered.result,
        },
        "rejected": [_show_rejected(each) for each in memory.rejected],
        "run": None if memory.run is None else _show_run(memory.run),
        "runs": [_show_ended(each) for each in memory.runs],
    }
    return {name: value for name, value in shown.items() if value not in (None, "", [])}


def _show_recent(recent: Recent) -> dict[str, Any]:
    shown = {"end": show_time(recent.end), "drifted": list(recent.drifted)}
    return {name: value for name, value in shown.items() if value}


def _show_rejected(rejected: Rejected) -> dict[str, Any]:
    shown = {**(show_artifact(rejected.model) or {}), "reason": rejected.reason[:LONGEST]}
    return {name: value for name, value in shown.items() if value}
