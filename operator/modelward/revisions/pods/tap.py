"""The tap in the pod of another server than ours: a proxy before it, in our image, that tells what it is asked. Pure.

Invariant: whoever asks the pod at its port asks the tap, by the port and the paths of any model; the server behind it
listens where nobody else is let through to. It is the pod's own readiness: a tap that does not answer gets no requests.
"""

from typing import Any, Final

from modelward.api.modeldeployment import ModelDeployment, Resources
from modelward.api.runtime import Tap
from modelward.kube import manifests as common
from modelward.platform import Platform
from modelward.revisions.pods import identity, monitor_container, tracing
from modelward.revisions.pods import init_containers as steps
from modelward.runtimes.runtime import MODELWARD
from modelward.values.durations import share
from modelward.values.quantities import amount

CONTAINERS, PORTS = MODELWARD.containers, MODELWARD.ports

DEFAULT_RESOURCES: Final = Resources(requests={"cpu": "50m", "memory": "128Mi"})
"""No limit: a container that is killed for its memory makes the whole pod unready."""

LIVE: Final = "/live"
"""At the tap's own port."""


def volumes(owner: ModelDeployment) -> list[dict[str, Any]]:
    """Of the pod, the monitor's included."""
    watched = monitor_container.volumes(owner) if owner.spec.monitor is not None else []
    return [steps.folder(steps.tmp(CONTAINERS.tap)["name"], steps.SCRATCH), *identity.volumes(owner), *watched]


def sidecars(
    owner: ModelDeployment, platform: Platform, revision: str, wanted: Tap, ready: str, drain: int, *, grpc: bool
) -> list[dict[str, Any]]:
    """The monitor, where one is asked for, and the tap: in the order in which they begin, and against which they end.
    `ready`: the server's path of readiness; `drain`: seconds for what is under way; `grpc`: whether it goes through the
    tap."""
    monitor, shared = owner.spec.monitor, {"MODEL_NAME": owner.name}
    container = common.container(platform.server_image, wanted.resources, DEFAULT_RESOURCES)
    settings = {
        **shared,
        "MODEL_REVISION": revision,
        "PORT": str(PORTS.http),
        "TAP_PORT": str(PORTS.tap),
        "TAP_SERVER_PORT": str(PORTS.behind),
        "DRAIN_SECONDS": str(drain),
        **tracing.variables(owner, platform),
    }
    if grpc:
        settings |= {"GRPC_PORT": str(PORTS.grpc), "TAP_GRPC_SERVER_PORT": str(PORTS.behind_grpc)}
    if monitor is not None:
        sampling = monitor_container.plain(share(monitor.sampling_fraction))
        settings |= {"CAPTURE_SOCKET": monitor_container.CAPTURE_SOCKET, "CAPTURE_SAMPLING": sampling}
    if wanted.max_body_size is not None:
        settings["TAP_BODY_BYTES"] = str(int(amount(wanted.max_body_size)))
    tap = identity.known({
        **container,
        "name": CONTAINERS.tap,
        "args": ["tap"],
        "restartPolicy": "Always",
        "env": common.environment(settings),
        "ports": [{"name": "tap-metrics", "containerPort": PORTS.tap, "protocol": "TCP"}],
        "volumeMounts": [steps.tmp(CONTAINERS.tap), *([monitor_container.MOUNT] if monitor is not None else ())],
        # Through the tap to the server, as a request goes.
        "readinessProbe": {
            "httpGet": {"path": ready, "port": PORTS.http}, "periodSeconds": 2, "timeoutSeconds": 2,
            "failureThreshold": 2,
        },
        "livenessProbe": {
            "httpGet": {"path": LIVE, "port": PORTS.tap}, "periodSeconds": 10, "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
    })  # fmt: skip
    if monitor is None:
        return [tap]
    watching = monitor_container.sidecar(owner, platform, revision, container, shared, None)
    return [watching, tap]
