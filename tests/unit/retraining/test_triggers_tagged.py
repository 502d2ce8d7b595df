"""Which version a run registered, by its tag: from a server that answers as MLflow was recorded to."""

import time
from typing import Any

import pytest

from modelward.api.driftpolicy import parse
from modelward.kube.cache import Cache
from modelward.kube.resources import MODEL_DEPLOYMENTS, MODEL_REGISTRIES
from modelward.net.guarded import open_guarded_session
from modelward.registries.access import Access
from modelward.retraining.lifecycle.report import ReportError
from modelward.retraining.lifecycle.run import Artifact, Report, Run
from modelward.retraining.triggers.outgoing import NeverError, NotNowError
from modelward.retraining.triggers.tagged import TAG, TaggedVersion
from modelward.retraining.triggers.trigger import Order
from recorded_mlflow import Recorded, error

HERE = ("127.0.0.1",)
METADATA: dict[str, Any] = {"namespace": "ml", "name": "fraud", "uid": "u", "generation": 1, "resourceVersion": "1"}
RUN = Run("fraud-1", "k", "Jenkins", "Drift", "", 0.0, "fraud-a", Artifact("models:/fraud@champion"), target="fraud")
ORDER = Order(parse({"metadata": METADATA, "spec": {"target": {"name": "fraud"}}}), RUN, None)


async def report(mlflow: Recorded, uri: str = "models:/fraud@champion", registries: int = 1) -> Report:
    cache = Cache()
    cache.upsert(MODEL_DEPLOYMENTS, {"metadata": METADATA, "spec": {"model": {"uri": uri}}})
    for number in range(registries):
        metadata = {**METADATA, "name": f"mlflow-{number}", "uid": f"r{number}"}
        cache.upsert(MODEL_REGISTRIES, {"metadata": metadata, "spec": {"mlflow": {"url": mlflow.url}}})
    async with open_guarded_session(HERE) as session:
        access = Access(None, session, HERE, time.monotonic, time.time)  # type: ignore[arg-type]
        return await TaggedVersion(cache, access).report(ORDER)


@pytest.mark.parametrize("uri", ["models:/fraud@champion", "models:/fraud/1"])
async def test_the_version_with_the_runs_name_is_its_model(uri: str) -> None:
    async with Recorded(tags={("2", TAG): "fraud-1", ("1", TAG): "fraud-0"}) as mlflow:
        assert await report(mlflow, uri) == Report(Artifact("models:/fraud/2"), "2")


async def test_none_is_a_failure_that_names_the_tag() -> None:
    async with Recorded() as mlflow:
        with pytest.raises(
            ReportError, match=r"no version of fraud in ModelRegistry mlflow-0 has the tag modelward\.run"
        ):
            await report(mlflow)


async def test_a_model_of_no_registry_is_a_failure_that_names_the_field() -> None:
    async with Recorded() as mlflow:
        with pytest.raises(NeverError, match=r"spec\.model\.uri"):
            await report(mlflow, "s3://models/fraud/1/fraud.tar")


async def test_a_registry_that_has_trouble_is_waited_for() -> None:
    async with Recorded(instead=lambda _: error(503, "TEMPORARILY_UNAVAILABLE", "later")) as mlflow:
        with pytest.raises(NotNowError, match="of its model") as found:
            await report(mlflow)
    assert found.value.reason == "ServerFailed"


@pytest.mark.parametrize(("registries", "reason"), [(0, "RegistryMissing"), (2, "RegistryAmbiguous")])
async def test_a_registry_that_is_none_or_one_of_many_is_waited_for(registries: int, reason: str) -> None:
    async with Recorded() as mlflow:
        with pytest.raises(NotNowError) as found:
            await report(mlflow, registries=registries)
    assert found.value.reason == reason
