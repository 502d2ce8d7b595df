"""Where what the operator knows of a revision's counts is stored: a ConfigMap beside the revision."""

import base64
import gzip
import json
from collections.abc import Mapping
from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment, Monitor
from modelward.kube import manifests as common
from modelward.monitoring import pooling, windows
from modelward.monitoring.pooling import Pool
from modelward.monitoring.windows import Book
from modelward.values.durations import seconds
from modelward.values.stored import known_text
from modelward_drift.errors import DriftError
from modelward_drift.profiles.reference import Reference

_REFERENCE = "reference.json.gz"
_POOL = "pool.json"
_WINDOW = "window."
_SETTINGS = "settings.json"


def store_name(revision: str) -> str:
    return f"{revision}-monitor"


def store(owner: ModelDeployment, revision: str, pool: Pool, books: Mapping[str, Book]) -> dict[str, Any]:
    """The ConfigMap. `books`: by reader. The reference is in it, too: pods that hold a learned one go, and people who
    want to look at the windows need nothing else. So are the settings by which the model's own windows are judged."""
    packed = gzip.compress(_dump(pool.reference.to_dict()).encode(), mtime=0)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": common.metadata(owner, store_name(revision), names.COMPONENT_MONITOR, revision),
        "data": {
            _POOL: _dump(pooling.dump(pool)),
            **{f"{_WINDOW}{reader}.json": _dump(windows.dump(book)) for reader, book in sorted(books.items())},
            **_settings(owner.spec.monitor),
        },
        "binaryData": {_REFERENCE: base64.b64encode(packed).decode()},
    }


def _settings(monitor: Monitor | None) -> dict[str, str]:
    if monitor is None:
        return {}
    wanted = {"duration": seconds(monitor.window.duration), "minSamples": monitor.window.min_samples}
    return {_SETTINGS: _dump(wanted)}


def stored_reference(body: Mapping[str, Any]) -> Reference | None:
    """The reference that was kept; None where there is none, or it is damaged."""
    try:
        packed = (body.get("binaryData") or {})[_REFERENCE]
        return Reference.from_dict(known_text(dict, gzip.decompress(base64.b64decode(packed))))
    except (KeyError, ValueError, OSError, EOFError, DriftError):
        return None


def restored(body: Mapping[str, Any], reference: Reference) -> tuple[Pool, dict[str, Book]] | None:
    """What was stored, where it is of this reference."""
    data = body.get("data") or {}
    try:
        pool = pooling.load(known_text(object, data[_POOL]), reference)
        if pool is None:
            return None
        books = {
            name.removeprefix(_WINDOW).removesuffix(".json"): windows.load(known_text(dict, text), reference)
            for name, text in data.items()
            if name.startswith(_WINDOW)
        }
    except (KeyError, ValueError):
        return None
    return pool, {reader: book for reader, book in books.items() if book is not None}


def is_damaged(body: Mapping[str, Any], reference: Reference, found: tuple[Pool, Mapping[str, Book]] | None) -> bool:
    """Whether it held something of this reference that can't be read any more. `found`: what `restored` gave."""
    if found is not None:
        return len(found[1]) < len([name for name in body["data"] if name.startswith(_WINDOW)])
    kept = stored_reference(body)
    return kept is None or kept.digest == reference.digest


def _dump(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))
