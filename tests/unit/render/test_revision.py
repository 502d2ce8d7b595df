"""Revisions: what shapes a pod names it, and nothing else does."""

import re
from pathlib import Path
from typing import Any

import pytest

from builders import PLATFORM, owner
from modelward.api.modeldeployment import (
    Batching,
    Model,
    Monitor,
    MonitorWindow,
    Resources,
    Router,
    SecretReference,
    Server,
)
from modelward.render import common, revision, router
from modelward.render.platform import Platform
from modelward_inference.server import Settings as ServerSettings
from modelward_monitor.settings import Settings as MonitorSettings

NAME = revision.name_of(owner(), PLATFORM)

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
    assert revision.name_of(owner(**CHANGES[change]), PLATFORM) != NAME


def test_another_image_makes_another_revision() -> None:
    assert revision.name_of(owner(), Platform("inference:2", "envoy:1")) != NAME


def test_replicas_and_the_router_do_not() -> None:
    assert revision.name_of(owner(replicas=5, router=Router(replicas=7)), PLATFORM) == NAME
    assert revision.name_of(owner(), Platform("inference:1", "envoy:2")) == NAME


def test_credentials_reach_the_download_only() -> None:
    spec = {"model": Model("s3://models/a.onnx", credentials_secret=SecretReference("s3"))}
    pod = revision.deployment(owner(**spec), PLATFORM, NAME, 1)["spec"]["template"]["spec"]
    assert pod["initContainers"][0]["envFrom"] == [{"secretRef": {"name": "s3"}}]
    assert "envFrom" not in pod["containers"][0]


def test_a_claim_is_mounted_read_only_into_the_download_only() -> None:
    pod = revision.deployment(owner(model=Model("pvc://claim/a.onnx")), PLATFORM, NAME, 1)["spec"]["template"]["spec"]
    assert {"name": "model", "persistentVolumeClaim": {"claimName": "claim", "readOnly": True}} in pod["volumes"]
    assert any(mount["mountPath"] == revision.PVC_MOUNT for mount in pod["initContainers"][0]["volumeMounts"])
    assert all(mount["mountPath"] != revision.PVC_MOUNT for mount in pod["containers"][0]["volumeMounts"])


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
        assert container["securityContext"] == common.CONTAINER_SECURITY_CONTEXT


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
    fetch, monitor = pod["initContainers"]
    (server,) = pod["containers"]
    assert fetch["name"] == "fetch"
    assert (monitor["name"], monitor["restartPolicy"]) == ("monitor", "Always")
    assert not {"startupProbe", "readinessProbe", "livenessProbe"} & set(monitor)
    shared = {"name": "monitor", "mountPath": revision.MONITOR_DIR}
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
        for container in (pod["initContainers"][1], pod["containers"][0])
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
        return {each["name"]: each["value"] for each in pod["containers"][0]["env"]}

    assert given(SERVER).items() - given(Server()).items() == {
        ("REQUEST_TIMEOUT_SECONDS", "0.5"), ("MAX_REQUEST_BYTES", "1048576"), ("MAX_ROWS", "10"),
        ("MAX_WAITING_REQUESTS", "0"), ("MAX_BATCH_ROWS", "32"), ("MAX_BATCH_DELAY_MS", "2"),
        ("ALLOW_ORIGINS", "https://a.example,http://b:80"),
    }  # fmt: skip
    assert given(Server()).items() <= given(SERVER).items()
