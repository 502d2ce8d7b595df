"""What is told of a pipeline's system has no secret of the login that it was asked with, however it is repeated."""

import base64
import html
import json
from urllib.parse import quote, quote_plus

import aiohttp
import pytest

from modelward.retraining.triggers.outgoing import Client, Login, Outgoing

SECRET = 'p/ss+w\u00f6rd "&<=%'


@pytest.fixture
async def client() -> Client:
    # Nothing is asked, so that the session opens no connection.
    async with aiohttp.ClientSession() as session:
        outgoing = Outgoing(session, ("ci.example.com",))
        return outgoing.client("https://ci.example.com", "spec.retrain.jenkins.url", Login("Basic x", "it", (SECRET,)))


@pytest.mark.parametrize("spelled", [
    SECRET, quote(SECRET), quote(SECRET, safe=""), quote(SECRET, safe="").lower(), quote_plus(SECRET),
    json.dumps(SECRET)[1:-1], html.escape(SECRET), base64.b64encode(SECRET.encode()).decode(),
    base64.b64encode(SECRET.encode()).decode().rstrip("="),
])  # fmt: skip
async def test_no_spelling_of_a_secret_is_told(client: Client, spelled: str) -> None:
    for told in (client.told(f"it was {spelled}, not more"), client.end_of(f"it was {spelled}, not more")):
        assert "it was ***, not more" in told


async def test_a_login_without_secrets_hides_nothing() -> None:
    async with aiohttp.ClientSession() as session:
        client = Outgoing(session, ("ci.example.com",)).client("https://ci.example.com", "url", Login(None, "", ("",)))
    assert client.told("all of it") == "all of it"
