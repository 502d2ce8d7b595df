"""Who may see the page: whoever has its address, which has a random word in it, from a browser on this machine. Pure.

Other people's programs on this machine can connect to it, and so can every web page that its user opens: by its
address, by a form or an image, or under a name of its own that it lets point here (DNS rebinding). So the word is
wanted, the name that the browser was told has to be ours, and what another page's script asks for is refused. The
word is in the path and not in a cookie: those of one port are sent to every port of a host.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hmac import compare_digest
from typing import Final

BYTES: Final = 32
"""Of the word: nobody tries that many."""

HOSTS: Final = ("127.0.0.1", "localhost")


@dataclass(frozen=True)
class Refusal:
    """`status`: of HTTP."""

    status: int
    message: str


def word() -> str:
    """A new one."""
    return secrets.token_urlsafe(BYTES)


def refusal(method: str, path: str, headers: Mapping[str, Sequence[str]], port: int, secret: str) -> Refusal | None:
    """None: it may be answered. `path`: without its query; `headers`: by their names in lower case, with all values."""
    hosts = headers.get("host", ())
    if len(hosts) != 1 or hosts[0].lower() not in {f"{name}:{port}" for name in HOSTS}:
        return Refusal(421, f"This page is for http://{HOSTS[0]}:{port} alone, and was asked for under another name.")
    if any(origin.lower() != f"http://{hosts[0].lower()}" for origin in headers.get("origin", ())):
        return Refusal(403, "Pages of others may not ask this one.")
    if headers.get("sec-fetch-site", ["none"])[0] not in ("none", "same-origin") and not _is_visit(headers):
        return Refusal(403, "Pages of others may not ask this one.")
    given = path.encode(errors="replace").split(b"/")
    if len(given) < 3 or not compare_digest(given[1], secret.encode()):
        return Refusal(404, "There is no such page. Open the whole address that `kubectl modelward ui` printed.")
    if method not in ("GET", "HEAD"):
        return Refusal(405, "This page is to be read, and nothing else.")
    return None


def _is_visit(headers: Mapping[str, Sequence[str]]) -> bool:
    """Whether a person follows a link to it, such as that of a terminal in a browser: no page can read what comes."""
    asked = [headers.get(f"sec-fetch-{each}", [""])[0] for each in ("mode", "dest")]
    return asked == ["navigate", "document"]
