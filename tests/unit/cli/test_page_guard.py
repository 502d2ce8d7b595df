"""Who may see the status page: a table of what browsers and others send."""

import pytest

from modelward_cli.page import guard

PORT, SECRET = 8765, "word-of-the-address"
OWN = "127.0.0.1:8765"


def status(method: str = "GET", path: str = f"/{SECRET}/", host: str | None = OWN, **headers: str) -> int | None:
    given = {name.replace("_", "-"): [value] for name, value in headers.items()}
    if host is not None:
        given["host"] = [host]
    refused = guard.refusal(method, path, given, PORT, SECRET)
    return refused.status if refused else None


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        ({}, None),
        ({"host": "localhost:8765"}, None),
        ({"host": "LOCALHOST:8765"}, None),
        ({"path": f"/{SECRET}/page.js"}, None),
        ({"method": "HEAD"}, None),
        # DNS rebinding: a name of others that leads here.
        ({"host": "evil.example:8765"}, 421),
        ({"host": "127.0.0.1.evil.example:8765"}, 421),
        ({"host": "127.0.0.1"}, 421),
        ({"host": "127.0.0.1:80"}, 421),
        ({"host": "[::1]:8765"}, 421),
        ({"host": "0.0.0.0:8765"}, 421),
        ({"host": ""}, 421),
        ({"host": None}, 421),
        # Others' pages.
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://127.0.0.1:8765"}, 403),
        ({"origin": "http://127.0.0.1:9000"}, 403),
        ({"origin": f"http://{OWN}"}, None),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors", "sec_fetch_dest": "image"}, 403),
        ({"sec_fetch_site": "same-site", "sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "iframe"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}, None),
        ({"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors", "sec_fetch_dest": "empty"}, None),
        ({"sec_fetch_site": "none", "sec_fetch_mode": "navigate", "sec_fetch_dest": "document"}, None),
        # Without the word.
        ({"path": "/"}, 404),
        ({"path": ""}, 404),
        ({"path": f"/{SECRET}"}, 404),
        ({"path": f"//{SECRET}/"}, 404),
        ({"path": "/word-of-the-addresS/"}, 404),
        ({"path": f"/{SECRET}x/"}, 404),
        ({"path": "/\udcff/"}, 404),
        ({"method": "POST"}, 405),
        ({"method": "DELETE", "path": "/"}, 404),
    ],
)
def test_who_is_let_in(asked: dict[str, str | None], answer: int | None) -> None:
    assert status(**asked) == answer  # type: ignore[arg-type]


def test_two_names_of_the_host_are_none() -> None:
    refused = guard.refusal("GET", f"/{SECRET}/", {"host": [OWN, "evil.example"]}, PORT, SECRET)
    assert refused is not None
    assert refused.status == 421


def test_no_refusal_tells_the_word() -> None:
    for path in ("/", "/x/"):
        refused = guard.refusal("GET", path, {"host": [OWN]}, PORT, SECRET)
        assert refused is not None
        assert SECRET not in refused.message


def test_words_are_long_and_never_the_same() -> None:
    words = {guard.word() for _ in range(100)}
    assert len(words) == 100
    assert min(map(len, words)) >= 43, "256 bits"
