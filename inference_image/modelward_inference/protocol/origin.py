"""Whose request it is, for what is kept of it: the router's id, the caller's own key, and the arm that it was sent to.

Headers are kept as they came, and read where many are handled at once: a request pays only for being looked at.
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from modelward_inference.protocol.messages import RequestError

KEY_HEADER: Final = "modelward-key"
"""The caller's own name of a request, such as an order's number, by which its outcome may come later."""

KEY_PARAMETER: Final = "modelward_key"
"""The same, as a parameter of a V2 request. The header comes first."""

ARMS_HEADER: Final = "x-modelward-arms"
"""From the router alone: `shadow` for a copy, else the arms of this request's split as `revision=arm,revision=arm`: who
answers finds itself, also where the stable stands in for an arm that can't be reached."""

COPY: Final = "shadow"
"""The whole value of that header, of a copy."""

MAX_KEY: Final = 256
"""Bytes."""

MAX_ID: Final = 128
"""Characters that are kept of a request's id; the router's have 36."""

DIRECT: Final = "direct"
"""The arm of what no split sent here: a preview, or a request past the router."""

ARMS: Final = frozenset({"stable", "candidate", "variant", COPY, DIRECT})


class Origin(NamedTuple):
    """`request_id`, `arms`: headers as they came, empty: there is none. `key`: None: there is none. `trace`: as
    traceparent, the span that the server makes of it; empty: none is kept."""

    request_id: str = ""
    key: str | None = None
    arms: str = ""
    trace: str = ""


UNKNOWN: Final = Origin()

Asked = tuple[Origin | None, int, float]
"""A request behind a call of the model: whose, how many rows, and when it came, seconds on the monotonic clock."""


def checked_key(key: Any, where: str) -> str:
    """The caller's key, from a header's bytes or a parameter. `where`: what to call it. Raises RequestError."""
    if isinstance(key, bytes):
        try:
            key = key.decode()
        except UnicodeDecodeError:
            raise RequestError(f"{where} is no UTF-8; send text, such as an order's number") from None
    if type(key) is int:
        key = str(key)
    if not isinstance(key, str) or not key or not key.isprintable() or len(key.encode()) > MAX_KEY:
        raise RequestError(f"{where} must be printable text of 1 to {MAX_KEY} bytes, such as an order's number")
    return key


def key_of(header: bytes | str | None, parameters: Mapping[str, Any]) -> str | None:
    """The caller's key of a request, None where it names none. Raises RequestError."""
    if header is not None:
        return checked_key(header, f"the header {KEY_HEADER}")
    if KEY_PARAMETER in parameters:
        return checked_key(parameters[KEY_PARAMETER], f"parameters.{KEY_PARAMETER}")
    return None


@lru_cache(maxsize=64)
def arm_of(arms: str, revision: str) -> str:
    """Which of ARMS a request with the header `arms` was sent to, as `revision` sees it."""
    if arms == COPY:
        return arms
    pairs = (part.partition("=") for part in arms.split(","))
    found = next((arm for name, _, arm in pairs if name == revision and revision), DIRECT)
    return found if found in ARMS else DIRECT
