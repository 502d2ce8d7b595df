"""Other servers than ours before a real API server: what it refuses in our words, and rollouts from one to another.

Pods, routers and traffic are pretended: no server runs here. tests/e2e/test_runtimes.py has a real one.
"""

from dataclasses import replace
from typing import Any

import pytest

from modelward.kube.resources import CONFIG_MAPS, DEPLOYMENTS
from modelward.routing.stored import load_routes
from modelward.runtime_files import presets
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import PLATFORM, operator, until
from nodeless.traffic import FakeTraffic

WITH_RUNTIMES = replace(PLATFORM, runtimes=presets(None))
CONTAINER: dict[str, Any] = {"image": "team/fraud:1", "readyPath": "/healthz"}
CANARY: dict[str, Any] = {"strategy": "Canary", "steps": [{"weight": 10, "hold": "0s"}, {"weight": 50, "hold": "0s"}]}
SLOW: dict[str, Any] = {**CANARY, "steps": [{"weight": 10, "hold": "1h"}]}


def written(**spec: Any) -> dict[str, Any]:
    model = spec.pop("model", {"uri": "s3://models/fraud/1/model.onnx"})
    return {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "metadata": {"name": "fraud"},
        "spec": {"model": model, **spec},
    }  # fmt: skip


GOOD: dict[str, dict[str, Any]] = {
    "a preset": {"runtime": {"name": "triton"}},
    "its arguments": {"runtime": {"name": "triton", "args": ["--log-verbose=1"]}},
    "a container": {"runtime": {"container": CONTAINER}},
    "of a protocol": {"runtime": {"container": {"image": "a", "protocol": "v2"}}},
    "all of a container": {"runtime": {"container": {
        **CONTAINER, "command": ["python"], "args": ["-m", "fraud", "--port=$(PORT)"], "protocol": "path", "grpc": True,
        "env": [{"name": "LEVEL", "value": "info"}], "livePath": "/livez", "metrics": "separate", "runAsUser": 1000,
        "readOnlyRootFilesystem": False,
    }}},
    "a model in its image": {"model": {"uri": "image://"}, "runtime": {"container": CONTAINER}},
    "gates of the router's": {"runtime": {"name": "triton"}, "rollout": {"gates": {
        "errorRate": {}, "latency": {"slo": "50ms"}, "metrics": [{"name": "m", "query": "up", "max": "1"}],
    }}},
    "a tap": {"runtime": {"name": "triton", "tap": {}}, "monitor": {}, "rollout": {
        "strategy": "Shadow", "gates": {"disagreement": {"max": "1%"}},
    }},
    "a tap of a size": {"runtime": {"container": {"image": "a", "protocol": "v1"}, "tap": {
        "maxBodySize": "4Mi", "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1"}},
    }}},
    "a shadow": {"runtime": {"name": "triton"}, "rollout": {"strategy": "Shadow"}},
    "a variant": {"runtime": {"name": "triton"},
                  "variants": [{"name": "b", "model": {"uri": "s3://models/b.onnx"}, "weight": 10}]},
}  # fmt: skip

BAD: dict[str, tuple[dict[str, Any], str]] = {
    "neither": ({"runtime": {}}, "spec.runtime: write name, of a preset, or container"),
    "both": ({"runtime": {"name": "triton", "container": CONTAINER}}, "and one of them alone"),
    "arguments beside a container": ({"runtime": {"container": CONTAINER, "args": ["-v"]}}, "container.args"),
    "a name that is none": ({"runtime": {"name": "Triton"}}, "write the name of a preset, such as triton"),
    "no path of readiness": ({"runtime": {"container": {"image": "a"}}}, "write the path that answers GET with 200"),
    "no path": ({"runtime": {"container": {**CONTAINER, "readyPath": "healthz"}}}, "write a path such as /healthz"),
    "a path that leads out": ({"runtime": {"container": {**CONTAINER, "livePath": "/../x"}}}, "write a path such as"),
    "a path with a query": ({"runtime": {"container": {**CONTAINER, "readyPath": "/x?y"}}}, "write a path such as"),
    "a protocol that is none": ({"runtime": {"container": {**CONTAINER, "protocol": "v3"}}}, "write v2, v1, "),
    "root": ({"runtime": {"container": {**CONTAINER, "runAsUser": 0}}}, "neither 0 (root) nor 65533"),
    "a variable of ours": (
        {"runtime": {"container": {**CONTAINER, "env": [{"name": "PORT", "value": "1"}]}}},
        "are the operator's to set",
    ),
    "a variable that is none": (
        {"runtime": {"container": {**CONTAINER, "env": [{"name": "a-b"}]}}}, "write letters, digits and '_'"
    ),
    "a privilege": ({"runtime": {"container": {**CONTAINER, "privileged": True}}}, "unknown field"),
    "a monitor without a tap": ({"runtime": {"name": "triton"}, "monitor": {}}, "add spec.runtime.tap, {} is enough"),
    "a tap before what nobody can read": (
        {"runtime": {"container": CONTAINER, "tap": {}}}, "it reads the protocols v2 and v1"
    ),
    "a tap of a model in its image": (
        {"model": {"uri": "image://"}, "runtime": {"container": {**CONTAINER, "protocol": "v2"}, "tap": {}}},
        "which is what makes the key that the pod is known by",
    ),
    "a tap that keeps too much": (
        {"runtime": {"name": "triton", "tap": {"maxBodySize": "1Gi"}}}, "write a size from 1Ki to 64Mi"
    ),
    "a tap with more than its limit": (
        {"runtime": {"name": "triton", "tap": {"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}}},
        "spec.runtime.tap.resources: a request is larger than its limit",
    ),
    "settings of our server": ({"runtime": {"name": "triton"}, "server": {"maxRows": 5}}, "it sets up Modelward's own"),
    "levels of our logs": (
        {"runtime": {"name": "triton"}, "logging": {"level": "DEBUG"}}, "spec.logging: it is taken up by Modelward's"
    ),
    "a Gateway": (
        {"runtime": {"name": "triton"}, "router": {"gateway": {"parentRefs": [{"name": "g"}]}}},
        "the model's own router is what gates are judged by",
    ),
    "disagreement without a tap": (
        {"runtime": {"name": "triton"}, "rollout": {"gates": {"disagreement": {"max": "1%"}}}},
        "spec.rollout.gates.disagreement: with spec.runtime it is a tap that keeps answers",
    ),
    "refusals": (
        {"runtime": {"name": "triton"}, "rollout": {"gates": {"refusals": {}}}},
        "spec.rollout.gates.refusals: it asks Modelward's own server",
    ),
    "a format": (
        {"model": {"uri": "s3://models/a", "format": "onnx"}, "runtime": {"name": "triton"}},
        "the files are the runtime's to know",
    ),
    "a model in no image": ({"model": {"uri": "image://"}}, "image:// is of a container of your own"),
    "a model in a preset's image": (
        {"model": {"uri": "image://"}, "runtime": {"name": "triton"}}, "image:// is of a container of your own"
    ),
    "an image as an address": (
        {"model": {"uri": "image://team/fraud:1"}, "runtime": {"container": CONTAINER}}, "and nothing behind it"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", GOOD)
def test_what_can_be_asked_for(cluster: Cluster, namespace: str, what: str) -> None:
    taken, said = cluster.create(written(**GOOD[what]), namespace, dry_run=True)
    assert taken, said


@pytest.mark.parametrize("what", BAD)
def test_what_needs_our_own_server_or_reaches_too_far_is_refused(cluster: Cluster, namespace: str, what: str) -> None:
    spec, sentence = BAD[what]
    taken, said = cluster.create(written(**spec), namespace, dry_run=True)
    assert not taken
    assert sentence in said, said


def rollout(model: Model) -> Any:
    return model.get().get("status", {}).get("rollout", {})


def routes(model: Model) -> Any:
    body = model.cluster.request("GET", CONFIG_MAPS.path(model.namespace, "fraud-router"))
    found = load_routes(body["metadata"]["annotations"]["modelward.io/routes"])
    assert found is not None
    return found[0]


async def test_from_one_server_to_another_by_the_routers_word(cluster: Cluster, model: Model) -> None:
    """A preset, then another version of it, then a container that fails: promoted, and rolled back."""
    traffic = FakeTraffic()
    async with operator(cluster, traffic=traffic, platform=WITH_RUNTIMES) as one:
        model.apply(version=1, runtime={"name": "triton"}, rollout=CANARY)
        await until(model.is_ready, "the first version")
        first = model.stable()["revision"]
        (name,) = [each.split("/")[1] for each in model.revisions()]
        made = cluster.request("GET", DEPLOYMENTS.path(model.namespace, name))["spec"]["template"]
        assert [each["name"] for each in made["spec"]["initContainers"]] == ["download"]
        assert made["spec"]["containers"][0]["command"] == ["tritonserver"]
        assert (model.stable()["runtime"], model.stable()["protocol"]) == ("triton", "v2")
        await until(lambda: model.kubelet.settle() or dict(routes(model).runtimes).get(first), "the router knows it")

        model.apply(version=1, runtime={"name": "triton", "args": ["--log-verbose=1"]}, rollout=CANARY)
        await until(lambda: model.is_ready() and model.stable()["revision"] != first, "other arguments, promoted", 60)
        shown = rollout(model)
        assert (shown["phase"], shown["from"]) == ("Promoted", first)
        assert [each["name"] for each in shown["gates"]] == ["errorRate"], "nobody asks what a model refused"
        second = model.stable()["revision"]

        model.apply(model={"uri": "image://"}, runtime={"container": CONTAINER}, rollout=SLOW)
        traffic.errors[
            await until(lambda: (model.get()["status"].get("candidate") or {}).get("revision"), "a candidate")
        ] = 0.2
        await until(lambda: model.kubelet.settle() or rollout(model).get("phase") == "RolledBack", "the rollback", 60)
        body = model.get()["status"]
        assert body["stable"]["revision"] == second
        assert rollout(model)["gates"][0]["verdict"] == "Fail"
        assert model.condition("Servable")["status"] == "True"
        await until(lambda: model.kubelet.settle() or one.is_idle(), "nothing left to do")
        before = one.api.writes
        await one.controller._first_sync()
        await until(one.is_idle, "an empty queue")
        assert one.api.writes == before


async def test_from_another_server_to_ours_the_gates_that_can_not_be_judged_are_told(
    cluster: Cluster, model: Model
) -> None:
    gates = {"errorRate": {}, "disagreement": {"max": "1%"}}
    async with operator(cluster, platform=WITH_RUNTIMES):
        model.apply(model={"uri": "image://"}, runtime={"container": CONTAINER}, rollout=SLOW)
        await until(model.is_ready, "a container")
        model.apply(version=2, rollout={**SLOW, "gates": gates})

        def told() -> bool:
            model.kubelet.settle()
            gates = [each["name"] for each in rollout(model).get("gates", ())]
            said = str(model.condition("Ready")["message"])
            return gates == ["errorRate"] and "disagreement can't be judged" in said

        await until(told, "that a gate is left out, and the others not", 60)
        model.apply(version=2, rollout=CANARY)
        await until(lambda: model.is_ready() and model.is_second(), "ours", 60)


async def test_a_preset_that_is_not_there_changes_nothing_of_what_runs(cluster: Cluster, model: Model) -> None:
    async with operator(cluster, platform=WITH_RUNTIMES):
        model.apply(version=1)
        await until(model.is_ready, "the first version")
        before = model.revisions()
        model.apply(version=1, runtime={"name": "tritn"})
        await until(lambda: model.condition("Stalled")["reason"] == "RuntimeUnknown", "it is told")
        assert model.revisions() == before
        assert model.condition("Servable")["status"] == "True"
