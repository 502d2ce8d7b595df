"""Addresses as they may be shown: without what grants access."""

from urllib.parse import urlsplit, urlunsplit


def shown(uri: str) -> str:
    """The address without user, password, query and fragment: messages end in conditions that many people read."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return f"{uri.partition(':')[0]}://…"
    if parts.scheme not in ("http", "https"):
        return uri
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "…" if parts.query else "", ""))
