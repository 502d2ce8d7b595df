"""A model on the page: a line that tells how it is, and all that is known of it behind. Pure."""

from math import exp
from typing import Final

from modelward_cli.fleet.quality import Quality
from modelward_cli.fleet.state import ENDED, Drift, Json, Model, number, table, tables, text
from modelward_cli.page import drawings
from modelward_cli.page.markup import Html, element
from modelward_cli.page.markup import table as rows_of
from modelward_cli.page.trails import Trails
from modelward_cli.page.trails import number as read
from modelward_cli.page.view import STATES, Card
from modelward_cli.times import age

LARGEST: Final = 13.8
"""Natural logarithm of the odds beyond which more says nothing to a person: a million to one."""


def card(shown: Card, trails: Trails, now: float) -> Html:
    model = shown.model
    waits = model.waits_for
    line = element(
        "summary",
        element("span", STATES[shown.state], class_=f"state {shown.state}"),
        element("h3", element("span", f"{model.namespace}/", class_="soft"), model.name),
        element("span", _version(table(model.status, "stable")), class_="fact version"),
        element("span", _ready(model), class_="fact ready"),
        element("span", text(model.rollout, "progress") if _goes_on(model.rollout) else None, class_="fact rollout"),
        element("span", _words(shown), class_="fact words"),
        element("span", waits, class_="waits") if waits else None,
    )
    return element(
        "details",
        line,
        element(
            "div",
            element("section", element("h4", "Revisions"), _traffic(model), _arms(model)),
            _rollout(model.rollout, now),
            [_drift(model, each, trails) for each in model.drifts],
            [_quality(each) for each in shown.qualities],
            _run(model, now),
            _conditions(model),
            class_="inside",
        ),
        id=f"model:{shown.key}",
        class_="model",
    )


def _version(revision: Json) -> str | None:
    version = text(revision, "version")
    return f"version {version}" if version else (text(revision, "revision") or "").rpartition("-")[2] or None


def _ready(model: Model) -> str | None:
    wanted = number(model.status, "replicas")
    return None if wanted is None else f"{number(model.status, 'readyReplicas') or 0}/{wanted} ready"


def _words(shown: Card) -> list[Html]:
    """Drift, quality and the run, where there is something to say."""
    model, words = shown.model, []
    if model.drift is not None:
        words.append(element("span", model.drift, class_="bad" if model.drift.startswith("Drifted") else None))
    for quality in shown.qualities[:1]:
        for metric in quality.metrics[:1]:
            bad = any(each.is_worse for each in shown.qualities)
            words.append(element("span", f"{metric.name} {metric.value}", class_="bad" if bad else None))
    if model.run is not None:
        words.append(element("span", f"run {model.run.phase}"))
    return words


def _goes_on(rollout: Json) -> bool:
    return bool(rollout) and text(rollout, "phase") not in ENDED


def _traffic(model: Model) -> list[Html]:
    """Who gets which share, as one bar and in words below it in the table."""
    parts = [(kind, number(table(model.status, kind), "weight") or 0) for kind in ("stable", "candidate")]
    parts += [("variant", number(each, "weight") or 0) for each in tables(model.status, "variants")]
    return [drawings.shares(parts)] if any(share for _, share in parts) else []


def _arms(model: Model) -> Html:
    arms = [(kind, table(model.status, kind)) for kind in ("stable", "candidate") if table(model.status, kind)]
    arms += [(f"variant {text(each, 'name') or ''}", each) for each in tables(model.status, "variants")]
    arms += [("kept", each) for each in tables(model.status, "history")]
    if not arms:
        return element("p", "No revision has been made yet.", class_="soft")
    rows = []
    for role, arm in arms:
        weight, copies = number(arm, "weight"), number(arm, "mirrorPercent")
        share = [f"{weight} %" if weight is not None else None, f"copies of {copies} %" if copies else None]
        wanted, ready = number(arm, "replicas"), number(arm, "readyReplicas") or 0
        rows.append((
            [element("span", class_=f"key {role.partition(' ')[0]}", aria_hidden="true"), role],
            text(arm, "revision"), text(arm, "version"), ", ".join(filter(None, share)),
            f"{ready}/{wanted}" if wanted is not None else None,
            [element("span", text(arm, "uri"), class_="uri"), *[element("p", text(arm, name), class_="said")
             for name in ("message", "fallback") if text(arm, name)]],
        ))  # fmt: skip
    return rows_of("Revisions", ("", "revision", "version", "requests", "ready", "model"), rows)


def _rollout(rollout: Json, now: float) -> Html | None:
    if not rollout:
        return None
    step, many = number(rollout, "step") or 0, number(rollout, "steps") or 0
    since = text(rollout, "endedAt") or text(rollout, "stepStartedAt") or text(rollout, "waitingSince")
    ago = age(since, now) if since else None
    over = not _goes_on(rollout)
    told = [
        text(rollout, "phase"), text(rollout, "strategy"), f"step {step} of {many}" if many else None,
        None if over else text(rollout, "progress"), f"{ago} ago" if ago and over else f"for {ago}" if ago else None,
        f"{text(rollout, 'revision')} against {text(rollout, 'from')}" if text(rollout, "from") else None,
    ]  # fmt: skip
    gates = [
        (
            text(each, "name"), _verdict(text(each, "verdict")), text(each, "limit"), _counts(table(each, "stable")),
            _counts(table(each, "candidate")), _odds(text(each, "against")), _odds(text(each, "supports")),
            element("span", text(each, "message"), class_="said"),
        )
        for each in tables(rollout, "gates")
    ]  # fmt: skip
    head = ("gate", "verdict", "allowed", "stable bad", "candidate bad", "odds that it is worse", "that it is not", "")
    return element(
        "section",
        element("h4", "Last rollout" if over else "Rollout"),
        drawings.steps(step, many) if many and not over else None,
        element("p", [element("span", each) for each in told if each], class_="facts"),
        element("p", text(rollout, "message"), class_="said"),
        rows_of("Evidence of the gates", head, gates) if gates else None,
    )


def _verdict(word: str | None) -> Html:
    return element("span", word, class_={"Pass": "good", "Fail": "bad"}.get(word or "", "soft"))


def _counts(side: Json) -> str | None:
    bad, requests = number(side, "bad"), number(side, "requests")
    if bad is None or requests is None:
        return None
    return f"{bad} of {requests}" + (f" ({100 * bad / requests:.2g} %)" if 0 <= bad <= requests != 0 else "")


def _odds(logarithm: str | None) -> str | None:
    """The operator keeps natural logarithms."""
    found = None if logarithm is None else read(logarithm)
    if found is None:
        return None
    return "more than 1000000 : 1" if found > LARGEST else f"{exp(max(found, -LARGEST)):.2g} : 1"


def _drift(model: Model, drift: Drift, trails: Trails) -> Html:
    told = [
        element("span", drift.verdict, class_="bad" if drift.verdict == "Drifted" else None),
        element("span", f"since {drift.since}") if drift.since else None,
        element("span", f"{drift.rows} rows from {drift.start} to {drift.end}" if drift.end else "no window ended yet"),
    ]
    rows = []
    for each in drift.features:
        value, cut = read(each.value), read(each.cut)
        seen = trails.get((model.namespace, model.name, drift.policy or "", each.name, each.metric), ())
        rows.append((
            each.name, each.metric, each.value, each.cut,
            None if value is None or cut is None else drawings.against(value, cut),
            element("span", each.outcome, class_="bad" if each.outcome == "Drifted" else None),
            None if cut is None else drawings.trail([one for _, one in seen], cut),
        ))  # fmt: skip
    head = ("feature", "metric", "value", "to reach", "", "verdict", "windows seen")
    return element(
        "section",
        element("h4", "Drift, by ", f"the policy {drift.policy}" if drift.policy else "its own monitor"),
        element("p", told, class_="facts"),
        element("p", drift.message, class_="said") if drift.message else None,
        element("p", f"No run yet: {drift.obstacle}", class_="said") if drift.obstacle else None,
        rows_of("Drift by feature", head, rows) if rows else None,
    )


def _quality(quality: Quality) -> Html:
    state = "worse than allowed" if quality.is_worse else "as it should be" if quality.metrics else "not known yet"
    told = [
        element("span", state, class_="bad" if quality.is_worse else None),
        element("span", f"{quality.rows} rows from {quality.begin} to {quality.end}") if quality.end else None,
        element("span", f"outcomes of {quality.coverage} of the predictions") if quality.coverage else None,
        element("span", f"of {quality.revision}") if quality.revision else None,
    ]
    rules = [
        element(
            "li", element("b", "broken " if each.breached else "", each.kind, " ", each.name), f": {each.message}",
            f" (since {each.since})" if each.breached and each.since else None, class_="bad" if each.breached else None,
        )
        for each in quality.signals if each.message
    ]  # fmt: skip
    rows = [(each.name, each.value, each.low, each.high, each.reference, each.rows) for each in quality.metrics]
    return element(
        "section",
        element("h4", "Quality, by the policy ", quality.policy),
        element("p", told, class_="facts"),
        element("p", quality.problem, class_="said") if quality.problem else None,
        rows_of("Quality", ("metric", "value", "low", "high", "before", "rows"), rows) if rows else None,
        element("ul", rules) if rules else None,
    )


def _run(model: Model, now: float) -> Html | None:
    run = model.run
    if run is None:
        return None
    ago = age(run.created, now)
    told = [run.name, run.phase, f"by {run.trigger}" if run.trigger else None, f"{ago} ago" if ago else None]
    return element(
        "section",
        element("h4", "Last retraining run"),
        element("p", [element("span", each) for each in told if each], class_="facts"),
        element("p", run.message, class_="said") if run.message else None,
        element("p", "Made ", element("span", run.made, class_="uri"), class_="said") if run.made else None,
    )


def _conditions(model: Model) -> Html | None:
    if not model.conditions:
        return None
    rows = [
        (kind, text(each, "status"), text(each, "reason"), text(each, "lastTransitionTime"),
         element("span", text(each, "message"), class_="said"))
        for kind, each in model.conditions.items()
    ]  # fmt: skip
    head = ("condition", "status", "reason", "since", "")
    return element("section", element("h4", "Conditions"), rows_of("Conditions", head, rows))
