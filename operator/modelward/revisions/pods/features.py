"""What spec.features adds to a model's pod: the server's setting, and the token that it asks with.

Pure. The token is mounted, not put into the environment, so that a changed one is taken up without a restart.
"""

import json
from typing import Any, Final

from modelward.api.features import Features
from modelward.api.names import VOLUME_FEATURES_TOKEN
from modelward.platform import Platform
from modelward.revisions.pods.init_containers import BUNDLE, CA_DIR, CA_KEY, ca_mounts
from modelward.values.durations import seconds

TOKEN_DIR: Final = "/etc/modelward/features"  # noqa: S105  a folder

LOG_TYPES: Final = {"Int64": "INT64", "String": "BYTES"}
"""Datatypes of keys in the prediction log."""


def settings(wanted: Features | None, platform: Platform) -> dict[str, str]:
    """Variables of the server; none where requests bring their features."""
    if wanted is None:
        return {}
    told: dict[str, Any] = {
        "url": wanted.url,
        "service": wanted.service,
        "entities": {each.name: each.type for each in wanted.entities},
        "onMissing": wanted.on_missing,
        "onStale": wanted.on_stale,
        "timeout": seconds(wanted.timeout),
        "maxConcurrent": wanted.max_concurrent,
        "maxAge": None if wanted.max_age is None else seconds(wanted.max_age),
        "defaults": dict(sorted(wanted.defaults.items())) or None,
        "tokenFile": f"{TOKEN_DIR}/token" if wanted.token_secret else None,
        "digest": wanted.digest,
    }
    written = json.dumps({name: value for name, value in told.items() if value is not None})
    authorities = {BUNDLE: f"{CA_DIR}/{CA_KEY}"} if platform.ca_config_map else {}
    return {"MODEL_FEATURES": written, **authorities}


def log_settings(wanted: Features | None) -> dict[str, str]:
    """Variables of the prediction log: its columns of keys."""
    if wanted is None:
        return {}
    keys = {each.name: LOG_TYPES[each.type] for each in wanted.entities}
    return {"PREDICTION_LOG_ENTITIES": json.dumps(keys)}


def volumes(wanted: Features | None) -> list[dict[str, Any]]:
    """Of the pod. Not optional: a server without its token answers no request that brings keys."""
    if wanted is None or wanted.token_secret is None:
        return []
    items = [{"key": wanted.token_secret.key, "path": "token"}]
    return [{"name": VOLUME_FEATURES_TOKEN, "secret": {"secretName": wanted.token_secret.name, "items": items}}]


def mounts(wanted: Features | None, platform: Platform) -> list[dict[str, Any]]:
    """Of the server."""
    if wanted is None:
        return []
    token = [{"name": VOLUME_FEATURES_TOKEN, "mountPath": TOKEN_DIR, "readOnly": True}] if wanted.token_secret else []
    return [*token, *ca_mounts(platform)]
