"""Times as status has them: RFC 3339, UTC, to the microsecond, so that what is read is what was written."""

from datetime import UTC, datetime


def show_time(time: float) -> str:
    """`time`: seconds since the epoch."""
    return datetime.fromtimestamp(time, UTC).isoformat().replace("+00:00", "Z")


def read_time(text: str) -> float:
    """Seconds since the epoch, of a time that can be shown again. Raises ValueError."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except OverflowError:
        raise ValueError(f"{text} is beyond what a time can be") from None
