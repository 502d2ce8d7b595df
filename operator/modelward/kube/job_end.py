"""How a Job ended, as its controller says. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class Ending:
    """`kind`: Complete or Failed; `message`: why; `at`: seconds since the epoch; `reason`: one word of the
    controller's, such as DeadlineExceeded."""

    kind: str
    message: str
    at: float
    reason: str = ""


def ending_of(job: Mapping[str, Any]) -> Ending | None:
    """None while it has not ended."""
    for condition in (job.get("status") or {}).get("conditions") or ():
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            at, reason = condition.get("lastTransitionTime"), str(condition.get("reason") or "")
            message = condition.get("message") or reason
            return Ending(condition["type"], message, datetime.fromisoformat(at).timestamp() if at else 0.0, reason)
    return None
