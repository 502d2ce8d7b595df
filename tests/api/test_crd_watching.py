"""What a ModelDeployment may have counted and logged, and looked up for its requests."""

from typing import Any

import pytest

from nodeless.cluster import Cluster
from nodeless.specs import DIGEST, Object, check_refused, check_taken, with_model


def log(**spec: Any) -> dict[str, Any]:
    return with_model(monitor={}, predictionLog={"uri": "s3://lake/log"} | spec)


KEY: Object = {"name": "driver_id", "type": "Int64"}


def fed(**features: Any) -> Object:
    """A model whose features are looked up."""
    return with_model(features={"url": "http://feast:6566", "service": "s", "entities": [KEY]} | features)


BAD: dict[str, tuple[Object, str]] = {
    "nothing sampled": (with_model(monitor={"samplingFraction": "0%"}), "monitor.samplingFraction: write a percentage"),
    "too few rows to learn from": (with_model(monitor={"learnRows": 10}), "monitor.learnRows: write a number from 100"),
    "too many rows to learn from": (with_model(monitor={"learnRows": 50001}), "monitor.learnRows: write a number from"),
    "no feature shown": (with_model(monitor={"topFeatures": 0}), "monitor.topFeatures: write a number from 1"),
    "a window of no time": (with_model(monitor={"window": {"duration": "0s"}}), "monitor.window.duration: write a"),
    "a window of no rows": (with_model(monitor={"window": {"minSamples": 0}}), "monitor.window.minSamples: write a"),
    "a monitor without a unit": (
        with_model(monitor={"resources": {"limits": {"memory": "512"}}}), "did you forget the unit",
    ),
    "a log without a monitor": (with_model(predictionLog={"uri": "s3://lake/log"}), "add spec.monitor, {} is enough"),
    "a log to nowhere": (log(uri="https://lake/log"), "spec.predictionLog.uri: start it with s3:// and a bucket"),
    "a log with a way out": (log(uri="pvc://data/../x"), "spec.predictionLog.uri: write a plain path"),
    "a log's folder with a slash": (log(uri="s3://lake/log/"), "spec.predictionLog.uri: write a plain path"),
    "a claim with credentials": (
        log(uri="pvc://data/log", credentialsSecret={"name": "s3"}), "only s3:// reads credentials",
    ),
    "hashes without a key": (log(columns={"hash": ["key"]}), "spec.predictionLog.hashKeySecret: name the Secret"),
    "a column that is fixed": (log(columns={"exclude": ["request_id"]}), "input.NAME, output.NAME or entity.NAME"),
    "nothing logged": (log(fraction="0%"), "spec.predictionLog.fraction: write a percentage"),
    "no days": (log(retention="12h"), "spec.predictionLog.retention: write days"),
    "no disk": (log(diskLimit="1Mi"), "spec.predictionLog.diskLimit: write a size"),
    "a log now and then": (log(interval="500ms"), "spec.predictionLog.interval: write a duration"),
    "features from nowhere": (fed(url="feast:6566"), "spec.features.url: write a scheme and a host"),
    "features with a login": (fed(url="http://a:b@feast"), "spec.features.url: write a scheme and a host"),
    "features with a line": (fed(url="http://feast/\r\nX:y"), "spec.features.url: write a scheme and a host"),
    "features by their path": (fed(url="http://f/get-online-features"), "without /get-online-features"),
    "features of no service": (fed(service="a b"), "spec.features.service: write the name of a feature service"),
    "features by no key": (fed(entities=[]), "should have at least 1 items"),
    "features by a key twice": (fed(entities=[KEY, KEY]), "Duplicate value"),
    "features by a float": (fed(entities=[{"name": "a", "type": "Float"}]), "write Int64 or String"),
    "features by a key with blanks": (fed(entities=[KEY | {"name": "a b"}]), "spec.features.entities.name: write"),
    "the operator's own key for a token": (
        fed(url="https://feast", tokenSecret={"name": "modelward-cache-key"}), "the operator's own keys open no store",
    ),
    "a token in the clear": (fed(tokenSecret={"name": "t"}), "a token goes over https alone"),
    "defaults that nobody asks for": (fed(defaults={"a": "0"}), "write both, or neither"),
    "defaults without any": (fed(onMissing="Default"), "write both, or neither"),
    "an unknown rule": (fed(onMissing="Ignore"), "spec.features.onMissing: write Refuse, Null or Default"),
    "what is stale without an age": (fed(onStale="Use"), "without maxAge nothing is stale"),
    "an age in days": (fed(maxAge="1d"), "spec.features.maxAge: write a duration"),
    "a digest of definitions that is none": (fed(digest="v1"), "spec.features.digest: write sha256:"),
    "a slow store": (fed(timeout="2m"), "spec.features.timeout: write a duration up to 60s"),
    "a store asked by all": (fed(maxConcurrent=0), "spec.features.maxConcurrent: write a number"),
    "features for another server": (
        {**fed(), "runtime": {"name": "triton"}}, "spec.features: Modelward's own server looks them up",
    ),
}  # fmt: skip

GOOD: dict[str, Object] = {
    "a monitor": with_model(monitor={}),
    "a monitor with everything": with_model(
        monitor={
            "samplingFraction": "2.5%",
            "learnRows": 1000,
            "topFeatures": 5,
            "window": {"duration": "10m", "minSamples": 100},
            "resources": {"limits": {"memory": "512Mi"}},
        }
    ),
    "a log": with_model(monitor={}, predictionLog={"uri": "pvc://data"}),
    "a log with everything": with_model(
        monitor={},
        predictionLog={
            "uri": "s3://lake/a/b",
            "credentialsSecret": {"name": "s3"},
            "fraction": "12.5%",
            "interval": "1m",
            "diskLimit": "1Gi",
            "retention": "90d",
            "hashKeySecret": {"name": "pepper", "key": "salt"},
            "columns": {
                "exclude": ["input.a b"],
                "hash": ["key"],
                "truncate": [{"name": "output.y[0]", "characters": 5}],
            },
        },
    ),
    "features by a key": fed(),
    "features with everything": fed(
        url="https://feast.example/x",
        tokenSecret={"name": "t"},
        digest=DIGEST,
        maxAge="24h",
        onMissing="Default",
        defaults={"trips": "0"},
        onStale="Use",
        timeout="200ms",
        maxConcurrent=8,
        entities=[KEY, {"name": "city", "type": "String"}],
    ),
    "a log with hashed keys": {
        **fed(),
        **log(columns={"hash": ["entity.driver_id"], "exclude": ["entity.city"]}, hashKeySecret={"name": "pepper"}),
    },
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_spec_is_refused_with_the_right_sentence(cluster: Cluster, case: str) -> None:
    check_refused(cluster, BAD[case])


@pytest.mark.parametrize("case", GOOD)
def test_a_good_spec_is_taken(cluster: Cluster, case: str) -> None:
    check_taken(cluster, GOOD[case])
