"""The same for programs: JSON with every field always there, null where it is not known."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from modelward_cli.fleet.state import Drift, Json, Model, number, table, tables, text

VERSION = 1
"""Counts on when a field goes or changes its meaning; fields may be added under the same."""


def document(shown: Sequence[Model], notes: Sequence[str]) -> dict[str, Any]:
    return {"schemaVersion": VERSION, "models": [of_model(each) for each in shown], "notes": list(notes)}


def of_model(model: Model) -> dict[str, Any]:
    status = model.status
    return {
        "namespace": model.namespace,
        "name": model.name,
        "phase": model.phase,
        "well": model.is_well,
        "waitsFor": model.waits_for,
        "stable": _revision(table(status, "stable")),
        "candidate": _revision(table(status, "candidate")),
        "variants": [{"name": text(each, "name"), **(_revision(each) or {})} for each in tables(status, "variants")],
        "kept": [_revision(each) for each in tables(status, "history")],
        "rollout": of_rollout(model.rollout),
        "drift": [of_drift(each) for each in model.drifts],
        "lastRun": asdict(model.run) if model.run else None,
        "conditions": [
            {name: text(each, name) for name in ("type", "status", "reason", "message", "lastTransitionTime")}
            for each in tables(status, "conditions")
        ],
    }


def _revision(shown: Json) -> dict[str, Any] | None:
    if not shown:
        return None
    texts = {name: text(shown, name) for name in ("revision", "version", "uri", "digest", "message")}
    counts = {name: number(shown, name) for name in ("weight", "mirrorPercent", "replicas", "readyReplicas")}
    return {**texts, **counts}


def of_rollout(rollout: Json) -> dict[str, Any] | None:
    """None: there never was one."""
    if not rollout:
        return None
    words = ("revision", "from", "strategy", "phase", "progress", "message", "startedAt", "stepStartedAt", "endedAt")
    return {
        **{name: text(rollout, name) for name in words},
        **{name: number(rollout, name) for name in ("step", "steps", "attempt")},
        "gates": [
            {
                **{word: text(each, word) for word in ("name", "verdict", "message", "limit", "against", "supports")},
                **{side: _counts(table(each, side)) for side in ("stable", "candidate")},
            }
            for each in tables(rollout, "gates")
        ],
    }  # fmt: skip


def _counts(side: Json) -> dict[str, int | None] | None:
    return {name: number(side, name) for name in ("requests", "bad")} if side else None


def of_drift(drift: Drift) -> dict[str, Any]:
    return {
        "model": drift.model, "policy": drift.policy, "verdict": drift.verdict, "message": drift.message,
        "since": drift.since, "window": {"start": drift.start, "end": drift.end, "rows": drift.rows},
        "drifted": drift.drifted, "obstacle": drift.obstacle, "features": [asdict(each) for each in drift.features],
    }  # fmt: skip
