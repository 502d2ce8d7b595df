"""Who is woken by what, and what a ModelRegistry's status says."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from api_schema import fits
from libyaml import document
from modelward.api.conditions import by_type
from modelward.api.modelregistry import Mlflow, ModelRegistry, Spec
from modelward.kube.cache import Cache, Key
from modelward.kube.queue import WorkQueue
from modelward.kube.resources import MODEL_DEPLOYMENTS, MODEL_REGISTRIES
from modelward.models.following import Said, Trouble
from modelward.models.resolved import Resolved
from modelward.reconcilers.modelregistry.reconcile import Askers, wake_followers
from modelward.reconcilers.modelregistry.status import MODELS, NAMED, TOLD_EVERY, Use, build_status

CRD = document((Path(__file__).parents[3] / "crds/modelregistries.modelward.io.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
ALIAS, OTHER = "models:/fraud@champion", "models:/fraud/3"
NOW = datetime(2026, 1, 1, tzinfo=UTC)
REGISTRY = ModelRegistry("ml", "mlflow", "uid", 1, Spec(mlflow=Mlflow("http://mlflow:5000")))
GOOD = Said(REGISTRY.address, Resolved("s3://m/3", "3"))
DOWN, DENIED = Trouble("Unreachable", "it is down"), Trouble("Unauthorized", "no such login", answered=True)
GONE = Trouble("AliasMissing", "no such alias", answered=True)


def model(name: str, uri: str = ALIAS, version: int = 1, uid: str = "", **model: Any) -> dict[str, Any]:
    metadata = {"namespace": "ml", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version)}
    return {"metadata": metadata, "spec": {"model": {"uri": uri, **model}}}


def registry(version: int = 1, generation: int = 1) -> dict[str, Any]:
    metadata = {
        "namespace": "ml", "name": "mlflow", "uid": "uid", "resourceVersion": str(version), "generation": generation,
    }  # fmt: skip
    return {"metadata": metadata, "spec": {"mlflow": {"url": "http://mlflow:5000"}}}


def news(cache: Cache, askers: Askers, body: dict[str, Any]) -> list[Key]:
    cache.upsert(MODEL_DEPLOYMENTS, body)
    return list(askers.of(body))


def test_a_registry_looks_again_at_what_changed_and_not_at_each_status() -> None:
    cache = Cache()
    cache.upsert(MODEL_REGISTRIES, registry())
    askers, woken = Askers(cache), [Key("ml", "mlflow", "ModelRegistry")]
    assert news(cache, askers, model("a")) == woken
    assert news(cache, askers, model("a", version=2)) == [], "its status was written"
    assert news(cache, askers, model("a", OTHER, version=3)) == woken
    assert news(cache, askers, model("a", OTHER, version=4, registry="mlflow")) == woken
    refreshed = model("a", OTHER, version=5, registry="mlflow")
    refreshed["metadata"]["annotations"] = {"modelward.io/refresh": "now"}
    assert news(cache, askers, refreshed) == woken
    assert news(cache, askers, model("b", "s3://m/model.onnx", version=6)) == [], "no reference"
    assert news(cache, askers, model("a", "s3://m/model.onnx", version=7)) == woken, "it follows no more"
    assert news(cache, askers, model("a", version=8)) == woken
    gone = model("a", version=9)
    cache.remove(MODEL_DEPLOYMENTS, gone)
    assert list(askers.of(gone)) == woken
    assert news(cache, askers, model("a", version=10, uid="another")) == woken


def test_models_look_again_when_their_registry_is_another_and_not_at_each_poll() -> None:
    cache = Cache()
    askers = Askers(cache)
    for body, expected in ((registry(1), True), (registry(2), False), (registry(3, generation=2), True)):
        cache.upsert(MODEL_REGISTRIES, body)
        assert askers.changed(body) is expected
    cache.remove(MODEL_REGISTRIES, registry(4))
    assert askers.changed(registry(4))


async def test_a_new_answer_wakes_those_who_asked_for_it() -> None:
    cache, queue = Cache(), WorkQueue(lambda: 0.0)
    for body in (model("a"), model("b", OTHER), model("c"), model("d", "s3://m/model.onnx")):
        cache.upsert(MODEL_DEPLOYMENTS, body)
    wake_followers(cache, queue, "ml", ALIAS)
    assert sorted([(await queue.get()).name, (await queue.get()).name]) == ["a", "c"]


def status(
    said: dict[str, Said | None],
    last: ModelRegistry = REGISTRY,
    polled: datetime | None = NOW,
    by: tuple[str, ...] = ("a",),
) -> dict[str, Any]:
    uses = [Use(reference, by) for reference in said if reference]
    built = build_status(last, uses, said, polled.timestamp() if polled else None, NOW)
    fits(built, SCHEMA["status"], "status")
    return built


@pytest.mark.parametrize(
    ("said", "ready", "reason", "reachable"),
    [
        ({ALIAS: None}, "Unknown", "NotAskedYet", None),
        ({ALIAS: GOOD}, "True", "Answers", True),
        ({"": Said(REGISTRY.address)}, "True", "Answers", True),
        ({ALIAS: replace(GOOD, trouble=DOWN)}, "False", "Unreachable", False),
        ({ALIAS: replace(GOOD, trouble=DOWN), OTHER: GOOD}, "True", "Answers", True),
        ({ALIAS: Said(REGISTRY.address, None, GONE)}, "True", "Answers", True),
        ({ALIAS: Said(REGISTRY.address, None, DENIED), OTHER: GOOD}, "False", "Unauthorized", True),
    ],
)
def test_ready_is_whether_it_answers_its_login(
    said: dict[str, Said | None], ready: str, reason: str, reachable: bool | None
) -> None:
    built = status(said)
    found = by_type(built["conditions"])
    assert (found["Ready"]["status"], found["Ready"]["reason"], built.get("reachable")) == (ready, reason, reachable)
    assert found["Stalled"]["status"] == str(ready == "False")


def test_a_poll_that_brought_nothing_new_is_told_every_few_minutes() -> None:
    first = status({ALIAS: GOOD})
    seen = replace(REGISTRY, status=first)
    assert status({ALIAS: GOOD}, seen, NOW + timedelta(seconds=TOLD_EVERY - 1)) == first
    later = status({ALIAS: GOOD}, seen, NOW + timedelta(seconds=TOLD_EVERY))
    assert later["lastPoll"] == "2026-01-01T00:05:00Z"
    moved = status({ALIAS: Said(REGISTRY.address, Resolved("s3://m/4", "4"))}, seen, NOW + timedelta(seconds=9))
    assert (moved["lastPoll"], moved["models"][0]["version"]) == ("2026-01-01T00:00:09Z", "4")


def test_status_is_bounded() -> None:
    built = status(
        {f"models:/m{number}@a": GOOD for number in range(200)}, by=tuple(f"model-{number}" for number in range(300))
    )
    assert (built["following"], len(built["models"])) == (200, MODELS)
    assert built["models"][0]["usedBy"][NAMED:] == ["and 295 more"]


@pytest.mark.parametrize("said", [GOOD, Said(REGISTRY.address, None, GONE), replace(GOOD, trouble=DOWN)])
def test_an_operator_that_starts_anew_tells_nothing_before_it_has_heard_something(said: Said) -> None:
    told = status({ALIAS: said, OTHER: GOOD})
    seen = replace(REGISTRY, status=told)
    assert status({ALIAS: None, OTHER: None}, seen) == told
    assert status({ALIAS: None, OTHER: GOOD}, seen)["models"] == told["models"], "half of it"
    assert status({ALIAS: said, OTHER: GOOD}, seen) == told
    edited = replace(seen, generation=2)
    assert by_type(status({ALIAS: None}, edited)["conditions"])["Ready"]["reason"] == "NotAskedYet"
