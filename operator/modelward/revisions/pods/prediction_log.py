"""What the prediction log adds to a model's pod: the monitor's settings, and the volumes that it reads and writes.

Pure. The monitor alone gets any of it; Secrets are mounted, not put into its environment, so that they can say nothing
but what they are for, and a changed one is taken up without a restart.
"""

import json
from typing import Any, Final
from urllib.parse import urlsplit

from modelward.api.modeldeployment import ModelDeployment, PredictionLog, Resources
from modelward.api.names import VOLUME_LOG
from modelward.platform import Platform
from modelward.revisions.pods import features
from modelward.revisions.pods.cache_mounts import WRITERS
from modelward.revisions.pods.init_containers import ca_mounts, folder, outside
from modelward.values.durations import seconds, share
from modelward.values.quantities import amount

MOUNT: Final = "/mnt/prediction-log"
CREDENTIALS_DIR: Final = "/etc/modelward/log-credentials"
KEY_DIR: Final = "/etc/modelward/log-key"

DEFAULT_RESOURCES: Final = Resources(requests={"cpu": "20m", "memory": "256Mi"})
"""Of a monitor with a log: twice as much as of one without, for the process that writes the files."""

SEGMENTS_DIR: Final = "/prediction-log"
"""Of the monitor alone: what it reads there it brings to the store with rights that no model is to have."""

ROOM: Final = 512 << 20
"""Bytes of that folder besides the log that waits: for files that are only being made."""


def settings(owner: ModelDeployment, platform: Platform, revision: str) -> dict[str, str]:
    """Variables of the monitor; none where no log is wanted."""
    wanted, monitor = owner.spec.prediction_log, owner.spec.monitor
    if wanted is None or monitor is None:
        return {}
    claim = _claim(wanted)
    columns = wanted.columns
    changed = {
        "exclude": list(columns.exclude), "hash": list(columns.hash),
        "truncate": {each.name: each.characters for each in columns.truncate},
    }  # fmt: skip
    found: dict[str, str | None] = {
        "PREDICTION_LOG_URI": wanted.uri if claim is None else MOUNT,
        "PREDICTION_LOG_PREFIX": None if claim is None else urlsplit(wanted.uri).path.strip("/") or None,
        "PREDICTION_LOG_DIR": SEGMENTS_DIR,
        "PREDICTION_LOG_CREDENTIALS_DIR": CREDENTIALS_DIR if wanted.credentials_secret else None,
        "PREDICTION_LOG_HASH_KEY_FILE": f"{KEY_DIR}/key" if wanted.hash_key_secret else None,
        "PREDICTION_LOG_FRACTION": _plain(share(wanted.fraction)),
        "PREDICTION_LOG_CAPTURED": _plain(share(monitor.sampling_fraction)),
        "PREDICTION_LOG_SECONDS": str(int(seconds(wanted.interval))),
        "PREDICTION_LOG_DISK_BYTES": str(int(amount(wanted.disk_limit))),
        "PREDICTION_LOG_RETENTION_DAYS": wanted.retention.removesuffix("d") if wanted.retention else None,
        "PREDICTION_LOG_COLUMNS": json.dumps(changed, sort_keys=True) if any(changed.values()) else None,
        "MODEL_NAMESPACE": owner.namespace,
        "MODEL_REVISION": revision,
        **features.log_settings(owner.spec.features),
        **outside(platform),
    }
    return {name: value for name, value in found.items() if value}


def volumes(owner: ModelDeployment) -> list[dict[str, Any]]:
    """Of the pod."""
    wanted = owner.spec.prediction_log
    if wanted is None:
        return []
    found = [folder("log-segments", ROOM + int(amount(wanted.disk_limit)))]
    if (claim := _claim(wanted)) is not None:
        found.append({"name": VOLUME_LOG, "persistentVolumeClaim": {"claimName": claim}})
    if secret := wanted.credentials_secret:
        # Optional: a Secret that is missing keeps the log from its store, which is told, and no model from its clients.
        found.append({"name": "log-credentials", "secret": {"secretName": secret.name, "optional": True}})
    if key := wanted.hash_key_secret:
        items = [{"key": key.key, "path": "key"}]
        found.append({"name": "log-key", "secret": {"secretName": key.name, "items": items, "optional": True}})
    return found


def mounts(owner: ModelDeployment, platform: Platform) -> list[dict[str, Any]]:
    """Of the monitor."""
    wanted = owner.spec.prediction_log
    if wanted is None:
        return []
    found: list[dict[str, Any]] = [{"name": "log-segments", "mountPath": SEGMENTS_DIR}]
    if _claim(wanted) is not None:
        found.append({"name": VOLUME_LOG, "mountPath": MOUNT})
    if wanted.credentials_secret:
        found.append({"name": "log-credentials", "mountPath": CREDENTIALS_DIR, "readOnly": True})
    if wanted.hash_key_secret:
        found.append({"name": "log-key", "mountPath": KEY_DIR, "readOnly": True})
    return [*found, *ca_mounts(platform)]


def security_context(owner: ModelDeployment) -> dict[str, Any]:
    """Of the pod."""
    wanted = owner.spec.prediction_log
    if wanted is None or _claim(wanted) is None:
        return {}
    return dict(WRITERS)


def _claim(wanted: PredictionLog) -> str | None:
    address = urlsplit(wanted.uri)
    return address.netloc if address.scheme == "pvc" else None


def _plain(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")
