"""Which addresses a feature server may have: the author of a ModelDeployment writes it, and the pod asks there.

What is the node's or the cloud's is refused, also where a name leads there. Loopback is the pod itself, where a feature
server may run beside the model (spec.template): it is let through where the address says so in plain words.
"""

import ipaddress
from typing import Final

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
_OWN: Final = frozenset({"localhost", "127.0.0.1", "::1"})

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_allowed(host: str, address: str) -> bool:
    """Whether to connect to `address`, to which `host` led."""
    number = ipaddress.ip_address(address.partition("%")[0])
    for inner in _inside(number):
        if inner.is_loopback:
            return host.lower() in _OWN
        if inner.is_link_local or inner.is_unspecified or inner.is_multicast or inner in _METADATA:
            return False
        if inner.version == 4 and inner.is_reserved:
            return False
    return True


def _inside(number: Address) -> tuple[Address, ...]:
    """An address, and those of version 4 that it stands for."""
    if isinstance(number, ipaddress.IPv4Address):
        return (number,)
    inner = [each for each in (number.ipv4_mapped, number.sixtofour) if each is not None]
    if number in _NAT64:
        inner.append(ipaddress.IPv4Address(int(number) & 0xFFFFFFFF))
    return (number, *inner)
