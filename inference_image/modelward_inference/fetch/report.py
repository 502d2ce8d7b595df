"""What `download` and `compile` leave in their termination logs where all is well: the operator shows it in status.

Of the bytes and their format the operator believes the download alone; `compile` tells what became of them.
"""

import json
from collections.abc import Mapping
from typing import Any

from modelward_inference.artifact.bundle import Manifest
from modelward_inference.artifact.receipt import Receipt
from modelward_inference.errors import MAX_REPORT

_MAX_TEXT = 400
"""Characters of one warning or reason."""


def of_download(receipt: Receipt, key: str | None = None, trouble: Mapping[str, str] | None = None) -> str:
    """One JSON object. `key`: the pod's public one, by which the operator knows it: only the kubelet can say what a
    container of this pod left, so nobody else announces it. `trouble`: why the cache could not be used."""
    found: dict[str, Any] = {
        "reason": "Downloaded",
        "message": f"{receipt.format} model of {receipt.size} bytes",
        "digest": receipt.digest,
        "size": receipt.size,
        "format": receipt.format,
        "model": receipt.model,
        **({"signed_by": receipt.signed_by} if receipt.signed_by else {}),
    }
    return json.dumps(found | ({"key": key} if key else {}) | _cache(trouble))


def of_keeping(trouble: Mapping[str, str] | None, *, held: bool) -> str:
    """One JSON object, of `keep-bundle`. `held`: the bundle is in the cache."""
    told = {"reason": "Kept" if held else "NotKept", "message": "the bundle is in the cache" if held else "it is not"}
    return json.dumps(told | _cache(trouble))


def _cache(trouble: Mapping[str, str] | None) -> dict[str, Any]:
    return {"cache": {name: _clipped(text) for name, text in trouble.items()}} if trouble else {}


def of_compile(manifest: Manifest) -> str:
    """One JSON object of at most MAX_REPORT bytes. Warnings that don't fit are counted in the last one."""
    compilation = manifest.compilation
    form = compilation.form if compilation else "original"
    what = manifest.artifact_format or manifest.format
    served = f"compiled to {manifest.format}" if form == "compiled" else "as it is"
    found: dict[str, Any] = {
        "reason": "Compiled",
        "message": f"{what} model of {manifest.size} bytes, served {served}",
        "form": form,
        "fallback": _clipped(compilation.fallback) if compilation and compilation.fallback else None,
        "warnings": [_clipped(warning) for warning in manifest.warnings],
    }
    return _fitting(found)


def summary(manifest: Manifest) -> str:
    """What `fetch` says, which does both: one JSON object of at most MAX_REPORT bytes."""
    told = {"digest": manifest.digest, "size": manifest.size, "format": manifest.artifact_format or manifest.format}
    return _fitting({**json.loads(of_compile(manifest)), "reason": "Fetched", **told})


def _fitting(found: dict[str, Any]) -> str:
    text = json.dumps(found)
    kept = list(found["warnings"])
    left_out = 0
    while len(text.encode()) > MAX_REPORT and left_out < len(kept):
        left_out += 1
        text = json.dumps({**found, "warnings": [*kept[:-left_out], f"{left_out} more in the container's log"]})
    return text


def _clipped(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
