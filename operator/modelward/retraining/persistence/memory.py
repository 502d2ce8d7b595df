"""What a policy remembers of each target, written and read: JSON of bounded size, an object for each target.

None of it is in the policy's status, which has to fit into one object however many targets there are.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from modelward.api import names
from modelward.api.driftpolicy import DriftPolicy
from modelward.drift.registry import read_signals
from modelward.drift.signal import show_signal
from modelward.drift.verdicts import PENDING, UNKNOWN, Recent, StoredWindow, Verdict, show_window
from modelward.quality.measured import StoredKept, show_kept
from modelward.quality.parity_found import StoredParity, show_parity
from modelward.retraining.lifecycle.run import RUNNING, STARTING, Artifact, Run
from modelward.retraining.persistence.run_object import show_artifact
from modelward.retraining.target import Answered, Ended, Memory, Rejected
from modelward.values.hashing import content_hash
from modelward.values.stored import Stored, Text, known, known_text
from modelward.values.times import read_time, show_time

DATA: Final = "memory"
"""The entry of the ConfigMap."""

SIGNALS: Final = 50
"""Of kinds other than the window's, that are remembered."""

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
        return read_memory(known_text(dict[str, Any], (body.get("data") or {})[DATA]), forgiven=forgiven)
    except (KeyError, ValueError):
        return None


def read_memory(raw: Mapping[str, Any], *, forgiven: bool) -> Memory:
    """`forgiven`: whoever changes spec has looked; failures, and what was in vain, count no longer.

    Raises ValueError.
    """
    stored = known(_StoredMemory, raw)
    return Memory(
        name=stored.name,
        uid=stored.uid,
        verdict=stored.verdict_value(),
        scheduled_at=None if stored.scheduled_at is None else read_time(stored.scheduled_at),
        handled_request=stored.handled_request,
        failures=0 if forgiven else stored.failures,
        answered=None if forgiven else stored.answered,
        rejected=tuple(Rejected(Artifact(each.uri, each.digest), each.reason) for each in stored.rejected),
        run=None if stored.run is None else stored.run.value(),
        runs=tuple(each.value() for each in stored.runs),
        quality=None if stored.quality is None else stored.quality.value(),
        parity=None if stored.parity is None else stored.parity.value(),
    )


class _StoredRun(Stored):
    name: Text
    key: Text
    kind: Text
    trigger: Text
    started_at: str
    attempt: int = 1
    handle: str | None = None
    target: str = ""
    target_uid: str = ""
    occasion: str = ""
    uid: str = ""
    begun: bool = False

    def value(self) -> Run:
        phase = RUNNING if self.begun else STARTING
        return Run(
            name=self.name, key=self.key, kind=self.kind, trigger=self.trigger, reason="",
            started_at=read_time(self.started_at), revision="", from_model=Artifact(""), attempt=self.attempt,
            phase=phase, handle=self.handle, target=self.target, target_uid=self.target_uid,
            occasion=self.occasion, uid=self.uid,
        )  # fmt: skip


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
        "begun": True if run.phase == RUNNING else None,
    }
    return {name: value for name, value in shown.items() if value not in (None, "")}


class _StoredEnded(Stored):
    name: str
    trigger: str
    result: str
    started_at: str
    ended_at: str
    occasion: str = ""
    attempt: int = 1
    message: str = ""

    def value(self) -> Ended:
        began, ended = read_time(self.started_at), read_time(self.ended_at)
        return Ended(self.name, self.trigger, self.occasion, self.attempt, self.result, began, ended, self.message)


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


class _StoredRejected(Stored):
    uri: str
    digest: str | None = None
    reason: str = ""


class _StoredRecent(Stored):
    end: str
    drifted: tuple[str, ...] = ()


class _StoredMemory(Stored):
    name: Text
    uid: str = ""
    revision: str | None = None
    verdict: str = PENDING
    message: str = ""
    window: StoredWindow | None = None
    judged: int = 0
    drifted: tuple[str, ...] = ()
    features: tuple[dict[str, Any], ...] = ()
    recent: tuple[_StoredRecent, ...] = ()
    scheduled_at: str | None = None
    handled_request: str | None = None
    failures: int = 0
    answered: Answered | None = None
    rejected: tuple[_StoredRejected, ...] = ()
    run: _StoredRun | None = None
    runs: tuple[_StoredEnded, ...] = ()
    signals: tuple[Any, ...] = ()
    quality: StoredKept | None = None
    parity: StoredParity | None = None

    def verdict_value(self) -> Verdict:
        window = None if self.window is None else self.window.value()
        return Verdict(
            verdict=self.verdict,
            message=self.message,
            revision=self.revision,
            window=window,
            judged=self.judged,
            drifted=self.drifted,
            features=self.features,
            recent=tuple(Recent(read_time(each.end), each.drifted) for each in self.recent),
            problem=self.message if self.verdict == UNKNOWN and window is not None else None,
            others=read_signals(self.signals),
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
        "signals": [show_signal(each) for each in verdict.others[:SIGNALS]],
        "recent": [_show_recent(each) for each in verdict.recent],
        "scheduledAt": None if memory.scheduled_at is None else show_time(memory.scheduled_at),
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
        "quality": None if memory.quality is None else show_kept(memory.quality),
        "parity": None if memory.parity is None else show_parity(memory.parity),
    }
    # An annotation without a value was taken up, too, and is not to be so again and again.
    handled = {} if memory.handled_request is None else {"handledRequest": memory.handled_request}
    return {name: value for name, value in shown.items() if value not in (None, "", [])} | handled


def _show_recent(recent: Recent) -> dict[str, Any]:
    shown = {"end": show_time(recent.end), "drifted": list(recent.drifted)}
    return {name: value for name, value in shown.items() if value}


def _show_rejected(rejected: Rejected) -> dict[str, Any]:
    shown = {**(show_artifact(rejected.model) or {}), "reason": rejected.reason[:LONGEST]}
    return {name: value for name, value in shown.items() if value}
