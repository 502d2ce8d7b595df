"""Durations and shares as users write them: 500ms, 30s, 2m, 1h, 60d; 0.5%."""

from typing import Final

_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """The duration in seconds. Raises ValueError for what the CRD's pattern would have refused."""
    for unit, factor in _SECONDS.items():
        number = text.removesuffix(unit)
        if number != text and number.isdecimal():
            return int(number) * factor
    raise ValueError(f"{text!r} is no duration; write one such as 500ms, 30s or 2m")


def period(text: str) -> float:
    """The same with days, which a duration of a moment has none of: 60d. Raises ValueError."""
    days = text.removesuffix("d")
    return int(days) * 86400.0 if days != text and days.isdecimal() else seconds(text)


def share(text: str) -> float:
    """The share that a percentage stands for: 0.005 for 0.5%. Raises ValueError for what is none."""
    number = text.removesuffix("%")
    if number != text and number.replace(".", "", 1).isdecimal() and float(number) <= 100:
        return float(number) / 100
    raise ValueError(f"{text!r} is no percentage; write one such as 0.5%")
