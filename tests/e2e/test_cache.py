"""A shared cache on a real node: ten pods at once cost one download and one compilation, and a later one starts without
the store. Of what a second start takes, the ratio to the first is told and not judged: machines differ."""

import contextlib
import hashlib
import json
import secrets
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from examples.demo.cluster import publish
from examples.demo.model import train

from localcluster.clients import kubectl

from . import volumes
from .model import Model, until

REPLICAS = 10
KEY = "cached/model.joblib"
STARTS = 300.0
"""Seconds for ten servers on a small machine."""

SMALL = {"requests": {"cpu": "10m", "memory": "64Mi"}}


@pytest.fixture
def claim(namespace: str) -> Iterator[str]:
    """A claim of the namespace, for many pods, whose folder is root's: only its driver gives it to their group."""
    with volumes.local(namespace) as name:
        yield name


@pytest.fixture
def digest(namespace: str) -> str:
    """Of a model that no other test has, in the store."""
    content = train(trees=60, seed=secrets.randbelow(1 << 30)).pickled()
    publish(namespace, "models", {KEY: content})
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


class Cached:
    """What the pods of a model that has a cache say of it."""

    def __init__(self, model: Model, digest: str, claim: str) -> None:
        self.model = model
        self.spec = {"model": {"digest": digest, "cache": {"claim": claim, "size": "64Mi"}}, "resources": SMALL}

    def start(self, replicas: int) -> None:
        self.model.apply(KEY, replicas=replicas, **self.spec)
        until(self.model.is_settled, f"{self.model.name} settled", STARTS)
        until(lambda: self.model.condition("CacheUsable")["status"] == "True", "the cache usable")
        # The claim may have been bound later than the first pods were made.
        pods = self.model.pods
        until(lambda: all(len(each["spec"]["initContainers"]) == 3 for each in pods()), "pods with the claim")
        self.model.settle()

    def said(self, step: str, words: str) -> int:
        """Of how many pods."""
        names = self.model.pod_names()
        logs = [kubectl("logs", name, "-n", self.model.namespace, "-c", step) for name in names]
        return sum(words in log for log in logs)

    def reports(self) -> list[dict[str, Any]]:
        steps = [each for pod in self.model.pods() for each in pod["status"]["initContainerStatuses"]]
        kept = [each for each in steps if each["name"] in ("download", "keep-bundle")]
        return [json.loads(each["state"]["terminated"]["message"]) for each in kept]

    def seconds(self) -> float:
        """What the only pod took from its download's begin until it was ready."""
        (pod,) = self.model.pods()
        (download,) = [each for each in pod["status"]["initContainerStatuses"] if each["name"] == "download"]
        began = download["state"]["terminated"]["startedAt"]
        ready = next(each for each in pod["status"]["conditions"] if each["type"] == "Ready")["lastTransitionTime"]
        return (datetime.fromisoformat(ready) - datetime.fromisoformat(began)).total_seconds()


@contextlib.contextmanager
def store_away(namespace: str) -> Iterator[None]:
    """Nothing answers at its address."""
    patch = '[{{"op": "replace", "path": "/spec/selector/app", "value": "{}"}}]'
    kubectl("patch", "service", "s3", "-n", namespace, "--type=json", "-p", patch.format("away"))
    try:
        yield
    finally:
        kubectl("patch", "service", "s3", "-n", namespace, "--type=json", "-p", patch.format("s3"))


@pytest.fixture
def bound(namespace: str, claim: str) -> str:
    phase = ("get", "pvc", claim, "-n", namespace, "-o", "jsonpath={.status.phase}")
    until(lambda: kubectl(*phase).strip() == "Bound", "the claim bound")
    return claim


@pytest.mark.alone  # ten pods at once
def test_ten_pods_at_once_cost_one_download_and_one_compilation(model: Model, digest: str, bound: str) -> None:
    cached = Cached(model, digest, bound)
    cached.start(REPLICAS)
    assert len(cached.model.pods()) == REPLICAS
    assert cached.said("download", "was downloaded before") == REPLICAS - 1
    assert cached.said("compile", "was compiled before") == REPLICAS - 1
    assert not [each for each in cached.reports() if "cache" in each]
    key = ("get", "secret", "modelward-cache-key", "-n", model.namespace, "-o", "jsonpath={.immutable}")
    assert kubectl(*key).strip() == "true"


@pytest.mark.alone  # the store of the namespace is away for a while
def test_a_pod_that_is_made_anew_starts_with_the_store_away(
    model: Model, digest: str, bound: str, measured: Callable[[str], None]
) -> None:
    cached = Cached(model, digest, bound)
    cached.start(1)
    first = cached.seconds()
    (old,) = cached.model.pods()
    with store_away(model.namespace):
        kubectl("delete", "pod", old["metadata"]["name"], "-n", model.namespace, "--wait=true")
        until(lambda: [each["metadata"]["uid"] for each in model.pods()] != [old["metadata"]["uid"]], "another pod")
        model.settle()
    assert cached.said("download", "was downloaded before") == cached.said("compile", "was compiled before") == 1
    second = cached.seconds()
    measured(f"first start {first:.0f} s, second, from the cache, {second:.0f} s: {second / max(first, 1.0):.2f}")


def test_a_log_whose_claim_is_missing_is_named_and_the_cache_is_not(model: Model, digest: str, bound: str) -> None:
    cached = Cached(model, digest, bound)
    logged: dict[str, Any] = {**cached.spec, "monitor": {}, "predictionLog": {"uri": "pvc://absent/log"}}
    model.apply(KEY, **logged)
    told = until(lambda: (found := model.condition("PredictionLogged"))["reason"] == "ClaimMissing" and found, "words")
    assert "PersistentVolumeClaim absent (spec.predictionLog.uri)" in told["message"]
    assert model.condition("Reconciling")["reason"] == "ClaimMissing"
    assert model.condition("CacheUsable")["status"] == "True"
    model.apply(KEY, **{**logged, "predictionLog": {"uri": f"pvc://{bound}/log"}})
    until(model.is_settled, f"{model.name} settled", STARTS)
    assert model.condition("PredictionLogged")["reason"] != "ClaimMissing"
