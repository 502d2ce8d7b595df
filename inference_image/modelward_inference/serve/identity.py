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


def value(name: str, environment: Mapping[str, str]) -> str:
    """What the variable `name` says, empty where it is not set. Raises InvalidConfiguration for what is no value of a
    header."""
    found = environment.get(name, "")
    if len(found) > MAX_VALUE or not all("!" <= each <= "~" for each in found):
        raise InvalidConfiguration(
            f"{name} is {found[: 2 * MAX_VALUE]!r}; set it to at most {MAX_VALUE} visible characters of ASCII"
        )
    return found


def headers(revision: str, version: str) -> Headers:
    """Those of which there is something to say."""
    return tuple((name, said) for name, said in ((REVISION, revision), (VERSION, version)) if said)
