"""What a pod says at its end: one line of JSON, the last of the container's message, and above it why it will be tried
again.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

VARIABLE: Final = "MODELWARD_TERMINATION_LOG"
DEFAULT: Final = "/dev/termination-log"

MAX_PROBLEM: Final = 2000
"""Characters; the kubelet keeps 4096 bytes of a message."""

MAX_BYTES: Final = 3900

DONE, AGAIN, INCURABLE = 0, 1, 3
"""Exit codes: the own units are done; another attempt may help; none will."""


@dataclass(frozen=True)
class Told:
    """Of this pod's units: `rows` that were read, `rejected` ones among them; `units` that are done, by this pod or one
    of the same number before it; `complete`: whether the run has its manifest; `drift`: what that one says of it."""

    rows: int = 0
    rejected: int = 0
    units: int = 0
    complete: bool = False
    drift: Any = None


def message(told: Told, seconds: float, code: int, problem: str = "") -> str:
    """The container's message."""
    short = " ".join(problem.split())[:MAX_PROBLEM]
    drift = dict(told.drift) if code == DONE and isinstance(told.drift, Mapping) else None
    while True:
        line = {
            "rows": told.rows, "rejected": told.rejected, "units": told.units, "seconds": round(seconds),
            "complete": told.complete, **({"problem": short} if code == INCURABLE else {}),
            **({"drift": drift} if drift is not None else {}),
        }  # fmt: skip
        text = json.dumps(line)
        if problem and code == AGAIN:
            text = f"{short}\n{text}"
        if len(text.encode()) <= MAX_BYTES:
            return text
        drift, short = _shorter(drift), f"{short[: len(short) * 3 // 4]}…"


def _shorter(drift: dict[str, Any] | None) -> dict[str, Any] | None:
    """Without the last of its features: they are the least; and of a verdict alone that is too long nothing is told,
    rather than a part of it."""
    features = drift.get("features") if drift is not None else None
    if drift is None or not isinstance(features, list) or not features:
        return None
    return {**drift, "features": features[:-1]}


def write(text: str, path: str | None = None) -> None:
    """Raises OSError."""
    Path(path or os.environ.get(VARIABLE) or DEFAULT).write_text(text)
