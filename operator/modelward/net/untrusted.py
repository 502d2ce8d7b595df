"""What pods and others answer, read without trust: JSON within bounds, and text that may be quoted. Pure.

Whoever serves an artifact may say anything. What a document costs is known before it is built: its bytes by the caller,
its values by its commas and brackets, its depth and its numbers while it is read.
"""

import json
import re
from typing import Any, Final
from urllib.parse import quote

MAX_ITEMS: Final = 400_000
"""Values of a document; the counts of a thousand features have a tenth of that."""

MAX_DEPTH: Final = 32
"""Of lists and objects in each other: whatever is recursive stays far from the interpreter's limit."""

MAX_DIGITS: Final = 20
"""Of a whole number. Counts have 62 bits; thousands of digits can be no float any more."""

QUOTED: Final = 200
"""Characters of a foreign text in a condition."""

IN_HEADER: Final = 128
"""Characters of a foreign text in a header of an answer."""

_VISIBLE: Final = "!\"#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""Visible ASCII beside letters and digits, and but for the percent sign."""


def decoded(body: bytes | str) -> Any:
    """The document. Raises ValueError where it is none, or beyond the bounds."""
    raw = body.encode() if isinstance(body, str) else body
    if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > MAX_ITEMS:
        raise ValueError(f"more than {MAX_ITEMS} values")
    try:
        document = json.loads(raw, parse_int=_whole)
    except RecursionError:
        raise ValueError(f"more than {MAX_DEPTH} lists and objects in each other") from None
    _check_depth(document)
    return document


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a whole number of {len(digits)} digits")
    return int(digits)


def _check_depth(document: Any) -> None:
    level = [document]
    for _ in range(MAX_DEPTH + 1):
        nested = (node.values() if isinstance(node, dict) else node for node in level if isinstance(node, (dict, list)))
        level = [child for children in nested for child in children if isinstance(child, (dict, list))]
        if not level:
            return
    raise ValueError(f"more than {MAX_DEPTH} lists and objects in each other")


def printable(text: str) -> str:
    """With a blank for what can't be seen; names of files and features are in every alphabet, and stay."""
    return "".join(each if each.isprintable() else " " for each in text)


_SECRET: Final = re.compile(
    r"\b([a-z][a-z0-9+.-]{0,31}://)(?:[^/\s?#'\"<>]*@)?([^\s?#'\"<>()]*)(?:[?#][^\s'\"<>()]*)?", re.IGNORECASE
)


def bare(text: str) -> str:
    """With the addresses in it without what may be secret of them: logins, queries (a signed address has its signature
    there) and fragments."""
    return _SECRET.sub(r"\1\2", text)


def quoted(text: object, most: int = QUOTED) -> str:
    """Printable ASCII on one line, cut: no control characters, no letters that look like others, no flood."""
    # Cut twice: megabytes need not be looked at for two hundred characters.
    words = " ".join(str(text)[: 8 * most].split())
    plain = "".join(each if " " <= each <= "~" else "?" for each in words)
    return plain if len(plain) <= most else plain[: most - 3] + "..."


def in_header(text: object, most: int = IN_HEADER) -> str:
    """Visible ASCII, cut; everything else is written as in addresses (RFC 3986, 2.1: `%20` is a blank, `%25` a percent
    sign), so that it can be told again what it was."""
    shown = ""
    for each in str(text)[:most]:
        letter = quote(each, safe=_VISIBLE, errors="replace")
        if len(shown) + len(letter) > most:
            break
        shown += letter
    return shown
