"""What a policy does to a model that it retrains."""

from dataclasses import replace
from typing import Any

import pytest

from modelward.cluster.cache import Cache
from modelward.cluster.client import ApiError
from modelward.cluster.resources import MODEL_DEPLOYMENTS
from modelward.controller.policies import PolicyReconciler
from modelward.controller.triggers.trigger import Order
from modelward.domain import runs
from modelward.domain.runs import Artifact

from .test_webhook import FACTS, RUN, policy

ORDER = Order(policy("http://hook"), replace(RUN, phase=runs.APPLYING, model=Artifact("s3://models/fraud/2")), FACTS)
ANYTHING: Any = None


class Api:
    """One model, whose `version` the watch may not have told of yet."""

    def __init__(self, version: str) -> None:
        self.version = version

    async def apply(self, _resource: Any, manifest: Any, field_manager: str) -> Any:
        if manifest["metadata"].get("resourceVersion", self.version) != self.version:
            raise ApiError(409, "Conflict", f"{field_manager} is behind")
        return {"metadata": {**manifest["metadata"], "generation": 2}}


def policies(api: Any) -> PolicyReconciler:
    cache = Cache()
    metadata = {"namespace": "ml", "name": "fraud", "uid": "t", "resourceVersion": "7", "generation": 1}
    cache.upsert(MODEL_DEPLOYMENTS, {"metadata": metadata, "spec": {"model": {"uri": "s3://models/fraud/1"}}})
    return PolicyReconciler(api, cache, ANYTHING, ANYTHING, {}, "me", ANYTHING)


async def test_a_new_model_is_applied_to_what_was_seen() -> None:
    outcome = await policies(Api("7"))._apply(ORDER)
    assert (outcome.state, outcome.generation) == (runs.DONE, 2)


async def test_what_somebody_wrote_meanwhile_is_not_overwritten() -> None:
    with pytest.raises(ApiError, match="behind") as refused:
        await policies(Api("8"))._apply(ORDER)
    assert not refused.value.is_refusal, "it is tried again, once the watch has told"
