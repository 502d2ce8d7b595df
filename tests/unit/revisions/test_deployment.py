"""Revisions: what shapes a pod names it, and nothing else does."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api.modeldeployment import (
    Batching,
    Gateway,
    Model,
    Monitor,
    MonitorWindow,
    ParentReference,
    Resources,
    Router,
    SecretReference,
    Server,
    Signature,
)
from modelward.facts import RouteTable
from modelward.kube import manifests as common
from modelward.models.resolved import Access, ResolvedModel
from modelward.platform import Platform
from modelward.revisions import deployment as revision
from modelward.revisions.observed import observe
from modelward.revisions.pods import init_containers as steps
from modelward.routing.envoy import objects as router
from modelward.routing.envoy import routes as envoy_routes
from modelward.routing.gateway import route
from modelward_inference.serve.process import Settings as ServerSettings
from modelward_monitor.settings import Settings as MonitorSettings

NAME = revision.name_of(owner())

CHANGES: dict[str, dict[str, Any]] = {
    "uri": {"model": Model("s3://models/b.onnx")},
    "format": {"model": Model("s3://models/a.onnx", format="onnx")},
    "digest": {"model": Model("s3://models/a.onnx", digest="sha256:" + "0" * 64)},
    "optimise": {"model": Model("s3://models/a.onnx", optimise="Off")},
    "the server's settings": {"server": Server(max_rows=5)},
    "credentials": {"model": Model("s3://models/a.onnx", credentials_secret=SecretReference("s3"))},
    "resources": {"resources": Resources(limits={"memory": "1Gi"})},
    "service account": {"service_account_name": "cloud"},
    "a monitor": {"monitor": Monitor()},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_shapes_the_pod_makes_another_revision(change: str) -> None:
    assert revision.name_of(owner(**CHANGES[change])) != NAME


def test_replicas_and_the_router_do_not() -> None:
    assert revision.name_of(owner(replicas=5, router=Router(replicas=7))) == NAME


def test_what_is_left_at_its_default_makes_no_other_revision() -> None:
    """So that a later operator, whose types have more fields, gives it the same name."""
    assert (
        revision.name_of(
            owner(model=Model("s3://models/a.onnx", "auto", None, optimise="Auto", credentials_secret=None))
        )
        == NAME
    )
    assert NAME == "fraud-c2c8e413a1"


def test_credentials_reach_the_download_only() -> None:
    spec = {"model": Model("s3://models/a.onnx", credentials_secret=SecretReference("s3"))}
    pod = revision.deployment(owner(**spec), PLATFORM, NAME, 1)["spec"]["template"]["spec"]
    assert pod["initContainers"][0]["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert "envFrom" not in pod["containers"][0]


REGISTRY = Access("http://mlflow.ml.svc:5000", "risk", "login", "mlflow-ca")
RESOLVED = ResolvedModel("mlflow-artifacts:/1/models/m-3/artifacts", version="3", access=REGISTRY)


def download_of(model: Model) -> tuple[dict[str, Any], dict[str, Any]]:
    """The download container and its pod's spec."""
    pod = revision.deployment(owner(model=model), PLATFORM, "fraud-a", 1)["spec"]["template"]["spec"]
    (found,) = [each for each in pod["initContainers"] if each["name"] == "download"]
    return found, pod


def test_the_download_of_a_registrys_model_is_told_where_and_with_what() -> None:
    found, pod = download_of(RESOLVED)
    given = {each["name"]: each.get("value", each.get("valueFrom")) for each in found["env"]}
    assert (given["MODEL_URI"], given["MODEL_REGISTRY_VERSION"], given["MODEL_FORMAT"]) == (RESOLVED.uri, "3", "auto")
    assert (given["MLFLOW_TRACKING_URI"], given["MLFLOW_WORKSPACE"]) == ("http://mlflow.ml.svc:5000", "risk")
    for name, key in steps.MLFLOW_KEYS.items():
        assert given[name] == {"secretKeyRef": {"name": "login", "key": key, "optional": True}}
    (mount,) = [each for each in found["volumeMounts"] if each["name"] == "registry-ca"]
    assert given["MODEL_CA_FILE"] == f"{mount['mountPath']}/ca.crt"
    assert {"name": "registry-ca", "configMap": {"name": "mlflow-ca"}} in pod["volumes"]
    others = [each for each in [*pod["initContainers"], *pod["containers"]] if each["name"] != "download"]
    assert "login" not in json.dumps(others)
    assert "registry-ca" not in json.dumps(others)


def test_the_download_of_a_sagemaker_model_has_the_registrys_keys() -> None:
    found, _ = download_of(ResolvedModel("s3://m/3", version="3", access=Access(secret="aws", region="eu-west-1")))
    given = {each["name"]: each.get("value", each.get("valueFrom")) for each in found["env"]}
    assert given["AWS_REGION"] == "eu-west-1"
    assert given["AWS_SECRET_ACCESS_KEY"]["secretKeyRef"]["name"] == "aws"
    assert "MLFLOW_TRACKING_URI" not in given


def test_the_server_is_told_what_its_answers_say_of_it() -> None:
    def given(model: Model) -> dict[str, str]:
        pod = revision.deployment(owner(model=model), PLATFORM, "fraud-a", 1)["spec"]["template"]["spec"]
        return {each["name"]: each.get("value", "") for each in pod["containers"][0]["env"]}

    told = given(replace(RESOLVED, version="cd8c71a2/mod\u00e8le 1"))
    assert ServerSettings.from_environment(1, told).headers == (
        (envoy_routes.REVISION_HEADER, "fraud-a"),
        (envoy_routes.VERSION_HEADER, "cd8c71a2/mod%C3%A8le%201"),
    )
    assert "MODEL_REGISTRY_VERSION" not in given(Model("s3://models/a.onnx"))


def test_behind_a_gateway_it_is_the_pods_that_say_which_version_answered() -> None:
    """A filter of a backend would have Envoy Gateway lose requests (docs/decisions/0007-registries.md)."""
    behind = owner(model=RESOLVED, router=Router(gateway=Gateway((ParentReference("shared"),))))
    pod = revision.deployment(behind, PLATFORM, "fraud-a", 1)["spec"]["template"]["spec"]
    told = {each["name"]: each.get("value", "") for each in pod["containers"][0]["env"]}
    assert dict(ServerSettings.from_environment(1, told).headers)[envoy_routes.VERSION_HEADER] == "3"
    spec = route.http_route(behind, PLATFORM, RouteTable("fraud-a"))["spec"]
    assert not [each for rule in spec["rules"] for each in rule["backendRefs"] if "filters" in each]


def test_another_version_is_another_revision_and_another_lineage_is_not() -> None:
    def named(model: Model) -> tuple[str, str]:
        return revision.name_of(owner(model=model)), revision.intent_of(owner(model=model))

    same_address, elsewhere = replace(RESOLVED, version="4"), replace(RESOLVED, uri="s3://m/3")
    names = {named(each)[0] for each in (RESOLVED, same_address, elsewhere)}
    intents = {named(each)[1] for each in (RESOLVED, same_address, elsewhere)}
    assert (len(names), len(intents)) == (3, 3)
    assert named(replace(RESOLVED, lineage={"commit": "abc"})) == named(RESOLVED)
    moved = named(replace(RESOLVED, access=replace(REGISTRY, tracking_uri="http://new:5000")))
    assert moved == named(RESOLVED), "its pods are made anew in place"
    facts = revision.model_of(replace(RESOLVED, lineage={"commit": "abc"}))
    assert revision.load_model(revision.dump_model(facts)) == facts
    assert (facts.version, facts.lineage) == ("3", {"commit": "abc"})


def test_a_claim_is_mounted_read_only_into_the_download_only() -> None:
    pod = revision.deployment(owner(model=Model("pvc://claim/a.onnx")), PLATFORM, NAME, 1)["spec"]["template"]["spec"]
    assert {"name": "model", "persistentVolumeClaim": {"claimName": "claim", "readOnly": True}} in pod["volumes"]
    assert any(mount["mountPath"] == steps.PVC_MOUNT for mount in pod["initContainers"][0]["volumeMounts"])
    assert all(mount["mountPath"] != steps.PVC_MOUNT for mount in pod["containers"][0]["volumeMounts"])


@pytest.mark.parametrize("secret", [None, SecretReference("pull")])
def test_a_registrys_login_is_a_file_of_the_download_alone(secret: SecretReference | None) -> None:
    model = Model("oci://registry.ml.svc:5000/team/fraud:3", credentials_secret=secret)
    platform = replace(PLATFORM, oci_plain_http="registry.ml.svc:5000")
    pod = revision.deployment(owner(model=model), platform, NAME, 1)["spec"]["template"]["spec"]
    download = pod["initContainers"][0]
    given = {each["name"]: each.get("value") for each in download["env"]}
    assert given["OCI_PLAIN_HTTP"] == "registry.ml.svc:5000"
    assert given.get("MODEL_CREDENTIALS_DIR") == (steps.CREDENTIALS_DIR if secret else None)
    mounted = {"name": "credentials", "mountPath": steps.CREDENTIALS_DIR, "readOnly": True}
    assert (mounted in download["volumeMounts"]) == bool(secret)
    assert ({"name": "credentials", "secret": {"secretName": "pull"}} in pod["volumes"]) == bool(secret)
    others = [*pod["initContainers"][1:], *pod["containers"]]
    assert all("envFrom" not in each for each in [*others, download])
    assert all(mounted not in each["volumeMounts"] for each in others)


PICKLE = "s3://models/a.joblib"


def pod_of(platform: Platform = PLATFORM, **spec: Any) -> dict[str, Any]:
    pod: dict[str, Any] = revision.deployment(owner(**spec), platform, NAME, 1)["spec"]["template"]["spec"]
    return pod


def by_name(pod: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in (*pod["initContainers"], *pod["containers"])}


def settings_of(container: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each.get("value", "") for each in container["env"]}


def test_what_loads_the_model_has_nothing_of_the_store() -> None:
    spec = {"model": Model("pvc://c/a.joblib", credentials_secret=SecretReference("s3")), "monitor": Monitor()}
    containers = by_name(pod_of(service_account_name="cloud", **spec))
    assert {name for name, each in containers.items() if "envFrom" in each} == {"download"}
    assert not {"MODEL_URI", "AWS_EC2_METADATA_DISABLED", "HTTPS_PROXY"} & set(settings_of(containers["compile"]))
    mounts = {name: {each["name"] for each in found["volumeMounts"]} for name, found in containers.items()}
    assert mounts["compile"] == {"artifact", "bundle", "tmp-compile"}
    assert containers["compile"]["securityContext"]["runAsUser"] not in (0, 65532)
    template = revision.deployment(owner(**spec), PLATFORM, NAME, 1)["spec"]["template"]
    skipped = template["metadata"]["annotations"]["eks.amazonaws.com/skip-containers"].split(",")
    assert set(skipped) == set(containers) - {"download"}


def test_every_folder_has_one_writer_but_the_socket_s_and_a_limit() -> None:
    pod = pod_of(monitor=Monitor())
    writers: dict[str, list[str]] = {}
    for name, container in by_name(pod).items():
        for mount in container["volumeMounts"]:
            writers.setdefault(mount["name"], []).extend([] if mount.get("readOnly") else [name])
    assert writers.pop("monitor") == ["monitor", "server"]
    assert writers == {
        "artifact": ["download"], "bundle": ["compile"], "tmp-download": ["download"], "tmp-compile": ["compile"],
        "tmp-monitor": ["monitor"], "tmp-server": ["server"], "identity": ["download"], "operator-keys": [],
    }  # fmt: skip
    assert all(each["emptyDir"]["sizeLimit"] for each in pod["volumes"] if "configMap" not in each)


def test_the_pods_key_is_made_by_the_download_and_what_loads_the_model_never_sees_it() -> None:
    pod = pod_of(monitor=Monitor())
    seen = {name: {each["name"] for each in found["volumeMounts"]} for name, found in by_name(pod).items()}
    assert [name for name, mounts in seen.items() if "identity" in mounts] == ["download", "monitor", "server"]
    assert next(each for each in pod["volumes"] if each["name"] == "identity")["emptyDir"]["medium"] == "Memory"
    for name in ("server", "monitor"):
        container = by_name(pod)[name]
        assert {each["name"] for each in container["env"]} >= {"POD_UID", "POD_KEY", "OPERATOR_KEYS"}
        folder = next(each for each in container["volumeMounts"] if each["name"] == "operator-keys")
        assert "subPath" not in folder, "the kubelet refreshes whole mounts only"
        # Settings of ours that a user could have reached would be read here as the image reads them.
        assert "OPERATOR_UNAUTHENTICATED" not in {each["name"] for each in container["env"]}


def test_the_operators_keys_change_no_template() -> None:
    rotated = replace(PLATFORM, operator_keys=("a", "b"))
    assert revision.deployment(owner(), rotated, NAME, 1) == revision.deployment(owner(), PLATFORM, NAME, 1)


@pytest.mark.parametrize("kind", ["limits", "requests"])
def test_what_loads_the_model_is_bounded_in_memory_and_time(kind: str) -> None:
    assert by_name(pod_of())["download"]["resources"]["limits"]["memory"] == steps.DOWNLOAD_MEMORY
    compiling = by_name(pod_of())["compile"]
    assert compiling["resources"]["limits"]["memory"] == steps.COMPILE_MEMORY
    assert int(settings_of(compiling)["COMPILE_TIMEOUT_SECONDS"]) < revision.STARTUP_SECONDS
    containers = by_name(pod_of(resources=Resources(**{kind: {"memory": "32Gi"}})))
    for step in ("download", "compile"):
        assert containers[step]["resources"] == containers["server"]["resources"]


def formats_of(pod: dict[str, Any]) -> set[str]:
    """The one answer that all three containers get."""
    found = {settings_of(by_name(pod)[name])["MODEL_ALLOWED_FORMATS"] for name in ("download", "compile", "server")}
    return set(found.pop().split(",")) if len(found) == 1 else set()


def test_the_download_alone_is_told_whose_signature_counts() -> None:
    def pod(key: str | None) -> Any:
        model = Model("s3://models/a.onnx", signature=None if key is None else Signature(key))
        signed = owner(model=model)
        name = revision.name_of(signed)
        return name, revision.deployment(signed, PLATFORM, name, 1)["spec"]["template"]["spec"]

    names, pods = zip(*(pod(key) for key in (None, "one key", "another key")), strict=True)
    assert len(set(names)) == 3
    told = [
        {
            (container["name"], each["value"])
            for container in (*made["initContainers"], *made["containers"])
            for each in container["env"]
            if each["name"] == "MODEL_SIGNATURE_KEY"
        }
        for made in pods
    ]
    assert told == [set(), {("download", "one key")}, {("download", "another key")}]


def test_a_pickle_needs_a_digest_or_consent() -> None:
    pinned = Model(PICKLE, digest="sha256:" + "0" * 64)
    consenting = replace(PLATFORM, allowed_formats=(*PLATFORM.allowed_formats, "sklearn"))
    assert formats_of(pod_of(model=Model(PICKLE))) == {"onnx", "skops", "xgboost", "lightgbm"}
    assert "sklearn" in formats_of(pod_of(model=pinned))
    assert "sklearn" in formats_of(pod_of(consenting, model=Model(PICKLE)))


@pytest.mark.parametrize("model", [Model("s3://m/a.onnx"), Model("s3://m/a", format="skops"), Model("s3://m/a.ubj")])
def test_consent_leaves_the_pods_of_models_that_need_none_as_they_are(model: Model) -> None:
    consenting = replace(PLATFORM, allowed_formats=(*PLATFORM.allowed_formats, "sklearn"))
    assert pod_of(consenting, model=model) == pod_of(model=model)
    unknown = Model("s3://m/a.tar")
    assert pod_of(consenting, model=unknown) != pod_of(model=unknown)


def test_settings_of_downloads() -> None:
    plain = settings_of(by_name(pod_of())["download"])
    assert (plain["AWS_EC2_METADATA_DISABLED"], "HTTPS_PROXY" in plain, "CA_BUNDLE" in plain) == ("true", False, False)
    platform = replace(
        PLATFORM, node_credentials=True, https_proxy="http://proxy:3128", no_proxy=".svc", ca_config_map="authorities",
        max_model_size=1 << 20,
    )  # fmt: skip
    pod = pod_of(platform)
    assert settings_of(by_name(pod)["download"]).items() >= {
        "AWS_EC2_METADATA_DISABLED": "false", "HTTPS_PROXY": "http://proxy:3128", "NO_PROXY": ".svc",
        "CA_BUNDLE": "/etc/modelward/ca/ca.crt", "MAX_MODEL_BYTES": "1048576",
    }.items()  # fmt: skip
    assert {"name": "ca", "configMap": {"name": "authorities", "optional": True}} in pod["volumes"]


@pytest.mark.parametrize(
    "manifest",
    [
        revision.deployment(owner(), PLATFORM, NAME, 1),
        revision.deployment(owner(monitor=Monitor()), PLATFORM, NAME, 1),
        router.deployment(owner(), PLATFORM),
    ],
)
def test_pods_fit_the_restricted_level(manifest: dict[str, Any]) -> None:
    pod = manifest["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        assert container["securityContext"].items() >= common.CONTAINER_SECURITY_CONTEXT.items()


@pytest.mark.parametrize(
    "manifest", [revision.deployment(owner(), PLATFORM, NAME, 2), router.deployment(owner(), PLATFORM)]
)
def test_pods_that_replace_others_are_spread_among_themselves(manifest: dict[str, Any]) -> None:
    """Counted with those that go, both new ones could come to the same node."""
    (spread,) = manifest["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["matchLabelKeys"] == ["pod-template-hash"]
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    assert spread["labelSelector"]["matchLabels"].items() <= labels.items()


def test_a_default_request_never_exceeds_a_limit_that_the_user_set() -> None:
    built = common.resources(Resources(limits={"memory": "64Mi"}), Resources(requests={"cpu": "1", "memory": "256Mi"}))
    assert built == {"requests": {"cpu": "1"}, "limits": {"memory": "64Mi"}}


@pytest.mark.parametrize(("limit", "threads"), [(None, "2"), ("500m", "1"), ("1", "1"), ("1500m", "2"), (4, "4")])
def test_the_router_has_as_many_threads_as_cores(limit: str | int | None, threads: str) -> None:
    limits = {} if limit is None else {"cpu": limit}
    spec = Router(resources=Resources(limits=limits))
    args = router.deployment(owner(router=spec), PLATFORM)["spec"]["template"]["spec"]["containers"][0]["args"]
    assert args[args.index("--concurrency") + 1] == threads


def test_every_setting_is_one_that_the_image_documents() -> None:
    page = (Path(__file__).parents[3] / "docs/bundle.md").read_text()
    pod = revision.deployment(owner(server=SERVER), PLATFORM, NAME, 1)["spec"]["template"]["spec"]
    names = {each["name"] for container in (*pod["initContainers"], *pod["containers"]) for each in container["env"]}
    assert {name for name in names if not re.search(rf"\b{name}\b", page)} == set()


def test_a_monitor_is_a_native_sidecar_that_can_not_make_the_pod_unready() -> None:
    spec = Monitor("10%", 1000, 5, MonitorWindow("10m"))
    pod = revision.deployment(owner(monitor=spec), PLATFORM, NAME, 1)["spec"]["template"]["spec"]
    *steps_before, monitor = pod["initContainers"]
    (server,) = pod["containers"]
    assert [each["name"] for each in steps_before] == ["download", "compile"]
    assert (monitor["name"], monitor["restartPolicy"]) == ("monitor", "Always")
    assert not {"startupProbe", "readinessProbe", "livenessProbe"} & set(monitor)
    shared = {"name": "monitor", "mountPath": "/monitor"}
    assert shared in monitor["volumeMounts"]
    assert shared in server["volumeMounts"]
    told = {each["name"]: each.get("value") for each in (*monitor["env"], *server["env"])}
    assert told.items() >= {
        "CAPTURE_SOCKET": "/monitor/capture.sock", "CAPTURE_SAMPLING": "0.1", "LEARN_ROWS": "1000",
        "TOP_FEATURES": "5", "MONITOR_WINDOW_SECONDS": "600",
    }.items()  # fmt: skip


def test_the_monitor_and_the_server_can_read_what_the_crd_allows() -> None:
    """The smallest share and the largest numbers, by the image's own readers."""
    spec = Monitor("0.0001%", 50_000, 50, MonitorWindow("720h"))
    pod = revision.deployment(owner(monitor=spec), PLATFORM, NAME, 1)["spec"]["template"]["spec"]
    monitor, server = (
        {each["name"]: each.get("value", "") for each in container["env"]}
        for container in (pod["initContainers"][-1], pod["containers"][0])
    )
    read = MonitorSettings.from_environment(monitor)
    assert (read.window, read.learn_rows, read.top) == (720 * 3600.0, 50_000, 50)
    assert ServerSettings.from_environment(1, server).capture_sampling == 1e-6


def test_without_a_monitor_nothing_of_it_is_in_the_pod() -> None:
    assert "onitor" not in str(revision.deployment(owner(), PLATFORM, NAME, 1))
    assert "CAPTURE" not in str(revision.deployment(owner(), PLATFORM, NAME, 1))


SERVER = Server("500ms", "1Mi", 10, 0, Batching(32, "2ms"), ("https://a.example", "http://b:80"))


def test_only_settings_that_were_given_reach_the_server() -> None:
    def given(server: Server) -> dict[str, str]:
        pod = revision.deployment(owner(server=server), PLATFORM, NAME, 1)["spec"]["template"]["spec"]
        return {each["name"]: each["value"] for each in pod["containers"][0]["env"] if "value" in each}

    assert given(SERVER).items() - given(Server()).items() == {
        ("REQUEST_TIMEOUT_SECONDS", "0.5"), ("MAX_REQUEST_BYTES", "1048576"), ("MAX_ROWS", "10"),
        ("MAX_WAITING_REQUESTS", "0"), ("MAX_BATCH_ROWS", "32"), ("MAX_BATCH_DELAY_MS", "2"),
        ("ALLOW_ORIGINS", "https://a.example,http://b:80"),
    }  # fmt: skip
    assert given(Server()).items() <= given(SERVER).items()


def test_what_a_registry_writes_names_no_other_variable_of_a_pod() -> None:
    """Kubernetes puts variables of a container where $(NAME) is, a login's among them: an address with one in it would
    tell it to whoever chose the host."""
    told = "https://elsewhere.example.com/$(MLFLOW_TRACKING_PASSWORD)/$(MODEL_NAME)/$$/m.onnx"
    access = Access("https://mlflow.example.com", None, "login", None)
    model = ResolvedModel(told, version="$(MODEL_URI)", access=access)
    made = owner(model=model, monitor=Monitor())
    body = revision.deployment(made, PLATFORM, NAME, 1, model)
    pod = body["spec"]["template"]["spec"]
    found = [each for part in (*pod["initContainers"], *pod["containers"]) for each in part["env"] if "value" in each]
    assert [each for each in found if "$(" in each["value"].replace("$$", "")] == []
    assert {each["value"] for each in found if each["name"] == "MODEL_URI"} == {told.replace("$", "$$")}
    body["metadata"]["annotations"] = {}  # as earlier releases made it: what it fetches is read of its template
    shape = observe.shape_of(body, None)
    assert shape is not None
    assert shape.model.uri == told
