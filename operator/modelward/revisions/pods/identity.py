"""By what a pod and the operator know each other: the pod's own key, and the operator's public keys.

The download makes the pod's key and announces its public part; server and monitor read it, and what loads the artifact
has neither. The operator's keys come in a ConfigMap that is mounted, so that they may change while pods run: in the
template there is its name alone, which stays the same.
"""

import json
from collections.abc import Iterable
from typing import Any, Final

from modelward.api import names
from modelward.api.modeldeployment import Logging, ModelDeployment
from modelward.kube import manifests as common
from modelward.values.durations import share

COMPONENT: Final = "operator-keys"

_FOLDER: Final = "/identity"
_KEYS_VOLUME: Final = "operator-keys"
_KEYS_FOLDER: Final = "/etc/modelward/operator"
_KEYS: Final = "keys"
"""In the ConfigMap: one public key a line."""
_LOGGING: Final = "logging"
"""In the ConfigMap: what modelward_telemetry.wanted reads, beside the keys."""

_POD_KEY: Final = {"name": "POD_KEY", "value": f"{_FOLDER}/key"}
_POD_UID: Final = {"name": "POD_UID", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.uid"}}}


def volumes(owner: ModelDeployment) -> list[dict[str, Any]]:
    """The key's is in memory, so that no disk keeps it. The ConfigMap is optional: a pod that knows no operator serves
    all the same."""
    return [
        {"name": names.VOLUME_IDENTITY, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        {"name": _KEYS_VOLUME, "configMap": {"name": name_of(owner), "optional": True}},
    ]


def made(container: dict[str, Any]) -> dict[str, Any]:
    """The container that makes the key, which is the download."""
    mount = {"name": names.VOLUME_IDENTITY, "mountPath": _FOLDER}
    return {**container, "env": [*container["env"], _POD_KEY], "volumeMounts": [*container["volumeMounts"], mount]}


def known(container: dict[str, Any]) -> dict[str, Any]:
    """A container that the operator asks."""
    known_by = {"name": "OPERATOR_KEYS", "value": f"{_KEYS_FOLDER}/{_KEYS}"}
    mounts = [
        {"name": names.VOLUME_IDENTITY, "mountPath": _FOLDER, "readOnly": True},
        {"name": _KEYS_VOLUME, "mountPath": _KEYS_FOLDER, "readOnly": True},
    ]
    return {
        **container,
        "env": [*container["env"], _POD_UID, _POD_KEY, known_by],
        "volumeMounts": [*container["volumeMounts"], *mounts],
    }


def name_of(owner: ModelDeployment) -> str:
    """Of the ConfigMap."""
    return f"modelward-{owner.name}-operator"


def config_map(owner: ModelDeployment, public: Iterable[str]) -> dict[str, Any]:
    """`public`: the operator's keys, the one that signs now first. What the pods are to log is told here, too: they
    have it mounted, whichever revision they are, so that a change makes no pod anew."""
    logged = owner.spec.logging
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": common.metadata(owner, name_of(owner), COMPONENT),
        "data": {
            _KEYS: "".join(f"{key}\n" for key in public),
            **({} if logged is None else {_LOGGING: _dump(logged)}),
        },
    }


def _dump(logged: Logging) -> str:
    told: dict[str, str | float] = {} if logged.level is None else {"level": logged.level}
    if logged.access_log_share is not None:
        told["accessLogShare"] = share(logged.access_log_share)
    return json.dumps(told)
