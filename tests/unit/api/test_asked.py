"""What a user wrote of pods, kept and read again."""

from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api.asked import as_asked, asked_of
from modelward.api.modeldeployment import (
    Batching,
    LatencyObjective,
    Logging,
    Model,
    Monitor,
    MonitorWindow,
    Resources,
    SecretReference,
    Server,
    Signature,
    Slo,
    Spec,
    parse,
)
from modelward.revisions.deployment import intent_of, name_of, shape
from modelward.routing.envoy import objects as envoy

SPECS: dict[str, dict[str, Any]] = {
    "little": {},
    "a model": {
        "model": Model(
            "s3://m/a", "onnx", "sha256:" + "0" * 64, optimise="Off", credentials_secret=SecretReference("s3"),
            signature=Signature("PEM"),
        ),
    },
    "resources": {"resources": Resources({"cpu": 1, "memory": "1Gi"}, {"memory": "2Gi"})},
    "a server": {"server": Server("9s", "5Mi", 7, 8, Batching(3, "2ms"), ("https://a.example",))},
    "an account": {"service_account_name": "cloud"},
    "a monitor of defaults": {"monitor": Monitor()},
    "a monitor": {"monitor": Monitor("5%", 1000, 3, MonitorWindow("2h", 9), Resources(limits={"memory": "1Gi"}))},
}  # fmt: skip


@pytest.mark.parametrize("what", SPECS)
def test_it_is_read_as_it_was_written(what: str) -> None:
    wrote = owner(**SPECS[what])
    asked = asked_of(wrote.spec, wrote.spec.model)
    other = Spec(Model("s3://other"), replicas=9, server=Server(max_rows=1), monitor=Monitor())
    read = as_asked(other, asked)
    assert read is not None
    assert (read.model, read.resources, read.server) == (wrote.spec.model, wrote.spec.resources, wrote.spec.server)
    assert (read.service_account_name, read.monitor) == (wrote.spec.service_account_name, wrote.spec.monitor)
    assert read.replicas == 9, "the rest is what spec says now"


@pytest.mark.parametrize("asked", [{}, {"model": {}}, {"model": 5}, {"model": {"uri": "s3://a"}, "monitor": 5}])
def test_what_can_not_be_read_is_none(asked: Any) -> None:
    assert as_asked(Spec(Model("s3://a")), asked) is None


def test_the_hash_of_it_is_that_of_earlier_operators() -> None:
    """It stands in the annotations of running models."""
    assert intent_of(owner()) == "c2c8e413a1"


def test_what_is_logged_is_no_part_of_what_pods_are() -> None:
    """They take it up while they run: whoever looks for an error would lose the pods that have it."""
    body = {"metadata": {"namespace": "ml", "name": "fraud", "uid": "uid-1"}, "spec": {"model": {"uri": "s3://m/a"}}}
    logging = {"level": "DEBUG", "accessLogShare": "1%"}
    before, after = parse(body), parse({**body, "spec": {**body["spec"], "logging": logging}})
    assert after.spec.logging == Logging("DEBUG", "1%")
    assert asked_of(after.spec, after.spec.model) == asked_of(before.spec, before.spec.model)
    assert (name_of(after), intent_of(after)) == (name_of(before), intent_of(before))
    assert shape(after, PLATFORM, "r") == shape(before, PLATFORM, "r")
    assert envoy.deployment(after, PLATFORM) == envoy.deployment(before, PLATFORM)


def test_an_objective_is_no_part_of_what_pods_are() -> None:
    """Of the servers' and the router's: an alert's threshold is no reason for a rollout."""
    slo = {"availability": "99.9%", "latency": {"threshold": "200ms", "objective": "99%"}}
    body = {"metadata": {"namespace": "ml", "name": "fraud", "uid": "uid-1"}, "spec": {"model": {"uri": "s3://m/a"}}}
    before, after = parse(body), parse({**body, "spec": {**body["spec"], "slo": slo}})
    assert after.spec.slo == Slo("99.9%", LatencyObjective("200ms", "99%"))
    assert parse({**body, "spec": {**body["spec"], "slo": {}}}).spec.slo == Slo()
    assert asked_of(after.spec, after.spec.model) == asked_of(before.spec, before.spec.model)
    assert (name_of(after), intent_of(after)) == (name_of(before), intent_of(before))
    assert envoy.deployment(after, PLATFORM) == envoy.deployment(before, PLATFORM)
    assert envoy.intent_of(after) == envoy.intent_of(before)
