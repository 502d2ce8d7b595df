"""Programs of a test's own on addresses of this machine: a port for one, and whether it answers."""

import socket
import urllib.request

DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""Whatever proxy the environment names."""


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def answers(url: str) -> bool:
    """Whether something at `url` answers that it is well."""
    try:
        with DIRECT.open(url, timeout=1.0) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
