"""The effective model of a ModelDeployment: what it is to serve, and who said so. Pure.

Spec is the user's and is never written by the operator. A retraining run whose model was accepted says so in its own
status, and counts for as long as spec.model is the one that the run was made from; so a change of spec.model wins at
once, and setting it back gives back what was served then. Of several runs the newest counts; where spec.model names
what a registry resolves, a version that it was moved to later than that counts as newer, too.

A model that has become stable is also remembered in the ModelDeployment's status, so that deleting its run, or the
policy with all of its runs, changes nothing of what is served. One that is still being tried is not: deleting its run
takes it back.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from modelward.api.modelregistry import ModelRegistry
from modelward.models.references import kind_of
from modelward.models.resolved import Resolution, Resolved, recorded, show
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Registration
from modelward.retraining.persistence.run_object import (
    is_deleted,
    read_artifact,
    read_run,
    show_artifact,
    show_registration,
    target_uid,
)
from modelward.values.stored import Stored, known
from modelward.values.times import read_time, show_time

_ACCEPTED = (runs.ROLLING_OUT, runs.PROMOTED)


@dataclass(frozen=True)
class Accepted:
    """A run's model that counts. `made_from`: what spec.model was; `at`: seconds since the epoch; `registration`: where
    the run reported a version of a registry."""

    run: str
    model: Artifact
    made_from: Artifact
    at: float
    registration: Registration | None = None

    def resolution(self, registry: ModelRegistry) -> Resolution | None:
        """The reference that it reported as `registry` resolved it; None where that was not this one."""
        told = self.registration
        if told is None or told.address != registry.address:
            return None
        lineage = {**told.lineage, **({} if told.package is None else {"modelId": told.package})}
        found = Resolved(self.model.uri, told.version, digest=self.model.digest, lineage=lineage)
        return Resolution(told.uri, registry.name, registry.address, self.at, found)


@dataclass(frozen=True)
class Effective:
    """`asked`: what spec says; `model`: what is to be served; `by`: whose it is, None: spec's own; `kept`: the last
    run's model that became stable, None where there is none made from spec as it stands; `resolution`: what `asked` is
    said to mean, where a registry has to say it."""

    asked: Artifact
    model: Artifact
    by: Accepted | None = None
    kept: Accepted | None = None
    resolution: Resolution | None = None


def effective_model(
    body: Mapping[str, Any], bodies: Iterable[Mapping[str, Any]], resolution: Resolution | None = None
) -> Effective:
    """Of the ModelDeployment `body`, given the RetrainingRuns `bodies` that are for it or for a namesake.

    `resolution`: of spec.model.uri; None: as status has it, where that is for the same reference.
    """
    asked, kept = read_artifact(body["spec"]["model"]), _kept(body.get("status") or {})
    resolution = resolution or recorded(body.get("status") or {})
    if kind_of(asked.uri) is None or (resolution is not None and resolution.reference != asked.uri):
        resolution = None
    uid = body["metadata"]["uid"]
    kept = kept if kept is not None and kept.made_from == asked else None
    found = [each for one in bodies if target_uid(one) == uid and (each := _accepted(one)) is not None]
    known = [each for each in (*found, kept) if each is not None and each.made_from == asked]
    newest = max(known, key=lambda each: (each.at, each.run), default=None)
    if newest is not None and resolution is not None and resolution.since > newest.at:
        newest = None
    own = asked if resolution is None else Artifact(resolution.resolved.uri, asked.digest or resolution.resolved.digest)
    return Effective(asked, own if newest is None else newest.model, newest, kept, resolution)


def model_status(effective: Effective, *, stable: bool) -> dict[str, Any]:
    """`status.model`. `stable`: the effective model is what the stable revision serves now."""
    kept = effective.by if stable and effective.by is not None else effective.kept
    resolution = effective.resolution
    shown: dict[str, Any] = dict(show_artifact(effective.model) or {})
    if effective.by is not None:
        shown |= {"source": "RetrainingRun", "run": effective.by.run, "madeFrom": show_artifact(effective.asked)}
        if effective.by.registration is not None:
            # As of a reference that spec names: what came of it is told the same way, whoever named it.
            named = show_registration(effective.by.registration) or {}
            shown |= {name: named.pop(name) for name in ("version", "lineage") if name in named}
            shown["registration"] = named
    elif resolution is None:
        shown["source"] = "Spec"
    else:
        told = {"version": resolution.resolved.version, "lineage": dict(resolution.resolved.lineage)}
        shown |= {"source": "Registry", **{name: value for name, value in told.items() if value}}
    if resolution is not None:
        shown["reference"] = show(resolution)
    return shown | ({} if kept is None else {"kept": _show(kept)})


def _accepted(body: Mapping[str, Any]) -> Accepted | None:
    if is_deleted(body) or (body.get("status") or {}).get("phase") not in _ACCEPTED:
        return None
    run = read_run(body)
    if run is None or run.model is None:
        return None
    if run.accepted_at is None and kind_of(run.from_model.uri) is not None:
        return None  # it has moved an alias itself: what the registry says counts
    return Accepted(run.name, run.model, run.from_model, run.accepted_at or run.started_at, run.registration)


def _kept(status: Mapping[str, Any]) -> Accepted | None:
    try:
        kept = known(_Status, status).model.kept
        at = 0.0 if kept is None else read_time(kept.accepted_at)
    except ValueError:
        return None
    if kept is None:
        return None
    return Accepted(kept.run, Artifact(kept.uri, kept.digest), kept.made_from, at, kept.registration)


class _Kept(Stored):
    run: str
    uri: str
    made_from: Artifact
    accepted_at: str
    digest: str | None = None
    registration: Registration | None = None


class _Model(Stored):
    kept: _Kept | None = None


class _Status(Stored):
    model: _Model = msgspec.field(default_factory=_Model)


def _show(kept: Accepted) -> dict[str, Any]:
    return {
        "run": kept.run,
        **(show_artifact(kept.model) or {}),
        "madeFrom": show_artifact(kept.made_from),
        "acceptedAt": show_time(kept.at),
        **({} if kept.registration is None else {"registration": show_registration(kept.registration)}),
    }
