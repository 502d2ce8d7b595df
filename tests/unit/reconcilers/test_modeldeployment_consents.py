"""Consent of a namespace: who is told of a change, and what it allows."""

from typing import Any

import pytest

from builders import PLATFORM
from modelward.api.names import LABEL_ALLOWED_FORMATS
from modelward.kube.cache import Cache, Key
from modelward.kube.resources import MODEL_DEPLOYMENTS, NAMESPACES
from modelward.reconcilers.loop import Controller
from modelward.reconcilers.modeldeployment.consents import platform_of, why_unread


class Told(list[Key]):
    """In the queue's place: what is added, in order."""

    add = list.append


def namespace(name: str, label: str, version: int = 1) -> dict[str, Any]:
    labels = {LABEL_ALLOWED_FORMATS: label}
    return {"metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": str(version), "labels": labels}}


@pytest.mark.parametrize(
    ("label", "allowed"), [("sklearn", {"sklearn"}), ("joblib.torchscript", {"sklearn", "torchscript"}), ("no", set())]
)
def test_a_namespace_allows_its_own_models_more(label: str, allowed: set[str]) -> None:
    cache = Cache()
    cache.upsert(NAMESPACES, namespace("ml", label))
    assert set(platform_of(PLATFORM, cache, "ml").allowed_formats) - set(PLATFORM.allowed_formats) == allowed
    assert platform_of(PLATFORM, cache, "other") == PLATFORM


@pytest.mark.parametrize("kind", ["ADDED", "MODIFIED", "DELETED", None])
def test_every_model_of_the_namespace_is_looked_at_again(kind: str | None) -> None:
    cache, queue = Cache(), Told()
    controller = Controller(None, cache, queue, None, None, {})  # type: ignore[arg-type]
    for owner in ("ml", "other"):
        metadata = {"namespace": owner, "name": "fraud", "uid": f"uid-{owner}-m", "resourceVersion": "1"}
        cache.upsert(MODEL_DEPLOYMENTS, {"metadata": metadata})
    controller.observe_event(NAMESPACES, kind, namespace("ml", "sklearn"))
    assert queue == [Key("ml", "fraud")]


def test_a_label_that_can_not_be_read_any_more_allows_nothing() -> None:
    cache = Cache()
    cache.upsert(NAMESPACES, namespace("ml", "sklearn"))
    cache.unread["ml"] = "no right"
    assert platform_of(PLATFORM, cache, "ml") == PLATFORM
    assert why_unread(cache, "ml") == "no right"
    cache.unread.clear()
    assert "sklearn" in platform_of(PLATFORM, cache, "ml").allowed_formats
    cache.withheld = {NAMESPACES: "no list"}
    assert platform_of(PLATFORM, cache, "ml") == PLATFORM
