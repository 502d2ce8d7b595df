"""Times: RFC 3339, UTC."""

from datetime import UTC, datetime


def shown(seconds: float) -> str | None:
    """`seconds`: since the epoch; None: that is no time."""
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return None


def read(text: str) -> float:
    """Seconds since the epoch. Raises ValueError for what is no time; one without a zone is UTC."""
    try:
        found = datetime.fromisoformat(text)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except OverflowError:
        raise ValueError(f"{text} is beyond what a time can be") from None
