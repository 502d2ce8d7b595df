"""What a namespace may still cost the operator: seconds that it waits for pods in vain, and bytes of answers.

A pod that answers soon costs no seconds, so it is asked whatever its neighbours do. One that kept the operator waiting
is a suspect: it is asked again only where the namespace has the time left, which is put aside before, so that many of
them at once can't take more than there is. What is spent comes back with time.
"""

from dataclasses import dataclass, replace
from typing import Final

SECONDS: Final = 20.0
SECONDS_EACH: Final = 0.5
"""Of vain waiting: at once, and each second. A worker of the operator's waits half of its time at most for the suspects
of a namespace, and ten that fall silent are noticed without being left out."""

BYTES: Final = 64 << 20
BYTES_EACH: Final = 8 << 20
"""Of answers: at once, and each second. Reading 8 MiB takes a fifth of a second; fifty pods of models of a thousand
features say as much in ten."""

WAIT: Final = 2.0
"""Seconds that one question may take, which a suspect's is put aside for."""

SOON: Final = 1.0
"""Seconds within which an answer costs nothing but its bytes."""


@dataclass(frozen=True)
class Purse:
    """`at`: when it was looked at last, seconds of a monotonic clock."""

    seconds: float = SECONDS
    size: float = float(BYTES)
    at: float = float("-inf")

    def now(self, now: float) -> "Purse":
        """With what has come back since."""
        passed = max(0.0, now - self.at)
        return Purse(
            min(SECONDS, self.seconds + SECONDS_EACH * passed), min(float(BYTES), self.size + BYTES_EACH * passed), now
        )

    def asked(self, *, suspect: bool) -> "Purse | None":
        """What is left while a pod is asked; None where it is not to be."""
        if self.size <= 0 or (suspect and self.seconds < WAIT):
            return None
        return replace(self, seconds=self.seconds - WAIT) if suspect else self

    def answered(self, seconds: float, size: int, *, suspect: bool, in_vain: bool) -> "Purse":
        """After a question that took `seconds`. `in_vain`: nobody answered."""
        before = self.seconds + (WAIT if suspect else 0.0)
        left = max(0.0, before - cost(seconds, in_vain=in_vain))
        return replace(self, seconds=min(SECONDS, left), size=self.size - size)


def cost(seconds: float, *, in_vain: bool) -> float:
    """Seconds that a question took of its namespace's."""
    return seconds if in_vain else max(0.0, seconds - SOON)
