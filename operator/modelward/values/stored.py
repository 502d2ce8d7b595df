"""What an operator stored, read by another one, and by type: an object can be edited by anybody who may write it.

Fields that this operator does not know are a later one's, and are left out. So a release that adds a field can be taken
back, and an old standby may take the lease in the middle of an upgrade. What is missing or has another type is told by
a ValueError; whoever reads takes the whole for absent then.
"""

from typing import Annotated, Any, TypeVar

import msgspec

T = TypeVar("T")

Text = Annotated[str, msgspec.Meta(min_length=1)]
"""Of something that has a name or is none."""


class Stored(msgspec.Struct, kw_only=True, rename="camel"):
    """The shape of something as objects hold it: names in camelCase, times as text."""


def known(kind: type[T], raw: Any) -> T:
    """The dataclass or shape `kind` from plain values, as JSON has them. Raises ValueError, which says where."""
    try:
        return msgspec.convert(raw, kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def known_text(kind: type[T], text: str | bytes) -> T:
    """The same of JSON. Raises ValueError."""
    try:
        return msgspec.json.decode(text, type=kind)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
