"""How much a download may bring and how long it may take: whoever answers at an address must not fill a node's disk."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from modelward_inference.errors import InvalidConfiguration

MAX_BYTES = 10 << 30
SECONDS = 3600.0


@dataclass(frozen=True)
class Limits:
    """`size`: bytes of the artifact, and of what it unpacks to; `seconds`: of all attempts together."""

    size: int = MAX_BYTES
    seconds: float = SECONDS

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> "Limits":
        """MAX_MODEL_BYTES and DOWNLOAD_TIMEOUT_SECONDS. Raises InvalidConfiguration."""
        found = {}
        for name, default in (("MAX_MODEL_BYTES", MAX_BYTES), ("DOWNLOAD_TIMEOUT_SECONDS", int(SECONDS))):
            text = environment.get(name, str(default))
            if not text.isdecimal() or int(text) == 0:
                raise InvalidConfiguration(f"{name} is {text!r}; set it to a whole number, 1 or more")
            found[name] = int(text)
        return cls(found["MAX_MODEL_BYTES"], float(found["DOWNLOAD_TIMEOUT_SECONDS"]))


DEFAULT = Limits()
