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


def age(since: object, now: float) -> str | None:
    """How long ago a time was, as kubectl says it: 45s, 12m, 31h, 9d; None: it is no time. `now`: since the epoch."""
    try:
        seconds = max(0, int(now - read(str(since))))
    except ValueError:
        return None
    for unit, long, until in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds // long}{unit}"
    return f"{seconds // 86_400}d"
