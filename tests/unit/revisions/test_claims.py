"""No pod names a claim twice: the kubelet would mount one of the two."""

import dataclasses
from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api.modeldeployment import Model, Monitor, PredictionLog, SharedCache
from modelward.platform import Platform
from modelward.revisions.deployment import shape
from modelward.revisions.pods.cache_mounts import claim_in
from modelward.revisions.pods.claims import each_once

CACHED: Platform = dataclasses.replace(PLATFORM, caches=("shared",))


def pod(**spec: Any) -> Any:
    model = Model("pvc://shared/m.onnx", cache=SharedCache("shared", "1Gi"))
    given = owner(**{"model": model, "monitor": Monitor(), "prediction_log": PredictionLog("pvc://shared/log"), **spec})
    return shape(given, CACHED, "fraud-a").template


def claims(template: Any) -> list[dict[str, Any]]:
    return [each for each in template["spec"]["volumes"] if "persistentVolumeClaim" in each]


def mounts(template: Any, name: str) -> list[tuple[str, str, bool]]:
    spec = template["spec"]
    return [
        (container["name"], mount["mountPath"], bool(mount.get("readOnly")))
        for container in (*spec["initContainers"], *spec["containers"])
        for mount in container["volumeMounts"]
        if mount["name"] == name
    ]


def test_cache_log_and_model_in_one_claim_are_one_volume() -> None:
    template = pod()
    (volume,) = claims(template)
    assert volume["persistentVolumeClaim"] == {"claimName": "shared"}, "which is written to"
    assert claim_in(template) == "shared", "and is still known for the cache"
    apart = pod(prediction_log=PredictionLog("pvc://log/log"), model=Model("pvc://models/m.onnx"))
    names = {each["name"] for each in claims(apart)}
    wanted = sorted(each for name in names for each in mounts(apart, name))
    cache = [each for each in mounts(template, volume["name"]) if "cache" in each[1]]
    assert cache
    assert sorted(set(mounts(template, volume["name"])) - set(cache)) == wanted, "mounted where each was, for as much"


def test_a_teams_own_volume_of_it_is_the_same_too() -> None:
    own = {"name": "own", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}}
    side = {"name": "side", "image": "i:1", "volumeMounts": [{"name": "own", "mountPath": "/own"}]}
    template = pod(
        model=Model("pvc://models/m.onnx"), prediction_log=None,
        template={"spec": {"volumes": [own], "containers": [side]}},
    )  # fmt: skip
    (volume,) = claims(template)
    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    assert ("side", "/own", True) in mounts(template, volume["name"])


@pytest.mark.parametrize("kind", ["initContainers", "containers"])
def test_who_reads_only_goes_on_doing_so(kind: str) -> None:
    read = {"name": "a", "persistentVolumeClaim": {"claimName": "c", "readOnly": True}}
    write = {"name": "b", "persistentVolumeClaim": {"claimName": "c"}}
    container = {"name": "x", "volumeMounts": [{"name": "a", "mountPath": "/a"}, {"name": "b", "mountPath": "/b"}]}
    found = each_once({"containers": [], kind: [container], "volumes": [read, {"name": "tmp", "emptyDir": {}}, write]})
    assert found["volumes"] == [
        {"name": "a", "persistentVolumeClaim": {"claimName": "c"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    assert found[kind][0]["volumeMounts"] == [
        {"name": "a", "mountPath": "/a", "readOnly": True}, {"name": "a", "mountPath": "/b"},
    ]  # fmt: skip


def test_other_pods_stay_to_the_byte_what_they_are() -> None:
    pod = {
        "containers": [{"name": "x"}], "initContainers": [],
        "volumes": [{"name": n, "persistentVolumeClaim": {"claimName": n}} for n in "ab"],
    }  # fmt: skip
    assert each_once(pod) == pod
