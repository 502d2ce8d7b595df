"""Rollouts that outcomes judge, on a real API server: what is waited for, promoted, rolled back, and what variants are
worth. The kubelet that ends Jobs and the traffic are pretended; what Jobs say is what the evaluator says of files."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modelward.api import names
from modelward.kube.resources import JOBS
from modelward_evaluate.job import VARIABLE, main
from nodeless.cluster import Cluster
from nodeless.model import S3, Model
from nodeless.operator_process import PLATFORM, operator, until
from nodeless.traffic import FakeTraffic
from nodeless.training import Policy
from unit.evaluate.lakes import Lake, outcome, prediction

pytestmark = pytest.mark.api

TASK = {"kind": "Classes", "label": "output.label", "positive": "1"}
QUALITY: dict[str, Any] = {
    "task": TASK, "every": "5m", "minSamples": 200, "metrics": [{"name": "accuracy", "margin": "0.02"}],
}  # fmt: skip
LOG: dict[str, Any] = {"monitor": {}, "predictionLog": {"uri": "s3://lake/predictions"}}


def rollout(**quality: Any) -> dict[str, Any]:
    steps = [{"weight": 10, "hold": "0s"}, {"weight": 50, "hold": "0s"}]
    gates = {"errorRate": {"margin": "1%"}, "quality": {**QUALITY, **quality}}
    return {"strategy": "Canary", "steps": steps, "gates": gates}


class Clock:
    """The wall clock, and how far it was put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def on(self, **time: float) -> None:
        self.ahead += timedelta(**time)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(cluster: Cluster, namespace: str, clock: Clock) -> Policy:
    """Ends Jobs as a kubelet would; there is no DriftPolicy."""
    return Policy(cluster, namespace, now=clock)


def comparing(model: Model) -> list[str]:
    """The Jobs that compare."""
    listed = model.cluster.request("GET", JOBS.path(model.namespace))["items"]
    return [
        each["metadata"]["name"] for each in listed if names.ANNOTATION_EVALUATION in each["metadata"]["annotations"]
    ]


async def asked_for(model: Model, but: str = "") -> str:
    """The name of the one Job that goes on."""

    def found() -> list[str]:
        return [each for each in comparing(model) if each != but]

    await until(lambda: len(found()) == 1, "a Job", 60)
    return found()[0]


def found_out(model: Model, job: str, folder: Path, rights: Mapping[str, tuple[int, int]]) -> str:
    """What the evaluator says, run as the Job asks for it, of what is logged. `rights`: of each arm as it is named in
    the log: how many rows, and how many of them were right."""
    folder.mkdir()
    body = model.cluster.request("GET", JOBS.path(model.namespace, job))
    (only,) = body["spec"]["template"]["spec"]["containers"]
    asked = json.loads(next(each["value"] for each in only["env"] if each["name"] == VARIABLE))
    revisions = {pair["arm"]: pair["revision"] for pair in asked["pairs"]} | {"stable": asked["pairs"][0]["against"]}
    spec, lake, told = asked["evaluation"], Lake(folder), list[dict[str, Any]]()
    time = datetime.fromisoformat(spec["end"]) - timedelta(seconds=1)
    for arm, (rows, right) in rights.items():
        numbers = range(len(told), len(told) + rows)
        lake.predict([prediction(each, 1, time=time, arm=arm) for each in numbers], revisions[arm])
        told += [
            outcome(each, int(place < right), time=time, arrived=time) for place, each in enumerate(numbers)
        ]  # fmt: skip
    lake.tell(told)
    assert spec["predictions"]["path"] == f"s3://lake/predictions/v1/namespace={model.namespace}/model=fraud"
    spec["predictions"] = {"path": str(lake.log / "v1/namespace=ml/model=fraud")}
    spec["outcomes"] |= {"path": str(lake.outcomes)}
    assert main({VARIABLE: json.dumps(asked)}, folder / "message") == 0, (folder / "message").read_text()
    return (folder / "message").read_text()


def told(model: Model) -> str:
    """Lets the kubelet work, then reads the rollout's sentence."""
    model.kubelet.settle()
    return str(model.get()["status"].get("rollout", {}).get("message", ""))


def gate(model: Model, name: str = "quality:accuracy") -> Any:
    gates = model.get()["status"].get("rollout", {}).get("gates") or ()
    return next((each for each in gates if each["name"] == name), {})


async def begun(model: Model, **quality: Any) -> None:
    """The second version gets a tenth, and waits."""
    model.apply(version=1, rollout=rollout(**quality), **LOG)
    await until(model.is_ready, "the first version", 60)
    model.apply(version=2, rollout=rollout(**quality), **LOG)
    await until(lambda: "matured outcomes" in told(model), "that it waits for outcomes", 60)


async def test_a_candidate_that_outcomes_speak_for_is_promoted(
    cluster: Cluster, model: Model, jobs: Policy, clock: Clock, tmp_path: Path
) -> None:
    async with operator(cluster, traffic=FakeTraffic(), now=clock):
        await begun(model)
        assert "quality:accuracy: 0 of 200 matured outcomes. Outcomes are looked at again" in told(model)
        waiting = model.condition("OutcomesCompared")
        assert (waiting["status"], waiting["reason"]) == ("Unknown", "WaitingForOutcomes")
        assert comparing(model) == []
        clock.on(minutes=6)
        job = await asked_for(model)
        body = cluster.request("GET", JOBS.path(model.namespace, job))
        assert [each["kind"] for each in body["metadata"]["ownerReferences"]] == ["ModelDeployment"]
        jobs.succeed(job, found_out(model, job, tmp_path / "a", {"stable": (900, 810), "candidate": (100, 90)}))
        await until(lambda: "100 of 200 matured outcomes" in told(model), "few outcomes", 60)
        assert gate(model)["outcomes"]["looks"] == 0
        assert model.condition("OutcomesCompared")["status"] == "True"
        clock.on(minutes=6)
        job = await asked_for(model, but=job)
        jobs.succeed(job, found_out(model, job, tmp_path / "b", {"stable": (30000, 27000), "candidate": (9000, 8100)}))
        await until(model.is_second, "the second version alone", 60)
        await until(lambda: comparing(model) == [], "that Jobs go with the rollout")
        shown = gate(model)
        assert (shown["verdict"], shown["limit"], shown["outcomes"]["rows"]) == ("Pass", "0.02", 9000)
        assert shown["message"].startswith("0.9 of 9,000 outcomes, against 0.9 of 30,000 of the stable")
        assert model.condition("OutcomesCompared")["reason"] == "NothingToCompare"
        assert "RolloutPromoted" in model.events()


async def test_a_candidate_that_outcomes_speak_against_goes_back(
    cluster: Cluster, model: Model, jobs: Policy, clock: Clock, tmp_path: Path
) -> None:
    async with operator(cluster, traffic=FakeTraffic(), now=clock):
        await begun(model)
        clock.on(minutes=6)
        job = await asked_for(model)
        jobs.succeed(job, found_out(model, job, tmp_path / "a", {"stable": (9000, 8100), "candidate": (1000, 700)}))
        await until(lambda: model.get()["status"]["phase"] == "RolledBack", "that it goes back", 60)
        assert model.stable()["uri"] == S3.format(1)
        assert told(model).startswith("quality:accuracy: 0.7 of 1,000 outcomes, against 0.9 of 9,000 of the stable")
        assert told(model).endswith("that is worse than 0.02 allows")
        assert gate(model)["verdict"] == "Fail"
        await until(lambda: comparing(model) == [], "that Jobs go with the rollout")
        assert "RolloutRolledBack" in model.events()


async def test_what_keeps_outcomes_away_is_told_and_tried_again(
    cluster: Cluster, model: Model, jobs: Policy, clock: Clock, tmp_path: Path
) -> None:
    async with operator(cluster, traffic=FakeTraffic(), now=clock):
        await begun(model)
        clock.on(minutes=6)
        job = await asked_for(model)
        first = cluster.request("GET", JOBS.path(model.namespace, job))["metadata"]["uid"]
        jobs.fail(job, "s3://lake/predictions can't be listed: there is no bucket 'lake'")
        await until(lambda: "there is no bucket 'lake'" in told(model), "why, in the rollout", 60)
        away = model.condition("OutcomesCompared")
        assert (away["status"], away["reason"]) == ("False", "EvaluationFailed")
        assert "EvaluationFailed" in model.events()
        cluster.request("DELETE", f"/api/v1/namespaces/{model.namespace}/pods/{job}-0?gracePeriodSeconds=0")
        clock.on(minutes=6)

        def is_another() -> bool:
            found = [cluster.request("GET", JOBS.path(model.namespace, each)) for each in comparing(model)]
            return [each["metadata"]["uid"] for each in found if each] not in ([], [first])

        await until(is_another, "another Job", 60)
        (job,) = comparing(model)
        jobs.succeed(job, found_out(model, job, tmp_path / "a", {"stable": (90, 81), "candidate": (10, 9)}))
        await until(lambda: "10 of 200 matured outcomes" in told(model), "what it said", 60)


async def test_a_crash_at_any_write_makes_no_second_job_and_loses_no_look(
    cluster: Cluster, model: Model, jobs: Policy, clock: Clock, tmp_path: Path
) -> None:
    async def dies(writes: int) -> None:
        async with operator(
            cluster, traffic=FakeTraffic(), now=clock, dies_after=writes, after_crash=True
        ) as one:  # fmt: skip
            await until(lambda: one.api.dead, f"its end after {writes} writes", 60)

    async with operator(cluster, traffic=FakeTraffic(), now=clock):
        await begun(model)
    clock.on(minutes=6)
    await dies(1)
    await dies(2)
    async with operator(cluster, traffic=FakeTraffic(), now=clock, after_crash=True):
        job = await asked_for(model)
    jobs.succeed(job, found_out(model, job, tmp_path / "a", {"stable": (900, 810), "candidate": (300, 270)}))
    await dies(1)
    async with operator(cluster, traffic=FakeTraffic(), now=clock, after_crash=True):
        await until(lambda: gate(model).get("outcomes", {}).get("looks") == 1, "the look", 60)
        assert comparing(model) == [job]
        assert gate(model)["verdict"] == "Inconclusive"
        assert "Step 2 of 2" in await until(lambda: told(model) if "Step 2" in told(model) else "", "the next step", 60)


async def test_variants_are_reported_by_outcomes(
    cluster: Cluster, model: Model, jobs: Policy, clock: Clock, tmp_path: Path
) -> None:
    variants = [
        {"name": "b", "model": {"uri": S3.format(7)}, "weight": 20},
        {"name": "dark", "model": {"uri": S3.format(8)}, "mirrorPercent": 10},
    ]
    async with operator(cluster, traffic=FakeTraffic(), now=clock):
        model.apply(rollout=rollout(), variants=variants, **LOG)
        await until(model.is_ready, "the model with its variants", 60)
        job = await asked_for(model)
        rights = {"stable": (1000, 900), "variant": (200, 100), "shadow": (100, 95)}
        jobs.succeed(job, found_out(model, job, tmp_path / "a", rights))

        def shown() -> dict[str, Any]:
            return {each["name"]: each["quality"] for each in model.get()["status"]["variants"] if "quality" in each}

        await until(lambda: len(shown()) == 2, "what they are worth", 60)
        (b,), (dark,) = (shown()[name]["metrics"] for name in ("b", "dark"))
        assert (b["name"], b["value"], b["stable"], b["difference"]) == ("accuracy", "0.5", "0.9", "-0.4")
        assert float(b["low"]) < -0.4 < float(b["high"]) < 0
        assert (dark["difference"], dark["rows"], dark["stableRows"]) == ("0.05", 100, 1000)
        model.apply(variants=variants, **LOG)
        await until(lambda: shown() == {} and comparing(model) == [], "nothing that nobody asks for", 60)
        assert model.condition("OutcomesCompared")["status"] == ""


async def test_an_installation_without_the_image_says_so(cluster: Cluster, model: Model, clock: Clock) -> None:
    platform = replace(PLATFORM, evaluate_image="")
    async with operator(cluster, traffic=FakeTraffic(), now=clock, platform=platform):
        model.apply(version=1, rollout=rollout(), **LOG)
        await until(model.is_ready, "the first version", 60)
        model.apply(version=2, rollout=rollout(), **LOG)
        await until(lambda: "MODELWARD_EVALUATE_IMAGE" in told(model), "that there is no image", 60)
        assert model.condition("OutcomesCompared")["reason"] == "NoEvaluator"
