"""What of a BatchInference is worth an Event: a run that began, one that ended, rows that drift, and what a person has
to do. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from modelward.api import conditions
from modelward.batches.run import SUCCEEDED
from modelward.reconcilers.batchinference.plan import Plan
from modelward.values.times import show_time
from modelward.values.transition import Transition


def transitions(planned: Plan, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    """`old`, `new`: the status as it was, and as it is to be."""
    for entry in reversed(planned.ended):
        kind = "Normal" if entry.result == SUCCEEDED else "Warning"
        yield Transition(kind, f"Run{entry.result}", entry.message, entry.name, entry.result)
    yield from _drift(old, new)
    if planned.missed is not None:
        told = f"The run of {show_time(planned.missed)} is left out: it could not begin within startingDeadlineSeconds"
        yield Transition("Warning", "RunMissed", told, show_time(planned.missed))
    run = new.get("active") or {}
    if run and run["name"] != (old.get("active") or {}).get("name"):
        model = run["model"]
        version = f" version {model['version']}" if "version" in model else ""
        told = f"{run['name']} scores with {model['name']}{version}, into {run['output']}"
        yield Transition("Normal", "RunStarted", told, run["name"])
    before = conditions.by_type(old.get("conditions") or ()).get(conditions.STALLED, {})
    after = conditions.by_type(new["conditions"])[conditions.STALLED]
    if after["status"] == "True" and before.get("message") != after["message"]:
        if any(entry.reason == after["reason"] for entry in planned.ended):
            return  # told above
        yield Transition("Warning", "Stalled", after["message"], str(before.get("lastTransitionTime")))


def _drift(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Transition]:
    """Where the verdict crosses; the same one on the next night's rows is no news."""
    before = conditions.by_type(old.get("conditions") or ()).get(conditions.INPUT_DRIFT, {})
    after = conditions.by_type(new["conditions"]).get(conditions.INPUT_DRIFT)
    if after is None or before.get("status") == after["status"]:
        return
    since = str(before.get("lastTransitionTime"))
    if after["status"] == "True":
        yield Transition("Warning", "DriftDetected", after["message"], since)
    elif after["status"] == "False" and before.get("status") == "True":
        yield Transition("Normal", "DriftEnded", after["message"], since)
