"""What a user's template makes of the operator's pods, and what it leaves of them."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api import pod_template as rules
from modelward.api.asked import as_asked, asked_of
from modelward.api.modeldeployment import (
    KeyReference,
    Model,
    Monitor,
    PredictionLog,
    Resources,
    Router,
    SecretReference,
    SharedCache,
    Tls,
)
from modelward.models.resolved import Access, ResolvedModel
from modelward.revisions import deployment as revision
from modelward.routing.envoy import objects as router
from pod_templates import METADATA, PLACED, RUNNING, WHOLE

CACHED = Model("s3://models/a.onnx", cache=SharedCache("shared"))
WITH_CACHE = replace(PLATFORM, caches=("shared",), ca_config_map="ca")
ALL_OF_OURS: dict[str, Any] = {
    "model": replace(CACHED, credentials_secret=SecretReference("s3")),
    "monitor": Monitor(),
    "prediction_log": PredictionLog(
        "pvc://logs/a", credentials_secret=SecretReference("log"), hash_key_secret=KeyReference("k")
    ),
}


def pod_of(platform: Any = PLATFORM, **spec: Any) -> dict[str, Any]:
    made: dict[str, Any] = revision.deployment(owner(**spec), platform, "fraud-a", 1)["spec"]["template"]
    return made


def by_name(items: Any) -> dict[str, Any]:
    return {each["name"]: each for each in items}


def test_without_a_template_nothing_is_otherwise() -> None:
    assert pod_of(template={}) == pod_of()
    assert router.template_of(owner(router=Router(template={})), PLATFORM) == router.template_of(owner(), PLATFORM)


def test_what_is_placed_is_placed_as_asked() -> None:
    for made in (
        pod_of(template={"metadata": METADATA, "spec": PLACED}),
        router.template_of(owner(router=Router(template={"metadata": METADATA, "spec": PLACED})), PLATFORM),
    ):
        spec = made["spec"]
        for field in PLACED.keys() - {"topologySpreadConstraints", "securityContext"}:
            assert spec[field] == PLACED[field], field
        assert made["metadata"]["labels"]["team"] == "risk"
        assert made["metadata"]["annotations"]["sidecar.istio.io/inject"] == "true"
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["fsGroup"] == 1000


def test_a_spread_is_about_the_pods_of_the_same_revision_and_takes_the_place_of_ours() -> None:
    zone = PLACED["topologySpreadConstraints"][0]
    ours, theirs = pod_of(template={"spec": PLACED})["spec"]["topologySpreadConstraints"]
    assert ours["topologyKey"] == "kubernetes.io/hostname"
    assert theirs == {**zone, "labelSelector": {"matchLabels": {"modelward.io/revision": "fraud-a"}}}
    own = {**zone, "topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"a": "b"}}}
    assert pod_of(template={"spec": {"topologySpreadConstraints": [own]}})["spec"]["topologySpreadConstraints"] == [own]


def test_the_server_keeps_what_is_the_operators_and_gets_what_is_given() -> None:
    before, after = pod_of()["spec"]["containers"][0], pod_of(template=WHOLE)["spec"]["containers"][0]
    assert after["image"] == "team/fraud-server:3"
    assert after["env"][: len(before["env"])] == before["env"]
    assert [each["name"] for each in after["env"][len(before["env"]) :]] == ["OMP_NUM_THREADS", "TZ"]
    assert after["volumeMounts"][: len(before["volumeMounts"])] == before["volumeMounts"]
    assert [each["mountPath"] for each in after["volumeMounts"][len(before["volumeMounts"]) :]] == ["/data", "/more"]
    assert after["startupProbe"] == {**before["startupProbe"], "failureThreshold": 1800}
    same = before.keys() - {"image", "imagePullPolicy", "env", "volumeMounts", "startupProbe"}
    assert {field: after[field] for field in same} == {field: before[field] for field in same}


def test_a_sidecar_is_as_confined_as_what_is_ours() -> None:
    spec = pod_of(template=WHOLE)["spec"]
    agent, proxy = by_name(spec["initContainers"])["agent"], by_name(spec["containers"])["proxy"]
    ours = spec["containers"][0]["securityContext"]
    assert agent["securityContext"] == ours
    assert proxy["securityContext"] == {
        **ours, "readOnlyRootFilesystem": False, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
    }  # fmt: skip
    assert proxy["ports"] == [{"containerPort": 7000, "name": "audit", "protocol": "TCP"}]
    hostile = {"capabilities": {"drop": []}, "allowPrivilegeEscalation": False}
    made = pod_of(template={"spec": {"containers": [{"name": "x", "image": "x", "securityContext": hostile}]}})
    assert made["spec"]["containers"][1]["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert spec["automountServiceAccountToken"] is False


def test_who_brings_the_model_comes_after_sidecars_and_gets_no_token_of_theirs() -> None:
    made = pod_of(template=WHOLE, monitor=Monitor())
    assert [each["name"] for each in made["spec"]["initContainers"]] == ["agent", "download", "compile", "monitor"]
    skipped = made["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"].split(",")
    assert {"agent", "proxy", "compile", "server", "monitor"} == set(skipped)


def test_the_users_image_loads_the_model_and_touches_nobodys_keys() -> None:
    init = by_name(pod_of(template=WHOLE)["spec"]["initContainers"])
    assert (init["compile"]["imagePullPolicy"], init["download"]["imagePullPolicy"]) == ("Always", "IfNotPresent")
    images = {name: each["image"] for name, each in init.items()}
    assert images == {"agent": "agent:1", "download": "inference:1", "compile": "team/fraud-server:3"}


def test_what_the_users_image_compiled_is_no_other_models_to_take() -> None:
    """It could make anything of an artifact that others have, too, and the cache would vouch for it."""
    ours = pod_of(WITH_CACHE, model=CACHED)["spec"]
    assert "keep-bundle" in by_name(ours["initContainers"])
    made = pod_of(WITH_CACHE, model=CACHED, template={"spec": {"containers": [{"name": "server", "image": "own:1"}]}})
    spec = made["spec"]
    assert "keep-bundle" not in by_name(spec["initContainers"])
    assert "cache-key" not in json.dumps(spec)
    assert "MODELWARD_CACHE_KEY" not in json.dumps(spec)
    assert "MODELWARD_CACHE_DIR" in json.dumps(by_name(spec["initContainers"])["download"])


def test_devices_are_the_servers_alone() -> None:
    gpu = Resources(requests={"cpu": "1"}, limits={"memory": "8Gi", "nvidia.com/gpu": 1})
    spec = pod_of(resources=gpu)["spec"]
    assert spec["containers"][0]["resources"]["limits"] == {"memory": "8Gi", "nvidia.com/gpu": 1}
    for each in spec["initContainers"]:
        assert each["resources"] == {"requests": {"cpu": "1"}, "limits": {"memory": "8Gi"}}, each["name"]


def test_what_brings_the_model_gets_what_is_given_to_it_and_stays_bounded() -> None:
    given = {"initContainers": [{"name": "compile", "resources": {"requests": {"cpu": "2"}}}]}
    init = by_name(pod_of(template={"spec": given})["spec"]["initContainers"])
    assert init["compile"]["resources"] == {"requests": {"cpu": "2"}, "limits": {"memory": "8Gi"}}
    init = by_name(pod_of(template=WHOLE)["spec"]["initContainers"])
    assert init["compile"]["resources"] == RUNNING["initContainers"][1]["resources"]
    assert init["download"] == by_name(pod_of()["spec"]["initContainers"])["download"]


def test_a_long_start_is_waited_for() -> None:
    def deadline(**probe: int) -> int:
        given = {"containers": [{"name": "server", "startupProbe": probe}]} if probe else {}
        made = revision.deployment(owner(template={"spec": given}), PLATFORM, "fraud-a", 1)
        return int(made["spec"]["progressDeadlineSeconds"])

    assert deadline() == revision.STARTUP_SECONDS
    assert deadline(failureThreshold=3600) == 3600
    assert deadline(failureThreshold=600, periodSeconds=10, initialDelaySeconds=60) == 6060
    assert deadline(failureThreshold=60) == revision.STARTUP_SECONDS


def test_a_template_is_part_of_what_a_revision_is_and_of_what_is_remembered_of_it() -> None:
    one, other = owner(template=WHOLE), owner(template={"metadata": METADATA})
    assert len({revision.name_of(each) for each in (owner(), one, other)}) == 3
    assert revision.name_of(owner(template={})) == revision.name_of(owner())
    again = as_asked(owner().spec, asked_of(one.spec, one.spec.model))
    assert again is not None
    assert again.template == WHOLE
    assert "template" not in asked_of(owner().spec, owner().spec.model)


def test_a_template_of_the_router_is_no_revision_and_begins_at_once() -> None:
    one = owner(router=Router(template={"spec": PLACED}))
    assert revision.name_of(one) == revision.name_of(owner())
    assert router.intent_of(one) != router.intent_of(owner())
    assert router.intent_of(owner(router=Router(template={}))) == router.intent_of(owner())


REGISTERED = ResolvedModel("s3://m/3", version="3", access=Access("http://mlflow:5000", "risk", "login", "mlflow-ca"))


@pytest.mark.parametrize(
    "spec", [ALL_OF_OURS, {**ALL_OF_OURS, "model": REGISTERED}, {"model": Model("pvc://m/a.onnx")}]
)
def test_no_volume_or_folder_or_variable_of_ours_can_be_a_users(spec: dict[str, Any]) -> None:
    made = pod_of(WITH_CACHE, **spec)["spec"]
    mesh = router.template_of(owner(router=Router(tls=Tls("cert"))), PLATFORM)["spec"]
    for volume in (*made["volumes"], *mesh["volumes"]):
        assert rules.OWN_VOLUMES.fullmatch(volume["name"]), volume["name"]
    for mount in made["containers"][0]["volumeMounts"]:
        assert mount["mountPath"] in rules.OWN_FOLDERS or mount["mountPath"].startswith("/etc/modelward/")
    for variable in made["containers"][0]["env"]:
        assert rules.OWN_VARIABLES.fullmatch(variable["name"]), variable["name"]
    for label in (*pod_of()["metadata"]["labels"], *router.template_of(owner(), PLATFORM)["metadata"]["labels"]):
        assert rules.OWN_LABELS.fullmatch(label), label


def test_no_setting_of_the_server_can_be_said_past_spec() -> None:
    source = Path(__file__).parents[3] / "inference_image/modelward_inference/serve/process.py"
    read = set(
        re.findall(r'"([A-Z][A-Z_]+[A-Z])"', source.read_text().split("def from_environment")[1].split("class ")[0])
    )
    told = {"INFO"}
    free = {name for name in read - told if not rules.OWN_VARIABLES.fullmatch(name)}
    assert free == {"LOG_LEVEL"}
