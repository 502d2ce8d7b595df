"""Models for a person at a terminal: a table of all, or one in full."""

from collections.abc import Iterator, Sequence
from typing import Final

from modelward_cli.fleet.state import Drift, Feature, Json, Model, Run, number, table, tables, text
from modelward_cli.layout import GAP, labelled, wrapped
from modelward_cli.layout import table as laid_out
from modelward_cli.times import age

WIDE: Final = 11
"""Columns of the names at the left."""

HEAD: Final = ("NAMESPACE", "MODEL", "PHASE", "VERSION", "READY", "ROLLOUT", "DRIFT", "LAST RUN")
MOST: Final = (0, 20, 11, 11, 5, 14, 10, 14)
MOST_EVERYWHERE: Final = (12, 16, 11, 10, 5, 12, 9, 11)
"""Columns of each: with the gaps no more than a line has."""


def overview(shown: Sequence[Model], now: float, *, everywhere: bool) -> Iterator[str]:
    """A row a model, and below it what it waits for."""
    if not shown:
        yield "There is no ModelDeployment."
        return
    rows = [_row(each, now, everywhere=everywhere) for each in shown]
    head, *lines = laid_out(HEAD, rows, MOST_EVERYWHERE if everywhere else MOST)
    yield head
    for model, line in zip(shown, lines, strict=True):
        yield line
        if (waits := model.waits_for) is not None:
            yield from wrapped(waits, 4, most=2)


def _row(model: Model, now: float, *, everywhere: bool) -> tuple[str, ...]:
    stable, wanted = table(model.status, "stable"), number(model.status, "replicas")
    ready = number(model.status, "readyReplicas") or 0
    return (
        model.namespace if everywhere else "",
        model.name,
        model.phase,
        _version(stable),
        f"{ready}/{wanted}" if wanted is not None else "",
        text(model.rollout, "progress") or "",
        model.drift or "",
        _run(model.run, now) if model.run else "",
    )


def _version(revision: Json) -> str:
    """A registry's version, or the hash at the end of the revision's name."""
    return text(revision, "version") or (text(revision, "revision") or "").rpartition("-")[2]


def _run(run: Run, now: float) -> str:
    ago = age(run.created, now)
    return f"{run.phase} {ago}" if ago else run.phase


def one(model: Model, now: float) -> Iterator[str]:
    """All that a person would ask of it."""
    since = text(model.conditions.get("Ready", {}), "lastTransitionTime")
    ago = age(since, now) if since else None
    ready = model.conditions.get("Ready", {}).get("status") == "True"
    for_long = f", {'' if ready else 'not '}ready for {ago}" if ago else ""
    yield from wrapped(f"{model.name}  {model.phase}{for_long}  (namespace {model.namespace})", 0)
    yield from labelled("waits for", model.waits_for, WIDE)
    for name, shown in _arms(model):
        yield from labelled(name, _revision(shown), WIDE)
    yield from labelled("rollout", [each for each in _rollout(model.rollout, now) if each != model.waits_for], WIDE)
    yield from gates(model.rollout)
    for drift in model.drifts:
        yield from labelled("drift", _drift(drift), WIDE)
        yield from features(drift.features[:3])
    if model.run:
        told = f"{model.run.name}  {_run(model.run, now)}" + (f"  ({model.run.trigger})" if model.run.trigger else "")
        yield from labelled("last run", [each for each in (told, model.run.message) if each], WIDE)
    for kind, condition in model.conditions.items():
        if _is_bad(kind, str(condition.get("status"))) and text(condition, "message") != model.waits_for:
            yield from labelled(kind, f"{condition.get('reason')}: {condition.get('message')}", WIDE)


def _is_bad(kind: str, status: str) -> bool:
    return status == "True" if kind in ("Stalled", "Reconciling") else status == "False"


def _arms(model: Model) -> Iterator[tuple[str, Json]]:
    for role in ("stable", "candidate"):
        if shown := table(model.status, role):
            yield role, shown
    for each in tables(model.status, "variants"):
        yield f"variant {each.get('name')}"[:WIDE], each
    for each in tables(model.status, "history"):
        yield "kept", each


def _revision(shown: Json) -> list[str]:
    weight, copies = number(shown, "weight"), number(shown, "mirrorPercent")
    wanted, ready = number(shown, "replicas"), number(shown, "readyReplicas") or 0
    version = text(shown, "version")
    first = [
        text(shown, "revision") or "no revision yet",
        f"version {version}" if version else None,
        f"{weight} % of the requests" if weight is not None else None,
        f"copies of {copies} %" if copies else None,
        f"{ready}/{wanted} ready" if wanted is not None else None,
    ]
    told = [GAP.join(filter(None, first)), text(shown, "uri"), text(shown, "message"), text(shown, "fallback")]
    return [each for each in told if each]


def _rollout(rollout: Json, now: float) -> list[str]:
    if not rollout:
        return []
    since = text(rollout, "endedAt") or text(rollout, "stepStartedAt") or text(rollout, "waitingSince")
    ago = age(since, now) if since else None
    first = [
        text(rollout, "revision"), text(rollout, "strategy"), text(rollout, "progress"), f"for {ago}" if ago else None,
    ]  # fmt: skip
    return [each for each in (GAP.join(filter(None, first)), text(rollout, "message")) if each]


def gates(rollout: Json) -> Iterator[str]:
    """A line each."""
    for each in tables(rollout, "gates"):
        counts = " ".join(
            f"{side} {number(shown, 'bad')}/{number(shown, 'requests')}"
            for side in ("stable", "candidate")
            if (shown := table(each, side))
        )
        told = GAP.join(filter(None, (text(each, "name"), text(each, "verdict"), counts)))
        yield from labelled("gate", [part for part in (told, text(each, "message")) if part], WIDE)


def _drift(drift: Drift) -> list[str]:
    said = [
        f"{drift.verdict}{f' since {drift.since}' if drift.since else ''}",
        f"by the policy {drift.policy}" if drift.policy else "by its monitor, no policy watches it",
        f"window of {drift.rows} rows until {drift.end}" if drift.end else "no window has ended yet",
    ]
    return [each for each in ("; ".join(said), drift.obstacle) if each]


def drift_in_full(drift: Drift) -> Iterator[str]:
    """All of it, with each feature that its status names."""
    since = f" since {drift.since}" if drift.since else ""
    by = f"by the policy {drift.policy}" if drift.policy else "by its own monitor"
    yield from wrapped(f"{drift.model}  {drift.verdict}{since}  ({by})", 0)
    if drift.end:
        many = f"{drift.drifted} feature{' drifts' if drift.drifted == 1 else 's drift'}"
        told = f"from {drift.start} to {drift.end}, {drift.rows} rows, {many}"
        yield from labelled("window", told, WIDE)
    else:
        yield from labelled("window", "none has ended yet", WIDE)
    yield from labelled("said", drift.message, WIDE)
    yield from labelled("no run yet", drift.obstacle, WIDE)
    yield from features(drift.features)


def features(shown: Sequence[Feature]) -> Iterator[str]:
    """A table of the numbers."""
    if not shown:
        return
    rows = [(each.name, each.metric, each.value, each.cut, each.outcome) for each in shown]
    for line in laid_out(("FEATURE", "METRIC", "VALUE", "TO REACH", "VERDICT"), rows, (30, 11, 10, 10, 14)):
        yield f"{' ' * (WIDE + 4)}{line}"
