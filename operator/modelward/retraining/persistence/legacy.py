"""The DriftPolicy.status of operators before RetrainingRun: memory and runs of every target in `status.targets`. Pure.

Read once, when an operator of this version sees such a status first: runs that go on become objects under their old
names, so that their Jobs are known again and nothing is started twice.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from modelward.api.driftpolicy import DriftPolicy
from modelward.drift.verdicts import StoredWindow
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.progress import remembered
from modelward.retraining.lifecycle.run import Run
from modelward.retraining.persistence.memory import read_memory
from modelward.retraining.persistence.run_object import read_artifact
from modelward.retraining.target import Ended, Memory
from modelward.values.stored import known
from modelward.values.times import read_time

_APPLYING = "Applying"


def legacy_targets(policy: DriftPolicy) -> tuple[Mapping[str, Any], ...]:
    """The entries of a status that an operator of an earlier version wrote: it counted nothing."""
    return () if "counts" in policy.status else tuple(policy.status.get("targets") or ())


def legacy_memory(entry: Mapping[str, Any], *, forgiven: bool) -> Memory | None:
    """Of one of `status.targets`; None where it can't be read."""
    try:
        rest = {name: value for name, value in entry.items() if name not in ("run", "runs")}
        ended = tuple(_ended(each) for each in entry.get("runs") or ())
        return replace(read_memory(rest, forgiven=forgiven), runs=remembered(ended) if ended else ())
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def legacy_run(entry: Mapping[str, Any]) -> Run | None:
    """The run that goes on; None where there is none, or it can't be read."""
    raw = entry.get("run")
    try:
        return None if not isinstance(raw, Mapping) else _run(entry, raw)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def _run(entry: Mapping[str, Any], raw: Mapping[str, Any]) -> Run:
    model, phase = raw.get("model"), raw["phase"]
    accepted = phase in (_APPLYING, runs.ROLLING_OUT)
    started = read_time(raw["startedAt"])
    return Run(
        name=raw["name"],
        key=raw["key"],
        kind=raw["kind"],
        trigger=raw["trigger"],
        occasion=_occasion(raw),
        reason=raw.get("reason", ""),
        started_at=started,
        target=entry["name"],
        target_uid=entry["uid"],
        revision=raw["revision"],
        from_model=read_artifact(raw["from"]),
        attempt=int(raw.get("attempt", 1)),
        phase=runs.ROLLING_OUT if accepted else phase,
        message=raw.get("message", ""),
        model=None if model is None else read_artifact(model),
        holdout=raw.get("holdout"),
        version=raw.get("version"),
        handle=raw.get("handle"),
        begun_at=None if phase == runs.STARTING else started,
        accepted_at=started if accepted else None,
        drifted=tuple(raw.get("drifted") or ()),
        features=tuple(raw.get("features") or ()),
        window=known(StoredWindow, raw["window"]).value() if raw.get("window") else None,
    )


def _ended(raw: Mapping[str, Any]) -> Ended:
    return Ended(
        raw["name"], raw["trigger"], _occasion(raw), int(raw.get("attempt", 1)), raw["result"],
        read_time(raw["startedAt"]), read_time(raw["endedAt"]), raw.get("message", ""),
    )  # fmt: skip


def _occasion(raw: Mapping[str, Any]) -> str:
    """The key is `<policy>/<target>/<trigger>/<occasion>`, and `#<attempt>` from the second attempt on."""
    occasion = str(raw["key"].split("/", 3)[3])
    return occasion if int(raw.get("attempt", 1)) == 1 else occasion.rpartition("#")[0]
