"""The session for addresses that tenants write: it connects to nothing that is the node's, the process's own, or a
cloud's.

A name is looked up once, and what is connected to is what was looked at, so that no name is one address for the check
and another for the connection. What no resolver sees, since it is an address itself, the session looks at as it is
connected to, whoever parsed it before. The installation may name hosts that are called wherever they lead.
Failure: AddressRefusedError, before anything is sent.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from fnmatch import fnmatchcase
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.helpers import is_ip_address

LOOKUPS: Final = 16
"""Names that are looked up at once, in threads of their own: one that takes long must not hold up what else is done
beside the event loop."""

_METADATA: Final = frozenset(
    ipaddress.ip_address(each)
    for each in (
        "fd00:ec2::254", "fd00:ec2::23", "100.100.100.200", "fd00:100::100:200", "168.63.129.16", "fd20:ce::254",
        "192.0.0.192", "fd00:c1::a9fe:a9fe", "fd00:42::42", "fd00:a9fe:a9fe::1",
    )
)  # fmt: skip
"""Services of clouds for their own machines, and for logins of pods, that have no link-local address: AWS, Alibaba,
Azure, Google, Oracle, Scaleway, Linode."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefusedError(OSError):
    """The operator does not connect there, whoever asks."""


def may_call(host: str, hosts: Sequence[str]) -> bool:
    """Whether the installation lets `host` be called. `hosts`: names, or patterns such as *.example.com."""
    return any(fnmatchcase(host.lower(), each.lower()) for each in hosts)


def is_forbidden(text: str) -> bool:
    """Whether an address is one that no tenant's registry has."""
    number = ipaddress.ip_address(text.partition("%")[0])
    for inner in _inside(number):
        if inner.is_loopback or inner.is_link_local or inner.is_unspecified or inner.is_multicast:
            return True
        if inner in _METADATA or (inner.version == 4 and inner.is_reserved):
            return True
    return False


def check_literal(host: str, hosts: Sequence[str]) -> None:
    """Of a host that is an address itself, which no resolver sees. Raises AddressRefusedError."""
    if host in hosts:
        return
    try:
        forbidden = is_forbidden(host)
    except ValueError:
        if not is_ip_address(host):
            return  # a name: the resolver looks at what it leads to
        raise AddressRefusedError(f"{host} is an address in a spelling of its own; write it as 10.96.0.12") from None
    if forbidden:
        raise AddressRefusedError(f"{host} is an address of the node, of this process or of the cloud")


def open_guarded_session(hosts: Sequence[str]) -> aiohttp.ClientSession:
    """As net.body.open_session. `hosts`: those that are named without a pattern are called wherever they lead."""
    connector = aiohttp.TCPConnector(limit=0, resolver=GuardedResolver(hosts))

    async def look_at(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        # One parser's host may be another one's address: 127.0.0.1 in full-width digits is a name to urllib.
        check_literal(request.url.raw_host or "", hosts)
        return await send(request)

    return aiohttp.ClientSession(
        connector=connector, auto_decompress=False, headers={"Accept-Encoding": "identity"},
        cookie_jar=aiohttp.DummyCookieJar(), middlewares=(look_at,),
    )  # fmt: skip


class GuardedResolver(AbstractResolver):
    """The system's, without the addresses that are forbidden."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts
        self._threads = ThreadPoolExecutor(LOOKUPS, "lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await asyncio.get_running_loop().run_in_executor(self._threads, _looked_up, host, port, family)
        allowed = [each for each in found if host in self._hosts or not is_forbidden(each["host"])]
        if not allowed:
            raise AddressRefusedError(f"{host} leads to an address of the node, of this process or of the cloud")
        return allowed

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)


def _looked_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    infos = socket.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG)
    return [
        ResolveResult(
            hostname=host, host=str(address[0]), port=int(address[1]), family=kind, proto=protocol,
            flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
        )
        for kind, _, protocol, _, address in infos
    ]  # fmt: skip


def _inside(number: Address) -> tuple[Address, ...]:
    """An address, and those of version 4 that it stands for."""
    if isinstance(number, ipaddress.IPv4Address):
        return (number,)
    mapped = [number.ipv4_mapped, number.sixtofour]
    if number in _NAT64:
        mapped.append(ipaddress.IPv4Address(int(number) & 0xFFFFFFFF))
    return (number, *(each for each in mapped if each is not None))
