"""Who answers: the revision and the model's version as its registry has it, in the headers of every answer.

The operator's own router says the same of what it passes on; behind a Gateway, and where a pod is asked itself, nobody
else does. Both are told by the environment, and stay what they are as long as the process runs. Over gRPC they are
trailing metadata: initial metadata would be a frame, and a write, of its own.
"""

from collections.abc import Mapping
from typing import Final

from modelward_inference.errors import InvalidConfiguration

REVISION: Final = "x-modelward-revision"
VERSION: Final = "x-modelward-model-version"

MAX_VALUE: Final = 128
"""Characters of a value."""

Headers = tuple[tuple[str, str], ...]

_SETTINGS: Final = {"MODEL_REVISION": REVISION, "MODEL_REGISTRY_VERSION": VERSION}


def from_environment(environment: Mapping[str, str]) -> Headers:
    """Those that are set. Raises InvalidConfiguration for what is no value of a header."""
    found = []
    for name, header in _SETTINGS.items():
        value = environment.get(name, "")
        if len(value) > MAX_VALUE or not all("!" <= each <= "~" for each in value):
            raise InvalidConfiguration(
                f"{name} is {value[: 2 * MAX_VALUE]!r}; set it to at most {MAX_VALUE} visible characters of ASCII"
            )
        if value:
            found.append((header, value))
    return tuple(found)
