"""How a Job ended, as its controller says, and whether a pod has. Pure."""

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


def has_ended(pod: Mapping[str, Any]) -> bool:
    """Whether nothing of a pod runs any more or will: a Job's that is done, or one that was evicted or whose node was
    shut down, and another one takes its place. The API server keeps it for long."""
    return (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded")
