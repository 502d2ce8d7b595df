"""What an operator stored, read by another one: fields that this one does not know are a later one's, and are left out.

So a release that adds a field can be taken back, and an old standby may take the lease in the middle of an upgrade.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypeVar

T = TypeVar("T")


def known(kind: type[T], raw: Mapping[str, Any]) -> T:
    """The dataclass `kind` from its fields as they were stored. Raises TypeError where one is missing, AttributeError
    for what is no mapping."""
    names = {each.name for each in fields(kind)}  # type: ignore[arg-type]
    return kind(**{name: value for name, value in raw.items() if name in names})
