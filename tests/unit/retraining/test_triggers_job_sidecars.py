"""A run's Job whose training has ended, and whose pod has not: a sidecar runs on."""

from datetime import timedelta

import pytest

from modelward.kube.resources import JOBS
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.triggers import job_pods
from modelward.retraining.triggers.trigger import Order

from .jobs import FACTS, REPORT, RUN, Stage, at, over, policy, two


@pytest.fixture
def stage() -> Stage:
    return Stage()


async def test_what_a_sidecar_outlives_counts_and_the_sidecar_is_ended(stage: Stage) -> None:
    stage.job()
    stage.pod(0, "", phase="Running", containerStatuses=two(over(0, job_pods.SIDECAR_GRACE - 1, REPORT)))
    state, message = await stage.poll()
    assert (state, "istio-proxy. They are ended with the pod" in message) == (runs.WORKING, True), (
        "it may end by itself"
    )
    stage.now += timedelta(seconds=2)
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.state, found.report and found.report.model.uri) == (runs.SUCCEEDED, "s3://models/fraud/2/fraud.tar")
    assert stage.server.deleted == [], "not before the report is stored"
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    assert stage.server.deleted == ["fraud-1/j"]


async def test_a_job_that_ended_by_itself_keeps_its_log(stage: Stage) -> None:
    stage.job()
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    stage.pod(0, "", phase="Running", containerStatuses=two(over(0, 60, REPORT)))
    stage.job("Complete", resourceVersion="8")
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    stage.job(deletionTimestamp=at(0), resourceVersion="9")
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    assert stage.server.deleted == []


async def test_the_sidecars_of_a_job_that_somebody_relabelled_are_ended_too(stage: Stage) -> None:
    stage.job()
    body = stage.cache.get(JOBS, "ml", "fraud-1")
    assert body is not None
    stage.server.there["fraud-1"] = body
    stage.cache.remove(JOBS, body)
    stage.pod(0, "", phase="Running", containerStatuses=two(over(0, 60, REPORT)))
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    assert stage.server.deleted == ["fraud-1/j"]


async def test_another_jobs_sidecars_are_left_alone(stage: Stage) -> None:
    stage.job(owner="another")
    stage.pod(0, "", phase="Running", containerStatuses=two(over(0, 60, REPORT)))
    await stage.trigger.clear(Order(policy(), RUN, FACTS))
    assert stage.server.deleted == []


async def test_a_failure_that_a_sidecar_outlives_is_told(stage: Stage) -> None:
    stage.job()
    stage.pod(0, "", phase="Running", containerStatuses=two(over(3, 60, "ValueError: no labels")))
    state, message = await stage.poll()
    assert (state, "Container train failed: Done (exit code 3), the end of its log: ValueError" in message) == (
        runs.BROKE, True,
    )  # fmt: skip
    assert "(istio-proxy) ran on" in message


@pytest.mark.parametrize("spec", [{"completions": 2}, {"parallelism": 2}])
async def test_a_job_that_needs_more_pods_than_a_sidecar_lets_end_says_so(stage: Stage, spec: dict[str, int]) -> None:
    stage.job(spec=spec)
    stage.pod(0, "", phase="Running", containerStatuses=two(over(0, 60, REPORT)))
    found = await stage.trigger.poll(Order(policy(), RUN, FACTS))
    assert (found.state, found.delay, found.stuck) == (runs.WORKING, "SidecarRunsOn", True)
    assert "`restartPolicy: Always`" in found.message
    stage.pod(0, "", "fraud-1-1", phase="Running", containerStatuses=two(over(0, 60, REPORT)))
    assert (await stage.poll())[0] == runs.SUCCEEDED


async def test_a_container_that_trains_on_is_left_alone(stage: Stage) -> None:
    stage.job()
    running = two({"ready": True, "state": {"running": {}}})
    stage.pod(0, "", phase="Running", containerStatuses=running)
    assert await stage.poll() == (runs.WORKING, "")
