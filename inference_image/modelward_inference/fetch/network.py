"""How a download reaches its store: proxies, certificates, and which addresses a redirect may lead to."""

import ipaddress
import socket
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3

from modelward_inference.authorities import private_authorities, trust

_METADATA = ipaddress.ip_address("fd00:ec2::254")
"""AWS's metadata service over IPv6, the one that is not link-local."""


def bundle(public: Path, folder: Path) -> str:
    """The path of one file with all authorities, as boto3 wants it; `public`: the file of the public ones."""
    own = private_authorities()
    if not own:
        return str(public)
    target = folder / "authorities.pem"
    target.write_bytes(b"\n".join(path.read_bytes() for path in (public, *own)))
    return str(target)


def pool(timeout: urllib3.Timeout, address: str) -> urllib3.PoolManager:
    """For one address: by the proxy of HTTPS_PROXY or HTTP_PROXY, unless NO_PROXY names its host."""
    parts = urlsplit(address)
    proxy = getproxies_environment().get(parts.scheme)
    if proxy and not proxy_bypass(parts.netloc.rpartition("@")[2]):
        if "://" not in proxy:
            proxy = f"http://{proxy}"
        credentials = urlsplit(proxy)
        headers = None
        if credentials.username:
            basic = f"{credentials.username}:{credentials.password or ''}"
            headers = urllib3.make_headers(proxy_basic_auth=basic)
        return urllib3.ProxyManager(proxy, proxy_headers=headers, timeout=timeout, retries=False, ssl_context=trust())
    # Reading all authorities takes longer than a small file.
    context = trust() if parts.scheme == "https" else None
    return urllib3.PoolManager(timeout=timeout, retries=False, ssl_context=context)


def is_of_the_node(address: str) -> bool:
    """Whether a host is this pod or its node: loopback, or link-local as the cloud's metadata service is."""
    host = unquote(urlsplit(address).hostname or "")
    try:
        found = {str(each[4][0]).partition("%")[0] for each in socket.getaddrinfo(host, None)}
    except OSError:
        return False  # behind a proxy, a pod may know no names
    return any(_is_of_the_node(ipaddress.ip_address(each)) for each in found)


def _is_of_the_node(number: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    if isinstance(number, ipaddress.IPv6Address) and number.ipv4_mapped is not None:
        number = number.ipv4_mapped
    return number.is_loopback or number.is_link_local or number.is_unspecified or number == _METADATA
