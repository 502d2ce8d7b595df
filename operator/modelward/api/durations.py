"""Durations as users write them: 500ms, 30s, 2m."""

from typing import Final

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0}


def seconds(text: str) -> float:
    """The duration in seconds. Raises ValueError for what the CRD's pattern would have refused."""
    for unit, factor in _SECONDS.items():
        number = text.removesuffix(unit)
        if number != text and number.isdecimal():
            return int(number) * factor
    raise ValueError(f"{text!r} is no duration; write one such as 500ms, 30s or 2m")
