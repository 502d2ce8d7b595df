"""An object that does not fit the operator's types says so itself, and keeps what its status says besides."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from builders import PLATFORM
from modelward.kube.cache import Cache, Key
from modelward.kube.client import ApiError
from modelward.kube.resources import DRIFT_POLICIES, MODEL_DEPLOYMENTS, Resource
from modelward.reconcilers.driftpolicy.reconcile import PolicyReconciler
from modelward.reconcilers.modeldeployment.reconcile import Outcome, Reconciler
from modelward.runtime_files import presets

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ANYTHING: Any = None


class Api:
    """Stores statuses. `refuses`: any."""

    def __init__(self) -> None:
        self.written: list[Any] = []
        self.refuses = False

    async def apply(self, _resource: Any, manifest: Any, subresource: str) -> Any:
        assert subresource == "status"
        if self.refuses:
            raise ApiError(422, "Invalid", "another version's status")
        self.written.append(manifest["status"])
        version = str(10 + len(self.written))
        return {**body(), "metadata": {**body()["metadata"], "resourceVersion": version}, "status": manifest["status"]}


def body(**status: Any) -> dict[str, Any]:
    metadata = {"namespace": "ml", "name": "fraud", "uid": "u", "resourceVersion": "1", "generation": 4}
    return {"metadata": metadata, "spec": {"of": "another release"}, "status": status}


async def reconcile(resource: Resource, cache: Cache, api: Any) -> Any:
    made: Any = Reconciler(
        api, cache, ANYTHING, ANYTHING, ANYTHING, ANYTHING, "me", lambda: 0.0, lambda: NOW, ANYTHING
    )  # fmt: skip
    if resource is DRIFT_POLICIES:
        made = PolicyReconciler(api, cache, ANYTHING, ANYTHING, {}, "me", lambda: NOW)
    return await made.reconcile(Key("ml", "fraud", resource.kind))


@pytest.mark.parametrize("resource", [MODEL_DEPLOYMENTS, DRIFT_POLICIES], ids=lambda each: each.kind)
async def test_it_is_told_once_and_the_rest_of_the_status_stays(resource: Resource) -> None:
    cache, api = Cache(), Api()
    other = {"type": "Servable", "status": "True", "reason": "Answering", "message": "", "lastTransitionTime": "x"}
    cache.upsert(resource, body(stable={"revision": "fraud-a"}, conditions=[other]))
    for _ in range(3):
        assert await reconcile(resource, cache, api) == Outcome(refused=True)
    (status,) = api.written
    assert (status["stable"], status["observedGeneration"]) == ({"revision": "fraud-a"}, 4)
    assert {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]} == {
        "Ready": ("False", "ObjectUnreadable"), "Reconciling": ("False", "ObjectUnreadable"),
        "Stalled": ("True", "ObjectUnreadable"), "Servable": ("True", "Answering"),
    }  # fmt: skip
    assert "CRDs of the operator's own version" in status["conditions"][0]["message"]
    assert status.get("phase") == ("Failed" if resource is MODEL_DEPLOYMENTS else None)


RUNTIMES: dict[str, tuple[dict[str, Any], str, str]] = {
    "RuntimeUnknown": (
        {"name": "tritn"},
        "no runtime 'tritn'; it has mlserver, openvino, tensorflow-serving, torchserve, triton, vllm",
        "ConfigMap modelward-runtimes",
    ),
    "RuntimeNotTapped": (
        {"name": "vllm", "tap": {}},
        "vllm is of the protocol path, and a tap reads v2 and v1",
        "Leave out spec.runtime.tap",
    ),
}  # fmt: skip


@pytest.mark.parametrize("reason", RUNTIMES)
async def test_a_runtime_that_the_installation_has_not_is_told_with_those_that_it_has(reason: str) -> None:
    runtime, cause, cure = RUNTIMES[reason]
    cache, api = Cache(), Api()
    asked = {
        **body(stable={"revision": "fraud-a"}),
        "spec": {"model": {"uri": "s3://m/a"}, "runtime": runtime},
    }
    cache.upsert(MODEL_DEPLOYMENTS, asked)
    anything: Any = api
    platform = replace(PLATFORM, runtimes=presets(None))
    made = Reconciler(
        anything, cache, platform, ANYTHING, ANYTHING, ANYTHING, "me", lambda: 0.0, lambda: NOW, ANYTHING
    )  # fmt: skip
    assert await made.reconcile(Key("ml", "fraud")) == Outcome(refused=True)
    (status,) = api.written
    assert status["stable"] == {"revision": "fraud-a"}, "what runs is left as it is"
    told = {each["type"]: each for each in status["conditions"]}["Stalled"]
    assert (told["status"], told["reason"]) == ("True", reason)
    assert cause in told["message"]
    assert cure in told["message"]


async def test_where_not_even_that_can_be_written_it_is_tried_again() -> None:
    cache, api = Cache(), Api()
    api.refuses = True
    cache.upsert(MODEL_DEPLOYMENTS, body())
    assert await reconcile(MODEL_DEPLOYMENTS, cache, api) == Outcome(refused=True)
