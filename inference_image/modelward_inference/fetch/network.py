"""How a download reaches its store: proxies, certificates, and which addresses a redirect may lead to."""

import ipaddress
import os
import socket
import ssl
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment, proxy_bypass

import urllib3

CA_VARIABLE = "CA_BUNDLE"

_METADATA = ipaddress.ip_address("fd00:ec2::254")
"""AWS's metadata service over IPv6, the one that is not link-local."""


def private_authorities() -> Path | None:
    """The file of CA_BUNDLE; None where it is not set, or where the namespace has none."""
    path = Path(os.environ.get(CA_VARIABLE, ""))
    return path if path.is_file() else None


def trust() -> ssl.SSLContext:
    """The public authorities, and the installation's own."""
    context = ssl.create_default_context()
    path = private_authorities()
    if path is not None:
        context.load_verify_locations(path)
    return context


def bundle(public: Path, folder: Path) -> str:
    """The path of one file with all authorities, as boto3 wants it; `public`: the file of the public ones."""
    path = private_authorities()
    if path is None:
        return str(public)
    target = folder / "authorities.pem"
    target.write_bytes(public.read_bytes() + b"\n" + path.read_bytes())
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
    return urllib3.PoolManager(timeout=timeout, retries=False, ssl_context=trust())


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
