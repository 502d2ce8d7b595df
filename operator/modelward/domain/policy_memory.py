"""What status remembers of each target, read and written."""

from collections.abc import Mapping
from typing import Any

from modelward.api.driftpolicy import DriftPolicy
from modelward.domain.policy import Answered, Memory, Rejected
from modelward.domain.runs import Artifact, read_run, show_run
from modelward.domain.times import read_time, show_time
from modelward.domain.verdicts import PENDING, UNKNOWN, Recent, Verdict, read_window, show_window


def is_fresh(policy: DriftPolicy) -> bool:
    """Whether spec has changed since the status was written."""
    return policy.status.get("observedGeneration") != policy.generation


def memories_of(policy: DriftPolicy) -> dict[str, Memory]:
    """By target. Whoever changes spec has looked: failures, and what was in vain, count no longer."""
    stored = policy.status.get("targets") or ()
    return {raw["name"]: _read(raw, forgiven=is_fresh(policy)) for raw in stored}


def _read(raw: Mapping[str, Any], *, forgiven: bool) -> Memory:
    scheduled, answered, run = raw.get("scheduledAt"), raw.get("answered"), raw.get("run")
    return Memory(
        name=raw["name"],
        uid=raw.get("uid", ""),
        verdict=_read_verdict(raw),
        scheduled_at=None if scheduled is None else read_time(scheduled),
        handled_request=raw.get("handledRequest"),
        failures=0 if forgiven else int(raw.get("failures", 0)),
        answered=None if forgiven or answered is None else _read_answered(answered),
        rejected=tuple(
            Rejected(Artifact(each["uri"], each.get("digest")), each.get("reason", ""))
            for each in raw.get("rejected") or ()
        ),
        run=None if run is None else read_run(run),
        runs=tuple(read_run(each) for each in raw.get("runs") or ()),
    )


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


def show_memory(memory: Memory, obstacle: str | None) -> dict[str, Any]:
    """One of `status.targets`. `obstacle`: why a run that is wanted does not start."""
    verdict, answered = memory.verdict, memory.answered
    shown = {
        "name": memory.name,
        "uid": memory.uid,
        "revision": verdict.revision,
        "verdict": verdict.verdict,
        "message": verdict.message,
        "obstacle": obstacle,
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
        "run": None if memory.run is None else show_run(memory.run),
        "runs": [show_run(each) for each in memory.runs],
    }
    return {name: value for name, value in shown.items() if value not in (None, "", [])}


def _show_recent(recent: Recent) -> dict[str, Any]:
    shown = {"end": show_time(recent.end), "drifted": list(recent.drifted)}
    return {name: value for name, value in shown.items() if value}


def _show_rejected(rejected: Rejected) -> dict[str, Any]:
    shown = {"uri": rejected.model.uri, "digest": rejected.model.digest, "reason": rejected.reason}
    return {name: value for name, value in shown.items() if value}
