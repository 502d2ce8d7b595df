"""What a trigger asks and is answered, so that a stand-in can be held against the real system.

Both are put through the same run. Of each kind of question the stand-in has to answer with the status that the real one
answers with, and to have in its answer nothing that the real one's lacks, and nothing of another JSON type.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final
from unittest import mock
from urllib.parse import urlsplit

from modelward.retraining.triggers.outgoing import Answer, Client

_ID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_SENT: Final = Client._sent
_TYPES: Final = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}

Shape = Any
"""The name of a JSON type; an object of shapes; a list with the shapes of its items, each once."""


@dataclass(frozen=True)
class Exchange:
    """`asked`: method and path, without what differs from run to run; `shape`: of the answer, None where it is no
    JSON."""

    asked: str
    status: int
    shape: Shape

    def as_json(self) -> dict[str, Any]:
        return {"asked": self.asked, "status": self.status, "shape": self.shape}


def shape(document: Any) -> Shape:
    if isinstance(document, Mapping):
        return {str(name): shape(value) for name, value in document.items()}
    if isinstance(document, list):
        found: list[Shape] = []
        for each in map(shape, document):
            found += [] if each in found else [each]
        return found
    return _TYPES[type(document)]


@contextmanager
def exchanges(*varying: str) -> Iterator[list[Exchange]]:
    """Those of all triggers within it, each once; where one is in another, the inner one's are its own. `varying`:
    patterns of what differs from run to run in a path, besides ids."""
    seen: list[Exchange] = []

    async def noted(self: Client, method: str, url: str, *rest: Any, **named: Any) -> Answer:
        answer = await _SENT(self, method, url, *rest, **named)
        path = _ID.sub("ID", urlsplit(url).path)
        for each in varying:
            path = re.sub(each, "ID", path)
        found = Exchange(f"{method} {path}", answer.status, shape(answer.document) if answer.body else None)
        if found not in seen:
            seen.append(found)
        return answer

    with mock.patch.object(Client, "_sent", noted):
        yield seen


def differences(pretended: Sequence[Exchange], real: Sequence[Exchange]) -> list[str]:
    """Where the stand-in answers otherwise than the real one does."""
    found = []
    for each in pretended:
        alike = [other for other in real if (other.asked, other.status) == (each.asked, each.status)]
        if not alike:
            statuses = sorted({other.status for other in real if other.asked == each.asked})
            found.append(f"{each.asked}: {each.status}, and the real one answers {statuses}")
        elif not any(not _beyond(each.shape, other.shape) for other in alike):
            found += [f"{each.asked}: {line}" for line in _beyond(each.shape, alike[0].shape)]
    return found


def _beyond(pretended: Shape, real: Shape, where: str = "") -> list[str]:
    if isinstance(pretended, Mapping) and isinstance(real, Mapping):
        found = [f"{where or '.'} has {name}" for name in pretended if name not in real]
        shared = [name for name in pretended if name in real]
        return found + [line for name in shared for line in _beyond(pretended[name], real[name], f"{where}.{name}")]
    if isinstance(pretended, list) and isinstance(real, list):
        # Of an empty list nothing is known.
        return [
            line
            for each in pretended
            for line in ([] if not real or any(not _beyond(each, other) for other in real) else [f"{where}[] differs"])
        ]
    return [] if pretended == real else [f"{where or '.'} is {pretended}, and not {real}"]
