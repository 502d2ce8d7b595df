"""Which Jobs that evaluate are kept, and which are somebody else's."""

from datetime import UTC, datetime
from typing import Any

import pytest

from modelward.api import names
from modelward.kube.cache import Cache, Key
from modelward.kube.client import ApiError
from modelward.kube.resources import JOBS, PODS
from modelward.quality.measured import Problem
from modelward.reconcilers.driftpolicy.evaluations import superfluous
from modelward.reconcilers.evaluation_jobs import EvaluationJobs

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Taken:
    """An API server that has a Job of this name already, whose owner is `uid`."""

    def __init__(self, uid: str) -> None:
        self.there = owned(uid)

    async def create(self, *_: Any, **__: Any) -> Any:
        raise ApiError(409, "AlreadyExists", "it is there")

    async def get(self, *_: Any) -> Any:
        return self.there


def owned(uid: str) -> dict[str, Any]:
    reference = {"apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy", "name": "fraud", "uid": uid}
    metadata = {"namespace": "ml", "name": "fraud-0-quality", "uid": "j", "resourceVersion": "1"}
    return {"metadata": {**metadata, "ownerReferences": [reference]}}


def job(name: str, second: int, over: bool = True) -> dict[str, Any]:
    ended = [{"type": "Complete", "status": "True"}] if over else []
    created = f"2026-01-01T00:00:{second:02}Z"
    return {"metadata": {"name": name, "creationTimestamp": created}, "status": {"conditions": ended}}


@pytest.mark.parametrize(
    ("own", "done", "keep", "gone"),
    [
        ([job("a", 1), job("b", 2), job("c", 3)], "c", 1, ["a", "b"]),
        ([job("a", 1), job("b", 2), job("c", 3)], "c", 2, ["a"]),
        ([job("z", 1), job("a", 1)], "a", 1, ["z"]),
        ([job("a", 1), job("b", 2)], "a", 1, ["b"]),
        ([job("a", 1, over=False), job("b", 2)], "b", 1, []),
        ([job("a", 1)], "a", 3, []),
    ],
)  # fmt: skip
def test_the_latest_are_kept_and_the_one_that_was_read_last(
    own: list[dict[str, Any]], done: str, keep: int, gone: list[str]
) -> None:
    assert [each["metadata"]["name"] for each in superfluous(own, done, keep)] == gone


@pytest.mark.parametrize(("phase", "is_told"), [("Pending", True), ("Failed", False), ("Succeeded", False)])
def test_a_pod_that_has_ended_keeps_no_job_from_going_on(phase: str, is_told: bool) -> None:
    """What it said is told when the Job ends; until then another one takes its place."""
    reference = {"apiVersion": "batch/v1", "kind": "Job", "name": "fraud-0-quality", "uid": "j", "controller": True}
    metadata = {"namespace": "ml", "name": "fraud-0-quality-x", "uid": "x", "resourceVersion": "2"}
    waiting = {"reason": "ErrImagePull", "message": "no such image"}
    ended = {"exitCode": 1, "message": "there is no bucket", "reason": "Error"}
    state = {"waiting": waiting} if phase == "Pending" else {"terminated": ended}
    container = {"name": "evaluate", "ready": False, "restartCount": 0, "image": "i", "imageID": "", "state": state}
    status = {"phase": phase, "containerStatuses": [container]}
    cache = Cache()
    labels = {names.LABEL_INSTANCE: "fraud", names.LABEL_COMPONENT: names.COMPONENT_EVALUATION}
    pod = {"metadata": {**metadata, "ownerReferences": [reference], "labels": labels}, "status": status}
    cache.upsert(PODS, pod)
    jobs = EvaluationJobs(Taken("p"), cache, lambda: NOW, "spec.quality")  # type: ignore[arg-type]
    found = jobs.trouble(Key("ml", "fraud"), owned("p"))
    assert (found is not None) is is_told


@pytest.mark.parametrize(("uid", "is_ours"), [("p", True), ("somebody", False)])
async def test_a_job_of_somebody_else_by_the_same_name_is_told_of_and_not_taken(uid: str, is_ours: bool) -> None:
    cache, api = Cache(), Taken(uid)
    jobs = EvaluationJobs(api, cache, lambda: NOW, "spec.quality")  # type: ignore[arg-type]
    found = await jobs.start("ml", owned("p"))
    assert isinstance(found, Problem) is not is_ours
    assert (cache.get(JOBS, "ml", "fraud-0-quality") is not None) is is_ours
    assert is_ours or "not of spec.quality; delete it" in str(found)
