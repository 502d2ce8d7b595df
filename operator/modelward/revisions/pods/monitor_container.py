"""The monitor in a model's pod: a native sidecar, with the folder by which it and whoever captures are joined. Pure."""

from typing import Any, Final

from modelward.api.modeldeployment import ModelDeployment, Resources
from modelward.kube import manifests as common
from modelward.platform import Platform
from modelward.revisions.pods import identity, prediction_log, tracing
from modelward.revisions.pods import init_containers as steps
from modelward.runtimes.runtime import MODELWARD
from modelward.values.durations import seconds

CONTAINERS, PORTS = MODELWARD.containers, MODELWARD.ports

MONITOR_DIR: Final = "/monitor"
CAPTURE_SOCKET: Final = f"{MONITOR_DIR}/capture.sock"

MOUNT: Final = {"name": "monitor", "mountPath": MONITOR_DIR}

FAREWELL_SECONDS: Final = 20
"""How long a monitor whose pod ends waits for the operator to read what it counted last."""

DEFAULT_RESOURCES: Final = Resources(requests={"cpu": "20m", "memory": "128Mi"})
"""No limit: a container that is killed for its memory makes the whole pod unready."""


def volumes(owner: ModelDeployment) -> list[dict[str, Any]]:
    """Of the pod."""
    return [
        steps.folder("monitor", steps.SCRATCH),
        steps.folder(steps.tmp(CONTAINERS.monitor)["name"], steps.SCRATCH),
        *prediction_log.volumes(owner),
    ]


def sidecar(
    owner: ModelDeployment,
    platform: Platform,
    revision: str,
    container: dict[str, Any],
    shared: dict[str, str],
    bundle: dict[str, Any] | None,
) -> dict[str, Any]:
    """It is there before the server, and ends after it, so that it sees the last request. `container`: what containers
    of our image have in common; `shared`: variables of them; `bundle`: the mount of the model's, None: it has none, so
    that the first requests tell what its tensors are.

    No probes: whether the monitor works must never decide whether the pod gets requests.
    """
    monitor = owner.spec.monitor
    assert monitor is not None, "only pods that are watched have one"
    logs = prediction_log.settings(owner, platform, revision)
    settings = {
        **shared,
        "MODEL_REVISION": revision,
        **logs,
        **tracing.variables(owner, platform),
        "MONITOR_DIR": MONITOR_DIR,
        "MONITOR_PORT": str(PORTS.monitor),
        "MONITOR_WINDOW_SECONDS": plain(seconds(monitor.window.duration)),
        "MONITOR_FAREWELL_SECONDS": str(FAREWELL_SECONDS),
        "LEARN_ROWS": str(monitor.learn_rows),
        "TOP_FEATURES": str(monitor.top_features),
        **({} if bundle is not None else {"MONITOR_SIGNATURE": "observed"}),
    }
    return identity.known({
        **container,
        "name": CONTAINERS.monitor,
        "args": ["keep", "monitor"],
        "restartPolicy": "Always",
        "env": common.environment(settings),
        "ports": [{"name": "monitor", "containerPort": PORTS.monitor, "protocol": "TCP"}],
        "resources": common.resources(
            monitor.resources, prediction_log.DEFAULT_RESOURCES if logs else DEFAULT_RESOURCES
        ),
        "volumeMounts": [
            *([{**bundle, "readOnly": True}] if bundle is not None else ()),
            steps.tmp(CONTAINERS.monitor),
            MOUNT,
            *prediction_log.mounts(owner, platform),
        ],
    })  # fmt: skip


def plain(value: float | str) -> str:
    """To the millionth and without an exponent, which the image does not read."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)
