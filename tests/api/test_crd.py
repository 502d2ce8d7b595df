"""Specs that the real API server must refuse with the right sentence, and specs that it must take."""

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from nodeless.cluster import Cluster

S3 = "s3://models/fraud/3/model.onnx"
DIGEST = "sha256:" + "0123456789abcdef" * 4

Object = dict[str, Any]


PEM = """-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEkkQ/1tnBKKuT7gWIqG0t2mUcYkvC
1KqYkp0BzH1cCkqKqv+Sq5Y5cPUcTj3zOBfdzVK3mNfP5q2nG1XkL7d7yQ==
-----END PUBLIC KEY-----
"""


def model(uri: str = S3, **fields: Any) -> Object:
    return {"model": {"uri": uri, **fields}}


def log(**spec: Any) -> dict[str, Any]:
    return with_model(monitor={}, predictionLog={"uri": "s3://lake/log"} | spec)


KEY: Object = {"name": "driver_id", "type": "Int64"}


def fed(**features: Any) -> Object:
    """A model whose features are looked up."""
    return with_model(features={"url": "http://feast:6566", "service": "s", "entities": [KEY]} | features)


def with_model(**fields: Any) -> Object:
    return {**model(), **fields}


def rollout(**fields: Any) -> Object:
    return with_model(rollout=fields)


def promotes(uri: str, alias: str = "champion") -> Object:
    """A model whose version gets an alias when it has taken over."""
    return {**model(uri), "rollout": {"promotedAlias": alias}}


def gates(**fields: Any) -> Object:
    return rollout(gates=fields)


JUDGED: Object = {"task": {"kind": "Classes", "label": "l"}, "metrics": [{"name": "accuracy", "margin": "0.01"}]}


def judged(log: Object | None = None, **fields: Any) -> Object:
    """A candidate that outcomes judge. None of `fields`: left out."""
    asked = {name: value for name, value in {**JUDGED, **fields}.items() if value is not None}
    return {**gates(quality=asked), "monitor": {}, "predictionLog": {"uri": "s3://lake/log"} | (log or {})}


def measured(*names: str, **task: Any) -> Object:
    return judged(
        metrics=[{"name": name, "margin": "0.01"} for name in names], task={"kind": "Classes", "label": "l"} | task
    )


def variants(*given: Object) -> Object:
    return with_model(variants=[{"model": {"uri": S3}, **each} for each in given])


def latency_of(**fields: Any) -> Object:
    return with_model(slo={"latency": fields})


BAD: dict[str, tuple[Object, str]] = {
    "no model": ({}, "spec.model: Required value"),
    "no uri": ({"model": {}}, "spec.model.uri: Required value"),
    "empty uri": (model(""), "spec.model.uri"),
    "unknown scheme": (model("ftp://host/m.onnx"), "start it with https://, s3://, pvc:// or oci://"),
    "a bucket of Google": (model("gs://models/m.onnx"), "AWS_ENDPOINT_URL=https://storage.googleapis.com with an HMAC"),
    "blobs of Azure": (model("abfss://c@a.dfs.core.windows.net/m.onnx"), "its Blob CSI driver"),
    "blobs of Azure by an older name": (model("wasbs://c@a.blob.core.windows.net/m.onnx"), "pvc://models/fraud/model.onnx"),
    "logs of nothing": (with_model(logging={}), "spec.logging: write level, accessLogShare or both"),
    "a level of another kind": (with_model(logging={"level": "debug"}), "spec.logging.level: Unsupported value"),
    "a share that is none": (with_model(logging={"accessLogShare": "0.5"}), "accessLogShare: write a percentage"),
    "a share of too much": (with_model(logging={"accessLogShare": "101%"}), "accessLogShare: write a percentage"),
    "an slo of nothing": (with_model(slo={}), "write availability, latency or both"),
    "an slo without failures": (with_model(slo={"availability": "100%"}), "100% leaves no room"),
    "an slo of little": (with_model(slo={"availability": "49.9%"}), "slo.availability: write a percentage from 50%"),
    "an slo that is none": (with_model(slo={"availability": "0.999"}), "slo.availability: write a percentage"),
    "an slo without an objective": (latency_of(threshold="1s"), "spec.slo.latency.objective: Required"),
    "an slo without a threshold": (latency_of(objective="99%"), "spec.slo.latency.threshold: Required"),
    "an slo of hours": (latency_of(threshold="1h", objective="99%"), "latency.threshold: write a duration up to 5m"),
    "an slo of no time": (latency_of(threshold="0ms", objective="99%"), "latency.threshold: write a duration up to 5m"),
    "an slo for all": (latency_of(threshold="1s", objective="100%"), "latency.objective: write a percentage"),
    "a cache without a claim": (model(cache={}), "cache.claim: Required value"),
    "a cache that is no claim's name": (model(cache={"claim": "My_Claim"}), "name of a PersistentVolumeClaim"),
    "a small cache": (model(cache={"claim": "c", "size": "1Mi"}), "write a size of 64Mi or more"),
    "a cache of no size": (model(cache={"claim": "c", "size": "much"}), "write a size of 64Mi or more"),
    "a stage of a registry": (model("models:/fraud/Production"), "name an alias, a version by its number"),
    "the latest of a registry": (model("models:/fraud/latest"), "stages, and latest, are not followed"),
    "a model without a version": (model("models:/fraud"), "name an alias, a version by its number"),
    "a model with two slashes": (model("models://fraud@champion"), "name an alias, a version by its number"),
    "a run without a path": (model(f"runs:/{'0' * 32}"), "name a run and what it logged"),
    "a group that is none": (model("sagemaker://fraud_2"), "name a model package group"),
    "a version that is none": (model("sagemaker://fraud/latest"), "name a model package group"),
    "another ARN": (model("arn:aws:s3:::models/fraud"), "name a model package of SageMaker"),
    "the alias that is followed": (
        promotes("models:/fraud@champion"), "must not move the alias that",
    ),
    "the alias that is followed, for a database that knows no case": (
        promotes("models:/fraud@Champion", "chamPION"), "must not move the alias that",
    ),
    "an alias for no registered model": (
        promotes("models:/m-0123456789abcdef"), "only a version of a registered model",
    ),
    "an alias for an address": (rollout(promotedAlias="champion"), "only a version of a registered model of MLflow"),
    "an alias for a package": (
        promotes("sagemaker://fraud"), "only a version of a registered model",
    ),
    "a promoted alias with a blank": (
        promotes("models:/fraud@a", "the best"), "spec.rollout.promotedAlias: write letters",
    ),
    "a promoted alias of MLflow's own": (
        promotes("models:/fraud@a", "LATEST"), "are MLflow's own",
    ),
    "a variant of a registry": (
        variants({"name": "b", "model": {"uri": "models:/fraud@b"}}), "a variant's model is not resolved by a registry",
    ),
    "a bare path": (model("/models/m.onnx"), "for example s3://models/fraud/3/model.onnx"),
    "plain http": (model("http://host/m.onnx"), "pin the artifact with spec.model.digest"),
    "white space": (model("s3://models/my model.onnx"), "write %20 for a blank"),
    "a line break": (model("s3://models/m\n.onnx"), "white space"),
    "credentials in the address": (model("https://user:secret@host/m.onnx"), "spec.model.credentialsSecret"),
    "a presigned URL": (model("https://host/m.onnx?X-Amz-Signature=abc"), "a presigned URL expires"),
    "a signed URL of Azure": (model("https://host/m.onnx?sv=1&sig=abc"), "a presigned URL expires"),
    "no file in https": (model("https://host/"), "name a host and a file"),
    "no host in https": (model("https:///m.onnx"), "name a host and a file"),
    "no key in s3": (model("s3://models"), "name a bucket"),
    "an upper-case bucket": (model("s3://Models/m.onnx"), "name a bucket (3 to 63 lower-case letters"),
    "a short bucket": (model("s3://ab/m.onnx"), "name a bucket (3 to 63 lower-case letters"),
    "no path in pvc": (model("pvc://claim"), "name a PersistentVolumeClaim"),
    "a bad claim": (model("pvc://My_Claim/m.onnx"), "name a PersistentVolumeClaim"),
    "an image without a repository": (model("oci://registry.example.com"), "name a registry, a repository"),
    "an image with a login": (model("oci://me:secret@registry.example.com/a:1"), "name a registry, a repository"),
    "dots": (model("pvc://claim/../m.onnx"), "'..' is not allowed"),
    "a folder": (model("s3://models/fraud/", format="onnx"), "leave that out, for a folder, too"),
    "a too long uri": (model("s3://models/" + "a" * 1100 + ".onnx"), "Too long"),
    "an unknown format": (model(format="tensorflow"), "write auto, onnx, sklearn, skops, xgboost"),
    "onnx called sklearn": (model(format="sklearn"), "promises another format; set format to auto"),
    "pickle called onnx": (model("s3://models/m.pkl", format="onnx"), "promises another format"),
    "skops called sklearn": (model("s3://models/m.skops", format="sklearn"), "promises another format"),
    "torchscript called bundle": (model("s3://models/m.pt?v=1", format="bundle"), "promises another format"),
    "a digest without its kind": (model(digest="0123456789abcdef" * 4), "write sha256: followed by"),
    "a short digest": (model(digest="sha256:0123"), "write sha256: followed by"),
    "an upper-case digest": (model(digest=DIGEST.upper()), "write sha256: followed by"),
    "credentials for https": (
        model("https://host/m.onnx", credentialsSecret={"name": "s"}), "only s3:// and oci:// read credentials",
    ),
    "credentials without a name": (model(credentialsSecret={}), "credentialsSecret.name: Required value"),
    "credentials with a bad name": (model(credentialsSecret={"name": "My_Secret"}), "write the name of a Secret"),
    "another optimise": (model(optimise="On"), "write Auto or Off"),
    "a timeout without a unit": (with_model(server={"timeout": "30"}), "write a duration up to 5m"),
    "a timeout of nothing": (with_model(server={"timeout": "0s"}), "write a duration up to 5m"),
    "a timeout beyond the router's": (with_model(server={"timeout": "6m"}), "write a duration up to 5m"),
    "a request size that is none": (with_model(server={"maxRequestSize": "big"}), "write a size from 1Ki"),
    "a tiny request size": (with_model(server={"maxRequestSize": "1"}), "write a size from 1Ki"),
    "no rows": (with_model(server={"maxRows": 0}), "spec.server.maxRows: write 1 or more"),
    "negative waiting": (with_model(server={"maxWaiting": -1}), "spec.server.maxWaiting: write 0"),
    "batches of nothing": (with_model(server={"batching": {"maxRows": 0}}), "write 1 (no batching) or more"),
    "a long delay": (with_model(server={"batching": {"maxDelay": "2s"}}), "write a duration up to 1s"),
    "an origin with a path": (with_model(server={"allowOrigins": ["https://a.example/"]}), "write origins such as"),
    "every origin and one": (with_model(server={"allowOrigins": ["*", "https://a.example"]}), "or * alone"),
    "no replicas": (with_model(replicas=0), "delete the ModelDeployment"),
    "too many replicas": (with_model(replicas=2000), "use several ModelDeployments"),
    "replicas as a text": (with_model(replicas="two"), "must be of type integer"),
    "memory without a unit": (with_model(resources={"limits": {"memory": "512"}}), "did you forget the unit"),
    "memory in thousandths": (with_model(resources={"limits": {"memory": "512m"}}), "did you forget the unit"),
    "a word for a quantity": (with_model(resources={"limits": {"cpu": "much"}}), "write quantities such as 500m"),
    "a negative quantity": (with_model(resources={"limits": {"cpu": "-1"}}), "write quantities such as 500m"),
    "an unknown resource": (with_model(resources={"limits": {"gpu": "1"}}), "such as nvidia.com/gpu"),
    "more requested than allowed": (
        with_model(resources={"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}), "larger than its limit",
    ),
    "a bad service account": (with_model(serviceAccountName="My Account"), "write the name of a ServiceAccount"),
    "no router": (with_model(router={"replicas": 0}), "without a router nobody reaches the model"),
    "a service that is none": (
        with_model(router={"service": {"type": "ExternalName"}}), "write ClusterIP, NodePort or",
    ),
    "a load balancer's class without one": (
        with_model(router={"service": {"loadBalancerClass": "x/y"}}), "are of the type LoadBalancer",
    ),
    "a load balancer's sources that are none": (
        with_model(router={"service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["everybody"]}}),
        "write ranges such as 10.0.0.0/8",
    ),
    "traffic of nodes without their ports": (
        with_model(router={"service": {"externalTrafficPolicy": "Local"}}), "of the types NodePort and LoadBalancer",
    ),
    "a family that is none": (with_model(router={"service": {"ipFamilies": ["IPv5"]}}), "write IPv4, IPv6 or both"),
    "two families in one stack": (
        with_model(router={"service": {"ipFamilies": ["IPv4", "IPv6"]}}), "two families need ipFamilyPolicy",
    ),
    "an annotation of ours on the service": (
        with_model(router={"service": {"annotations": {"modelward.io/routes": "{}"}}}), "not yours to write",
    ),
    "a template of pods behind a gateway": (
        with_model(router={"template": {}, "gateway": {"parentRefs": [{"name": "public"}]}}),
        "behind a Gateway there are none",
    ),
    "a service behind a gateway": (
        with_model(router={"service": {}, "gateway": {"parentRefs": [{"name": "public"}]}}),
        "behind a Gateway there is none",
    ),
    "too many routers": (with_model(router={"replicas": 101}), "a number from 1 to 100"),
    "a router that asks for too much": (
        with_model(router={"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}), "larger than its limit",
    ),
    "an unknown strategy": (rollout(strategy="Rolling"), "write Canary, BlueGreen, Shadow or Immediate"),
    "a step without a weight": (rollout(steps=[{"hold": "1m"}]), "spec.rollout.steps[0].weight: Required value"),
    "a step of nothing": (rollout(steps=[{"weight": 0}]), "spec.rollout.steps.weight: write a number from 1 to 100"),
    "a step of too much": (rollout(steps=[{"weight": 101}]), "spec.rollout.steps.weight: write a number from 1 to 100"),
    "no steps": (rollout(steps=[]), "should have at least 1 items"),
    "a hold without a unit": (
        rollout(steps=[{"weight": 5, "hold": "90"}]), "spec.rollout.steps.hold: write a duration",
    ),
    "a step without pods": (
        rollout(steps=[{"weight": 5, "replicas": 0}]), "spec.rollout.steps.replicas: write a number",
    ),
    "a preview without an end": (
        rollout(blueGreen={"hold": "48h"}), "spec.rollout.blueGreen.hold: write a duration up to",
    ),
    "the old one kept in words": (rollout(blueGreen={"keep": "long"}), "spec.rollout.blueGreen.keep: write a duration"),
    "more than all copied": (
        rollout(blueGreen={"mirrorPercent": 200}), "blueGreen.mirrorPercent: write a number from 0",
    ),
    "a shadow of nothing": (
        rollout(shadow={"percent": 0}), "spec.rollout.shadow.percent: write a number from 1 to 100",
    ),
    "a shadow of no requests": (rollout(shadow={"requests": 0}), "spec.rollout.shadow.requests: write a number from 1"),
    "a shadow of no time": (rollout(shadow={"duration": "0s"}), "spec.rollout.shadow.duration: write a duration"),
    "a shadow that decides": (rollout(shadow={"then": "Decide"}), "spec.rollout.shadow.then: write Promote or Report"),
    "a margin without a percent sign": (
        gates(errorRate={"margin": "0.5"}), "write a percentage from 0% to 100%, such as",
    ),
    "a margin of refusals without a percentage": (
        gates(refusals={"margin": "1"}), "gates.refusals.margin: write a percentage from 0% to 100%, such as",
    ),
    "a margin of too much": (gates(errorRate={"margin": "200%"}), "gates.errorRate.margin: write a percentage"),
    "latency without an objective": (gates(latency={}), "spec.rollout.gates.latency.slo: Required value"),
    "an objective of nothing": (gates(latency={"slo": "0ms"}), "spec.rollout.gates.latency.slo: write a duration"),
    "disagreement without a limit": (gates(disagreement={}), "spec.rollout.gates.disagreement.max: Required value"),
    "a tolerance in words": (gates(disagreement={"max": "5%", "tolerance": "some"}), "disagreement.tolerance: write a"),
    "nothing to compare": (
        gates(disagreement={"max": "5%", "mirrorPercent": 0}), "mirrorPercent: write a number from 1",
    ),
    "a metric without bounds": (gates(metrics=[{"name": "m", "query": "up"}]), "metrics: write min, max or both"),
    "a bound that is no number": (
        gates(metrics=[{"name": "m", "query": "up", "min": "many"}]), "write a number in quotes, such as '0.95'",
    ),
    "two metrics of one name": (
        gates(metrics=[{"name": "m", "query": "up", "min": "1"}] * 2), "Duplicate value",
    ),
    "a metric that never fails": (
        gates(metrics=[{"name": "m", "query": "up", "min": "1", "failureLimit": 0}]), "failureLimit: write a number",
    ),
    "no samples": (gates(minSamples=0), "spec.rollout.gates.minSamples: write a number from 1"),
    "a step without an end": (gates(maxDuration="0s"), "spec.rollout.gates.maxDuration: write a duration"),
    "an unknown way out": (gates(onNoData="Guess"), "spec.rollout.gates.onNoData: write Hold, Fail or Pass"),
    "another end of a failure": (rollout(onFailure="Ignore"), "spec.rollout.onFailure: write Rollback or Pause"),
    "no time to start": (rollout(startDeadline="0s"), "spec.rollout.startDeadline: write a duration"),
    "too long a history": (with_model(revisionHistoryLimit=11), "revisionHistoryLimit: write a number from 0 to 10"),
    "sticky by both": (
        with_model(traffic={"stickyBy": {"header": "a", "cookie": "b"}}), "write header or cookie, one of them",
    ),
    "sticky by nothing": (with_model(traffic={"stickyBy": {}}), "write header or cookie, one of them"),
    "a header with a colon": (
        with_model(traffic={"stickyBy": {"header": "a:"}}), "write the name of a header or cookie",
    ),
    "a match without a value": (with_model(traffic={"match": [{"header": "a"}]}), "match[0].value: Required value"),
    "no time for a request": (with_model(traffic={"timeout": "0s"}), "spec.traffic.timeout: write a duration"),
    "too many retries": (with_model(traffic={"retries": 11}), "spec.traffic.retries: write a number from 0 to 10"),
    "variants that take everything": (
        variants({"name": "b", "weight": 60}, {"name": "c", "weight": 40}), "100 or more",
    ),
    "a variant called candidate": (variants({"name": "candidate"}), "are names of the rollout"),
    "a variant with a long name": (variants({"name": "a-second-choice"}), "may not be more than 11"),
    "a variant in upper case": (variants({"name": "B"}), "spec.variants.name: write at most 11 lower-case letters"),
    "two variants of one name": (variants({"name": "b"}, {"name": "b"}), "Duplicate value"),
    "a variant with a bad model": (
        with_model(variants=[{"name": "b", "model": {"uri": "ftp://x/y"}}]), "start it with https://, s3://, pvc:// or oci://",
    ),
    "nothing sampled": (with_model(monitor={"samplingFraction": "0%"}), "monitor.samplingFraction: write a percentage"),
    "too few rows to learn from": (with_model(monitor={"learnRows": 10}), "monitor.learnRows: write a number from 100"),
    "too many rows to learn from": (with_model(monitor={"learnRows": 50001}), "monitor.learnRows: write a number from"),
    "no feature shown": (with_model(monitor={"topFeatures": 0}), "monitor.topFeatures: write a number from 1"),
    "a window of no time": (with_model(monitor={"window": {"duration": "0s"}}), "monitor.window.duration: write a"),
    "a window of no rows": (with_model(monitor={"window": {"minSamples": 0}}), "monitor.window.minSamples: write a"),
    "a monitor without a unit": (
        with_model(monitor={"resources": {"limits": {"memory": "512"}}}), "did you forget the unit",
    ),
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
    "outcomes without a log": (
        gates(quality=JUDGED), "spec.rollout.gates.quality: outcomes are joined with what each arm answered",
    ),
    "outcomes that come when the log is gone": (
        judged(log={"retention": "30d"}, labelWindow="30d"), "so that none would ever mature; write a longer retention",
    ),
    "outcomes of nothing": (judged(task=None), "quality.task: Required value"),
    "nothing judged": (judged(metrics=None), "write metrics, business or both"),
    "no metric judged": (judged(metrics=[]), "write metrics, business or both"),
    "a metric of another task": (measured("rmse"), "write a metric of the task that has an interval and a better side"),
    "a metric with no better side": (measured("selectionRate", positive="1"), "an interval and a better side"),
    "a metric without an interval": (measured("calibrationError"), "an interval and a better side"),
    "a metric about no label": (measured("recall"), "are about one label"),
    "a metric of no scores": (measured("rocAuc", positive="1"), "are made of scores"),
    "a margin that is none": (judged(metrics=[{"name": "accuracy", "margin": "1%"}]), "write a margin as a number in"),
    "a margin below nothing": (judged(metrics=[{"name": "accuracy", "margin": "-1"}]), "write a margin as a number in"),
    "no margin": (judged(metrics=[{"name": "accuracy"}]), "margin: Required value"),
    "too few outcomes": (judged(minSamples=199), "quality.minSamples: write a number from 200"),
    "looks in haste": (judged(every="30s"), "quality.every: write a period from 1m"),
    "patience that is over before the first outcome": (
        judged(labelWindow="7d", maxDuration="168h"), "quality.maxDuration: write a period longer than labelWindow",
    ),
    "what nobody waits at": (judged(waitAt="Never"), "quality.waitAt: write EveryStep or LastStep"),
    "a table with a password": (
        judged(outcomes={"table": {"url": "postgres://me:secret@db/claims", "name": "t"}}), "leave the password out",
    ),
    "a key that is none": (model(signature={"publicKey": "ssh-ed25519 AAAA"}), "publicKey: write the key in PEM"),
    "a private key": (model(signature={"publicKey": PEM.replace("PUBLIC", "PRIVATE")}), "write the key in PEM"),
    "a signature of nobody": (model(signature={}), "signature.publicKey: Required value"),
    "TLS behind a gateway": (
        with_model(router={"gateway": {"parentRefs": [{"name": "public"}]}, "tls": {"secretName": "fraud-tls"}}),
        "behind a Gateway it is the Gateway's listener",
    ),
    "TLS without a Secret": (with_model(router={"tls": {}}), "tls.secretName: Required value"),
    "TLS with a path": (with_model(router={"tls": {"secretName": "../x"}}), "write the name of a Secret"),
    "a gateway without a parent": (with_model(router={"gateway": {}}), "gateway.parentRefs: Required value"),
    "a field that does not exist": (with_model(replica=3), 'unknown field "spec.replica"'),
    "a misspelt nested field": (model(URI="x"), 'unknown field "spec.model.URI"'),
}  # fmt: skip

BAD_NAMES = ["3fraud", "fraud.v2", "a" * 41]

GOOD: dict[str, Object] = {
    "an alias that moves with the promotion": promotes("models:/fraud@challenger"),
    "an alias for a version": promotes("models:/fraud/3"),
    "an alias that ends as the one that is followed": promotes("models:/fraud@the-champion"),
    "the least": model(),
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
    "a load balancer": with_model(
        router={
            "service": {
                "type": "LoadBalancer",
                "annotations": {"example.com/scheme": "internal"},
                "loadBalancerClass": "example.com/nlb",
                "loadBalancerSourceRanges": ["10.0.0.0/8", "fd00::/8"],
                "externalTrafficPolicy": "Local",
                "ipFamilyPolicy": "PreferDualStack",
                "ipFamilies": ["IPv4", "IPv6"],
            },
        },
    ),
    "https": model("https://models.example.com/fraud/model.onnx"),
    "https with a port and a query": model("https://host:8443/m.onnx?version=3"),
    "http with a digest": model("http://store/m.onnx", digest=DIGEST),
    "an image by tag": model("oci://registry.example.com:5000/team/fraud:3"),
    "an image by digest": model("oci://registry.example.com/fraud@sha256:" + 64 * "0"),
    "a claim": model("pvc://claim/folder/m.joblib"),
    "a pickle": model("s3://models/m.pickle", format="sklearn"),
    "an explicit format without an ending": model("s3://models/fraud/latest", format="onnx"),
    "nothing that tells the format": model("s3://models/fraud"),
    "a saved bundle": model("s3://models/fraud.tar"),
    "each format by its name": model("s3://models/fraud.txt", format="lightgbm"),
    "credentials": model(credentialsSecret={"name": "s3-credentials"}),
    "an address beside a registry, as the model of a run is": model(registry="mlflow"),
    "an alias": model("models:/fraud@champion", registry="mlflow"),
    "an alias in a catalog": model("models:/prod.risk.fraud@champion"),
    "a version": model("models:/fraud/3", credentialsSecret={"name": "s3-credentials"}),
    "a logged model": model("models:/m-8c84c5391f1e44749fd4b11b3ac7128b", digest=DIGEST),
    "a run": model(f"runs:/{'0' * 32}/model"),
    "a group": model("sagemaker://fraud"),
    "a package": model("sagemaker://fraud/3"),
    "a package by its ARN": model("arn:aws:sagemaker:eu-west-1:123456789012:model-package/fraud/3"),
    "resources": with_model(
        resources={"requests": {"cpu": 1, "memory": "1Gi"}, "limits": {"cpu": "1500m", "nvidia.com/gpu": 1}}
    ),
    "the same quantity written otherwise": with_model(
        resources={"requests": {"memory": "1024Mi"}, "limits": {"memory": "1Gi"}}
    ),
    "the original as it is": model(optimise="Off"),
    "the server's settings": with_model(
        server={
            "timeout": "500ms",
            "maxRequestSize": 1048576,
            "maxRows": 1000,
            "maxWaiting": 0,
            "batching": {"maxRows": 64, "maxDelay": "0ms"},
            "allowOrigins": ["https://app.example.com", "http://localhost:3000", "http://[::1]:80"],
        }
    ),
    "every web page": with_model(server={"allowOrigins": ["*"]}),
    "a rollout with nothing said": rollout(),
    "a canary with everything": rollout(
        strategy="Canary",
        steps=[{"weight": 1, "hold": "0s"}, {"weight": 100, "hold": "24h", "replicas": 3}],
        gates={
            "errorRate": {},
            "refusals": {"margin": "0.5%"},
            "latency": {"slo": "50ms", "margin": "0.25%"},
            "disagreement": {"max": "0%"},
            "metrics": [{"name": "revenue", "query": "sum(up)", "min": "-1.5", "max": "2"}],
            "minSamples": 1,
            "maxDuration": "168h",
            "onNoData": "Pass",
        },
        onFailure="Pause",
        startDeadline="1h",
    ),
    "blue-green": rollout(strategy="BlueGreen", blueGreen={"hold": "5m", "keep": "0s", "mirrorPercent": 100}, gates={}),
    "a shadow that reports": rollout(strategy="Shadow", shadow={"percent": 1, "duration": "1h", "then": "Report"}),
    "arms": {
        **variants({"name": "b", "weight": 99}, {"name": "dark", "mirrorPercent": 100, "replicas": 1}),
        "traffic": {"stickyBy": {"cookie": "visitor"}, "match": [{"header": "x-b", "value": "1", "to": "b"}]},
    },
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
    "a bucket with an underscore, as Google has them": model("s3://my_models/m.onnx"),
    "an objective": with_model(slo={"availability": "99.9%"}),
    "objectives": with_model(slo={"availability": "99.9999%", "latency": {"threshold": "200ms", "objective": "50%"}}),
    "a cache": model(cache={"claim": "shared"}),
    "a cache with a size": model(cache={"claim": "shared.cache-1", "size": "50Gi"}),
    "a cache with a size in bytes": model(cache={"claim": "shared", "size": 1 << 30}),
    "a log": with_model(monitor={}, predictionLog={"uri": "pvc://data"}),
    "a gate on outcomes": judged(),
    "a gate on outcomes with everything": judged(
        log={"retention": "90d"},
        task={"kind": "Classes", "label": "l", "score": "s", "positive": "1", "threshold": "0.3"},
        outcomes={
            "uri": "s3://lake/told",
            "credentialsSecret": {"name": "s3"},
            "absent": "0",
            "columns": {"value": "v"},
        },
        labelWindow="60d",
        metrics=[{"name": name, "margin": "0"} for name in ("rocAuc", "recall", "brier")],
        business={"expression": "outcome", "margin": "12.5"},
        minSamples=1000,
        every="90m",
        days=366,
        maxDuration="1441h",
        onNoData="Fail",
        waitAt="LastStep",
        memory="4Gi",
        deadline="2h",
    ),
    "a gate on what rows are worth": judged(
        metrics=None, task={"kind": "Numbers", "value": "v"}, business={"expression": "outcome", "margin": "0"}
    ),
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
    "signed": model(signature={"publicKey": PEM}),
    "signed, by a key with other ends of lines": model(signature={"publicKey": PEM.replace("\n", "\r\n")}),
    "with TLS": with_model(router={"tls": {"secretName": "fraud-tls"}}),
    "behind a gateway": with_model(router={"gateway": {"parentRefs": [{"name": "public", "namespace": "infra"}]}}),
    "everything": with_model(
        replicas=3,
        serviceAccountName="cloud",
        server={"timeout": "5m", "maxRequestSize": "64Mi"},
        router={"replicas": 1, "resources": {"limits": {"cpu": "1"}}},
    ),
}


def create(cluster: Cluster, spec: Object, name: str = "fraud") -> tuple[bool, str]:
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec,
    }  # fmt: skip
    return cluster.create(body, "default", dry_run=True)


def test_the_table_is_long_enough() -> None:
    assert len(BAD) >= 30


@pytest.mark.parametrize("case", BAD)
def test_a_bad_spec_is_refused_with_the_right_sentence(cluster: Cluster, case: str) -> None:
    spec, sentence = BAD[case]
    taken, answer = create(cluster, spec)
    assert not taken
    assert sentence in answer


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_no_service_can_have_is_refused(cluster: Cluster, name: str) -> None:
    taken, answer = create(cluster, model(), name)
    assert not taken
    assert "it becomes the name of a Service" in answer


@pytest.mark.parametrize("name", ["fraud-0123456789", "fraud-b-abcdefabcd", "fraud-router", "fraud-monitor"])
def test_a_name_that_is_made_for_another_model_is_refused(cluster: Cluster, name: str) -> None:
    taken, answer = create(cluster, model(), name)
    assert not taken
    assert "are those of objects" in answer
    assert "that are made for other ModelDeployments" in answer


@pytest.mark.parametrize("name", ["fraud-012345678", "fraud-0123456789g", "routers", "router", "model-server"])
def test_a_name_that_nothing_is_made_under_is_taken(cluster: Cluster, name: str) -> None:
    taken, answer = create(cluster, model(), name)
    assert taken, answer


def test_a_model_that_had_such_a_name_before_goes_on(cluster: Cluster, namespace: str) -> None:
    crd, name = "modeldeployments.modelward.io", "fraud-0123456789"
    rules = "/spec/versions/0/schema/openAPIV3Schema/x-kubernetes-validations/1"
    cluster.kubectl("patch", f"crd/{crd}", "--type=json", "-p", json.dumps([{"op": "remove", "path": rules}]))
    try:
        until(lambda: create(cluster, model(), name)[0])
        body = {
            "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": name},
            "spec": model(),
        }  # fmt: skip
        cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(body))
    finally:
        cluster.install(crd, "-k", str(cluster.repository / "crds"), "--force-conflicts")
    until(lambda: not create(cluster, model(), name)[0])
    cluster.kubectl("patch", f"md/{name}", "-n", namespace, "--type=merge", "-p", '{"spec":{"replicas":2}}')
    status = '{"status":{"observedGeneration":2}}'
    cluster.kubectl("patch", f"md/{name}", "-n", namespace, "--subresource=status", "--type=merge", "-p", status)


def until(holds: Callable[[], bool]) -> None:
    """The API server takes up a changed CRD when it has seen it."""
    end = time.monotonic() + 30.0
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("case", GOOD)
def test_a_good_spec_is_taken(cluster: Cluster, case: str) -> None:
    taken, answer = create(cluster, GOOD[case])
    assert taken, answer


def test_what_the_examples_show_is_taken(cluster: Cluster) -> None:
    found = 0
    for path in (cluster.repository / "examples").rglob("*.yaml"):
        if "kind: ModelDeployment" in path.read_text():
            found += 1
            cluster.kubectl("apply", "--dry-run=server", "-f", str(path))
    assert found >= 4


def test_defaults_and_scale(cluster: Cluster, namespace: str) -> None:
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment",
        "metadata": {"name": "fraud"}, "spec": model(),
    }  # fmt: skip
    cluster.kubectl("create", "-n", namespace, "-f", "-", stdin=json.dumps(body))
    stored = cluster.get("md", "fraud", "-n", namespace)["spec"]
    assert (stored["replicas"], stored["router"]["replicas"], stored["model"]["format"]) == (1, 2, "auto")
    assert "rollout" not in stored, "without it, the traffic moves as soon as the new revision answers"
    cluster.kubectl("scale", "md/fraud", "-n", namespace, "--replicas=4")
    refused = cluster.run("scale", "md/fraud", "-n", namespace, "--replicas=0")
    assert "to stop serving, delete the ModelDeployment" in refused.stderr
    assert cluster.get("md", "fraud", "-n", namespace)["spec"]["replicas"] == 4
    assert "modeldeployment.modelward.io/fraud" in cluster.kubectl("get", "modelward", "-n", namespace, "-o", "name")
