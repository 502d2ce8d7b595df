"""Where the operator connects to for a tenant, and where it does not, however the address is written."""

import socket

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from yarl import URL

from modelward.net.guarded import (
    AddressRefusedError,
    GuardedResolver,
    check_literal,
    is_forbidden,
    may_call,
    open_guarded_session,
)

ANYWHERE = ("*",)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.8.8", "0.0.0.0", "169.254.169.254", "169.254.170.2", "::1", "::", "fe80::1", "fe80::1%eth0",
        "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fd00:ec2::254",
        "100.100.100.200", "168.63.129.16", "224.0.0.1", "ff02::1", "255.255.255.255",
        "fd00:ec2::23", "fd00:100::100:200", "fd20:ce::254", "192.0.0.192", "fd00:c1::a9fe:a9fe", "fd00:42::42",
        "fd00:a9fe:a9fe::1",
    ],
)  # fmt: skip
def test_addresses_of_the_node_and_the_cloud_are_nobodys_registry(address: str) -> None:
    assert is_forbidden(address)
    with pytest.raises(AddressRefusedError):
        check_literal(address, ANYWHERE)


@pytest.mark.parametrize("address", ["10.96.0.12", "192.168.1.2", "172.16.0.1", "52.1.2.3", "fd12::1", "2001:db8::1"])
def test_addresses_of_the_cluster_and_of_the_world_are_called(address: str) -> None:
    assert not is_forbidden(address)
    check_literal(address, ANYWHERE)


def test_the_installation_may_name_hosts_that_are_called_wherever_they_lead() -> None:
    check_literal("127.0.0.1", ("127.0.0.1",))
    assert may_call("Mlflow.Example.com", ("*.example.com",))
    assert not may_call("mlflow.example.org", ("*.example.com", "mlflow"))


@pytest.mark.parametrize("name", ["localhost", "127.1", "2130706433", "0x7f000001", "0177.0.0.1"])
async def test_no_spelling_of_this_process_own_address_gets_through(name: str) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(text="x")

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app, host="127.0.0.1") as server, open_guarded_session(ANYWHERE) as session:
        with pytest.raises((aiohttp.ClientError, OSError)):
            await session.get(f"http://{name}:{server.port}/", allow_redirects=False)
    assert asked == []


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize(
    "name", ["127.0.0.1", "[::ffff:7f00:1]", "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1",
             "127\u30020\u30020\u30021", "127.1", "2130706433"],
)  # fmt: skip
async def test_an_address_is_looked_at_as_the_session_reads_it(name: str, encoded: bool) -> None:
    """Whoever asks may have parsed it otherwise, as a store's address that a pipeline's system redirects to is."""
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.Response(text="x")

    app = web.Application()
    app.router.add_get("/", answer)
    async with TestServer(app, host="127.0.0.1") as server, open_guarded_session(ANYWHERE) as session:
        with pytest.raises((aiohttp.ClientError, OSError, ValueError)):
            await session.get(URL(f"http://{name}:{server.port}/", encoded=encoded), allow_redirects=False)
    assert asked == []


async def test_what_is_connected_to_is_what_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that leads to several addresses gives away the good ones alone."""
    told = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 80)) for each in ("169.254.169.254", "10.0.0.7", "127.0.0.1")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: told)
    resolver = GuardedResolver(ANYWHERE)
    assert [each["host"] for each in await resolver.resolve("both", 80)] == ["10.0.0.7"]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: told[::2])
    with pytest.raises(AddressRefusedError):
        await resolver.resolve("bad", 80)
    await resolver.close()
