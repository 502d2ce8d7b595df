"""A change that is told as a Kubernetes Event, and its name by which a repeated post is known. Pure."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Transition:
    """What happened. `kind`: Normal or Warning; `since`: makes the same change at another time another Event.

    `result`: of a rollout that ended with it.
    """

    kind: str
    reason: str
    message: str
    since: str
    result: str | None = None

    def name(self, owner: str, uid: str) -> str:
        """A name that a repeated attempt after a crash gives again, so that the API server refuses the second."""
        text = "\n".join((uid, self.kind, self.reason, self.message, self.since))
        return f"{owner}.{hashlib.sha256(text.encode()).hexdigest()[:16]}"
