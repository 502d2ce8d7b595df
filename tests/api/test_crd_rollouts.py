"""How a ModelDeployment may have its versions take over: strategies, gates, outcomes, traffic and variants."""

from typing import Any

import pytest

from nodeless.cluster import Cluster
from nodeless.specs import S3, Object, check_refused, check_taken, model, with_model


def rollout(**fields: Any) -> Object:
    return with_model(rollout=fields)


def promotes(uri: str, alias: str = "champion") -> Object:
    """A model whose version gets an alias when it has taken over."""
    return {**model(uri), "rollout": {"promotedAlias": alias}}


def gates(**fields: Any) -> Object:
    return rollout(gates=fields)


JUDGED: Object = {"task": {"kind": "Classes", "label": "l"}, "metrics": [{"name": "accuracy", "margin": "0.01"}]}


def judged(log: Object | None = None, **fields: Any) -> Object:
    """A candidate that outcomes judge. None of `fields`: left out."""
    asked = {name: value for name, value in {**JUDGED, **fields}.items() if value is not None}
    return {**gates(quality=asked), "monitor": {}, "predictionLog": {"uri": "s3://lake/log"} | (log or {})}


def measured(*names: str, **task: Any) -> Object:
    return judged(
        metrics=[{"name": name, "margin": "0.01"} for name in names], task={"kind": "Classes", "label": "l"} | task
    )


def variants(*given: Object) -> Object:
    return with_model(variants=[{"model": {"uri": S3}, **each} for each in given])


BAD: dict[str, tuple[Object, str]] = {
    "an unknown strategy": (rollout(strategy="Rolling"), "write Canary, BlueGreen, Shadow or Immediate"),
    "a step without a weight": (rollout(steps=[{"hold": "1m"}]), "spec.rollout.steps[0].weight: Required value"),
    "a step of nothing": (rollout(steps=[{"weight": 0}]), "spec.rollout.steps.weight: write a number from 1 to 100"),
    "a step of too much": (rollout(steps=[{"weight": 101}]), "spec.rollout.steps.weight: write a number from 1 to 100"),
    "no steps": (rollout(steps=[]), "should have at least 1 items"),
    "a hold without a unit": (
        rollout(steps=[{"weight": 5, "hold": "90"}]), "spec.rollout.steps.hold: write a duration",
    ),
    "a step without pods": (
        rollout(steps=[{"weight": 5, "replicas": 0}]), "spec.rollout.steps.replicas: write a number",
    ),
    "a preview without an end": (
        rollout(blueGreen={"hold": "48h"}), "spec.rollout.blueGreen.hold: write a duration up to",
    ),
    "the old one kept in words": (rollout(blueGreen={"keep": "long"}), "spec.rollout.blueGreen.keep: write a duration"),
    "more than all copied": (
        rollout(blueGreen={"mirrorPercent": 200}), "blueGreen.mirrorPercent: write a number from 0",
    ),
    "a shadow of nothing": (
        rollout(shadow={"percent": 0}), "spec.rollout.shadow.percent: write a number from 1 to 100",
    ),
    "a shadow of no requests": (rollout(shadow={"requests": 0}), "spec.rollout.shadow.requests: write a number from 1"),
    "a shadow of no time": (rollout(shadow={"duration": "0s"}), "spec.rollout.shadow.duration: write a duration"),
    "a shadow that decides": (rollout(shadow={"then": "Decide"}), "spec.rollout.shadow.then: write Promote or Report"),
    "a margin without a percent sign": (
        gates(errorRate={"margin": "0.5"}), "write a percentage from 0% to 100%, such as",
    ),
    "a margin of refusals without a percentage": (
        gates(refusals={"margin": "1"}), "gates.refusals.margin: write a percentage from 0% to 100%, such as",
    ),
    "a margin of too much": (gates(errorRate={"margin": "200%"}), "gates.errorRate.margin: write a percentage"),
    "latency without an objective": (gates(latency={}), "spec.rollout.gates.latency.slo: Required value"),
    "an objective of nothing": (gates(latency={"slo": "0ms"}), "spec.rollout.gates.latency.slo: write a duration"),
    "disagreement without a limit": (gates(disagreement={}), "spec.rollout.gates.disagreement.max: Required value"),
    "a tolerance in words": (gates(disagreement={"max": "5%", "tolerance": "some"}), "disagreement.tolerance: write a"),
    "nothing to compare": (
        gates(disagreement={"max": "5%", "mirrorPercent": 0}), "mirrorPercent: write a number from 1",
    ),
    "a metric without bounds": (gates(metrics=[{"name": "m", "query": "up"}]), "metrics: write min, max or both"),
    "a bound that is no number": (
        gates(metrics=[{"name": "m", "query": "up", "min": "many"}]), "write a number in quotes, such as '0.95'",
    ),
    "two metrics of one name": (
        gates(metrics=[{"name": "m", "query": "up", "min": "1"}] * 2), "Duplicate value",
    ),
    "a metric that never fails": (
        gates(metrics=[{"name": "m", "query": "up", "min": "1", "failureLimit": 0}]), "failureLimit: write a number",
    ),
    "no samples": (gates(minSamples=0), "spec.rollout.gates.minSamples: write a number from 1"),
    "a step without an end": (gates(maxDuration="0s"), "spec.rollout.gates.maxDuration: write a duration"),
    "an unknown way out": (gates(onNoData="Guess"), "spec.rollout.gates.onNoData: write Hold, Fail or Pass"),
    "another end of a failure": (rollout(onFailure="Ignore"), "spec.rollout.onFailure: write Rollback or Pause"),
    "no time to start": (rollout(startDeadline="0s"), "spec.rollout.startDeadline: write a duration"),
    "too long a history": (with_model(revisionHistoryLimit=11), "revisionHistoryLimit: write a number from 0 to 10"),
    "sticky by both": (
        with_model(traffic={"stickyBy": {"header": "a", "cookie": "b"}}), "write header or cookie, one of them",
    ),
    "sticky by nothing": (with_model(traffic={"stickyBy": {}}), "write header or cookie, one of them"),
    "a header with a colon": (
        with_model(traffic={"stickyBy": {"header": "a:"}}), "write the name of a header or cookie",
    ),
    "a match without a value": (with_model(traffic={"match": [{"header": "a"}]}), "match[0].value: Required value"),
    "no time for a request": (with_model(traffic={"timeout": "0s"}), "spec.traffic.timeout: write a duration"),
    "too many retries": (with_model(traffic={"retries": 11}), "spec.traffic.retries: write a number from 0 to 10"),
    "outcomes without a log": (
        gates(quality=JUDGED), "spec.rollout.gates.quality: outcomes are joined with what each arm answered",
    ),
    "outcomes that come when the log is gone": (
        judged(log={"retention": "30d"}, labelWindow="30d"), "so that none would ever mature; write a longer retention",
    ),
    "outcomes of nothing": (judged(task=None), "quality.task: Required value"),
    "nothing judged": (judged(metrics=None), "write metrics, business or both"),
    "no metric judged": (judged(metrics=[]), "write metrics, business or both"),
    "a metric of another task": (measured("rmse"), "write a metric of the task that has an interval and a better side"),
    "a metric with no better side": (measured("selectionRate", positive="1"), "an interval and a better side"),
    "a metric without an interval": (measured("calibrationError"), "an interval and a better side"),
    "a metric about no label": (measured("recall"), "are about one label"),
    "a metric of no scores": (measured("rocAuc", positive="1"), "are made of scores"),
    "a margin that is none": (judged(metrics=[{"name": "accuracy", "margin": "1%"}]), "write a margin as a number in"),
    "a margin below nothing": (judged(metrics=[{"name": "accuracy", "margin": "-1"}]), "write a margin as a number in"),
    "no margin": (judged(metrics=[{"name": "accuracy"}]), "margin: Required value"),
    "too few outcomes": (judged(minSamples=199), "quality.minSamples: write a number from 200"),
    "looks in haste": (judged(every="30s"), "quality.every: write a period from 1m"),
    "patience that is over before the first outcome": (
        judged(labelWindow="7d", maxDuration="168h"), "quality.maxDuration: write a period longer than labelWindow",
    ),
    "what nobody waits at": (judged(waitAt="Never"), "quality.waitAt: write EveryStep or LastStep"),
    "a table with a password": (
        judged(outcomes={"table": {"url": "postgres://me:secret@db/claims", "name": "t"}}), "leave the password out",
    ),
    "variants that take everything": (
        variants({"name": "b", "weight": 60}, {"name": "c", "weight": 40}), "100 or more",
    ),
    "a variant called candidate": (variants({"name": "candidate"}), "are names of the rollout"),
    "a variant with a long name": (variants({"name": "a-second-choice"}), "may not be more than 11"),
    "a variant in upper case": (variants({"name": "B"}), "spec.variants.name: write at most 11 lower-case letters"),
    "two variants of one name": (variants({"name": "b"}, {"name": "b"}), "Duplicate value"),
    "a variant with a bad model": (
        with_model(variants=[{"name": "b", "model": {"uri": "ftp://x/y"}}]), "start it with https://, s3://, pvc:// or oci://",
    ),
    "a variant of a registry": (
        variants({"name": "b", "model": {"uri": "models:/fraud@b"}}), "a variant's model is not resolved by a registry",
    ),
    "the alias that is followed": (
        promotes("models:/fraud@champion"), "must not move the alias that",
    ),
    "the alias that is followed, for a database that knows no case": (
        promotes("models:/fraud@Champion", "chamPION"), "must not move the alias that",
    ),
    "an alias for no registered model": (
        promotes("models:/m-0123456789abcdef"), "only a version of a registered model",
    ),
    "an alias for an address": (rollout(promotedAlias="champion"), "only a version of a registered model of MLflow"),
    "an alias for a package": (
        promotes("sagemaker://fraud"), "only a version of a registered model",
    ),
    "a promoted alias with a blank": (
        promotes("models:/fraud@a", "the best"), "spec.rollout.promotedAlias: write letters",
    ),
    "a promoted alias of MLflow's own": (
        promotes("models:/fraud@a", "LATEST"), "are MLflow's own",
    ),
}  # fmt: skip

GOOD: dict[str, Object] = {
    "a rollout with nothing said": rollout(),
    "a canary with everything": rollout(
        strategy="Canary",
        steps=[{"weight": 1, "hold": "0s"}, {"weight": 100, "hold": "24h", "replicas": 3}],
        gates={
            "errorRate": {},
            "refusals": {"margin": "0.5%"},
            "latency": {"slo": "50ms", "margin": "0.25%"},
            "disagreement": {"max": "0%"},
            "metrics": [{"name": "revenue", "query": "sum(up)", "min": "-1.5", "max": "2"}],
            "minSamples": 1,
            "maxDuration": "168h",
            "onNoData": "Pass",
        },
        onFailure="Pause",
        startDeadline="1h",
    ),
    "blue-green": rollout(strategy="BlueGreen", blueGreen={"hold": "5m", "keep": "0s", "mirrorPercent": 100}, gates={}),
    "a shadow that reports": rollout(strategy="Shadow", shadow={"percent": 1, "duration": "1h", "then": "Report"}),
    "arms": {
        **variants({"name": "b", "weight": 99}, {"name": "dark", "mirrorPercent": 100, "replicas": 1}),
        "traffic": {"stickyBy": {"cookie": "visitor"}, "match": [{"header": "x-b", "value": "1", "to": "b"}]},
    },
    "a gate on outcomes": judged(),
    "a gate on outcomes with everything": judged(
        log={"retention": "90d"},
        task={"kind": "Classes", "label": "l", "score": "s", "positive": "1", "threshold": "0.3"},
        outcomes={
            "uri": "s3://lake/told",
            "credentialsSecret": {"name": "s3"},
            "absent": "0",
            "columns": {"value": "v"},
        },
        labelWindow="60d",
        metrics=[{"name": name, "margin": "0"} for name in ("rocAuc", "recall", "brier")],
        business={"expression": "outcome", "margin": "12.5"},
        minSamples=1000,
        every="90m",
        days=366,
        maxDuration="1441h",
        onNoData="Fail",
        waitAt="LastStep",
        memory="4Gi",
        deadline="2h",
    ),
    "a gate on what rows are worth": judged(
        metrics=None, task={"kind": "Numbers", "value": "v"}, business={"expression": "outcome", "margin": "0"}
    ),
    "an alias that moves with the promotion": promotes("models:/fraud@challenger"),
    "an alias for a version": promotes("models:/fraud/3"),
    "an alias that ends as the one that is followed": promotes("models:/fraud@the-champion"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_spec_is_refused_with_the_right_sentence(cluster: Cluster, case: str) -> None:
    check_refused(cluster, BAD[case])


@pytest.mark.parametrize("case", GOOD)
def test_a_good_spec_is_taken(cluster: Cluster, case: str) -> None:
    check_taken(cluster, GOOD[case])
