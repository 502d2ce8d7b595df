"""Parts of one kind, each the sums of some rows."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self, TypeVar


class Summable(Protocol):
    def __add__(self, other: Self) -> Self: ...


Part = TypeVar("Part", bound=Summable)


def summed(parts: Iterable[Part], key: Callable[[Part], Any]) -> tuple[Part, ...]:
    """One part a key, by rising keys."""
    sums: dict[Any, Part] = {}
    for each in parts:
        of = key(each)
        sums[of] = sums[of] + each if of in sums else each
    return tuple(sums[of] for of in sorted(sums))
