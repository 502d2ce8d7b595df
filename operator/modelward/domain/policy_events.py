"""Kubernetes Events of a DriftPolicy: one for each change that a person would want to have been told of."""

from collections.abc import Iterator, Mapping
from typing import Any

from modelward.api import conditions
from modelward.domain import runs
from modelward.domain.transitions import Transition
from modelward.domain.verdicts import DRIFTED

_GOOD = frozenset({runs.PROMOTED, runs.REPORTED, runs.UNCHANGED})


def policy_transitions(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    """The changes between two statuses that are worth an Event. `result`: of a run that ended with it."""
    before = {each["name"]: each for each in old.get("targets") or ()}
    for target in new.get("targets") or ():
        earlier = before.get(target["name"], {})
        yield from _verdict(earlier, target)
        yield from _runs(earlier, target)
    yield from _health(old, new)


def _verdict(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    was, now = old.get("verdict") == DRIFTED, new.get("verdict") == DRIFTED
    since = str((new.get("window") or {}).get("end"))
    if now and not was:
        yield Transition("Warning", "DriftDetected", f"{new['name']}: {new.get('message', '')}", since)
    elif was and not now:
        same = old.get("revision") == new.get("revision")
        why = new.get("message", "") if same else f"{new.get('revision')} has taken over"
        yield Transition("Normal", "DriftEnded", f"{new['name']}: {why}", since)


def _runs(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    before, run = old.get("run") or {}, new.get("run") or {}
    if run and run["name"] != before.get("name"):
        told = f"{run['name']} for {new['name']}. {run.get('reason', '')}"
        yield Transition("Normal", "RetrainingStarted", told, run["key"])
    rolling = run.get("phase") == runs.ROLLING_OUT
    if rolling and (before.get("phase") != runs.ROLLING_OUT or before.get("name") != run["name"]):
        held = f" ({run['holdout']})" if run.get("holdout") else ""
        told = f"{new['name']} rolls out {run['model']['uri']}{held}, which {run['name']} made"
        yield Transition("Normal", "RetrainedModelRollsOut", told, run["key"])
    known = {each["name"] for each in old.get("runs") or ()}
    for ended in new.get("runs") or ():
        if ended["name"] not in known:
            kind = "Normal" if ended["result"] in _GOOD else "Warning"
            told = f"{ended['name']} for {new['name']}: {ended.get('message', '')}"
            yield Transition(kind, f"Retraining{ended['result']}", told, ended["key"], ended["result"])


def _health(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    before = conditions.by_type(old.get("conditions") or ())
    after = conditions.by_type(new.get("conditions") or ())
    since = f"{old.get('observedGeneration', 0)}@{before.get(conditions.READY, {}).get('lastTransitionTime')}"
    for kind, status, event, reason in (
        (conditions.READY, "True", "Normal", "Watching"),
        (conditions.READY, "False", "Warning", "NotWatched"),
        (conditions.STALLED, "True", "Warning", "Stalled"),
    ):
        if after[kind]["status"] != status or before.get(kind, {}).get("status") == status:
            continue
        if reason == "NotWatched" and after[conditions.STALLED]["status"] == "True":
            continue
        yield Transition(event, reason, after[kind]["message"], since)
