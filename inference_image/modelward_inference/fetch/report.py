"""What a successful `fetch` leaves in the termination log: the operator shows it in status."""

import json
from typing import Any

from modelward_inference.bundle import Manifest
from modelward_inference.errors import MAX_REPORT

_MAX_TEXT = 400
"""Characters of one warning or reason."""


def summary(manifest: Manifest) -> str:
    """One JSON object of at most MAX_REPORT bytes. Warnings that don't fit are counted in the last one."""
    compilation = manifest.compilation
    form = compilation.form if compilation else "original"
    what = manifest.artifact_format or manifest.format
    served = f"compiled to {manifest.format}" if form == "compiled" else "as it is"
    found: dict[str, Any] = {
        "reason": "Fetched",
        "message": f"{what} model of {manifest.size} bytes, served {served}",
        "digest": manifest.digest,
        "size": manifest.size,
        "format": what,
        "form": form,
        "fallback": _clipped(compilation.fallback) if compilation and compilation.fallback else None,
        "warnings": [_clipped(warning) for warning in manifest.warnings],
    }
    text = json.dumps(found)
    left_out = 0
    while len(text.encode()) > MAX_REPORT:
        left_out += 1
        kept = [_clipped(warning) for warning in manifest.warnings][: len(manifest.warnings) - left_out]
        text = json.dumps({**found, "warnings": [*kept, f"{left_out} more in the container's log"]})
    return text


def _clipped(text: str) -> str:
    return text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
