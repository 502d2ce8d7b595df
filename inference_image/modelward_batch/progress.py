"""What a pod says at its end: one line of JSON, the last of the container's message, and above it why it will be tried
again.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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
    of the same number before it; `seconds`: of this process; `complete`: whether the run has its manifest."""

    rows: int = 0
    rejected: int = 0
    units: int = 0
    complete: bool = False


def message(told: Told, seconds: float, code: int, problem: str = "") -> str:
    """The container's message."""
    short = " ".join(problem.split())[:MAX_PROBLEM]
    while True:
        line = {
            "rows": told.rows, "rejected": told.rejected, "units": told.units, "seconds": round(seconds),
            "complete": told.complete, **({"problem": short} if code == INCURABLE else {}),
        }  # fmt: skip
        text = json.dumps(line)
        if problem and code == AGAIN:
            text = f"{short}\n{text}"
        if len(text.encode()) <= MAX_BYTES:
            return text
        short = f"{short[: len(short) * 3 // 4]}…"


def write(text: str, path: str | None = None) -> None:
    """Raises OSError."""
    Path(path or os.environ.get(VARIABLE) or DEFAULT).write_text(text)
