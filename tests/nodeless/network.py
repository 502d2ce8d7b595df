"""A network for the pods of an API server without nodes, on which NetworkPolicies are enforced.

Each pod is a network namespace, joined to that of the node by a link of its own, as on the cluster without Docker. In
the node's, kube-router's NetworkPolicy controller follows the API server. Network namespaces are kept by open files
alone, so that nothing is left of them once the process has ended, however it did.
"""

import contextlib
import ctypes
import errno
import json
import os
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from localcluster import binaries, debian
from localcluster.commands import run
from localcluster.processes import Process
from localcluster.progress import SetupError

from .cluster import Cluster

NODE, NODE_IP = "policies", "10.98.255.1"
PODS = "10.98.0.{}"
GATEWAY = "169.254.1.1"
SERVICES = "10.96.0.0/16"
ANSWER_SECONDS = 10.0
"""What the engine refuses is refused at once; only what it drops would cost this."""

_FORWARDING = "/proc/sys/net/ipv4/ip_forward"
_REFUSALS = "/proc/sys/net/ipv4/icmp_ratelimit"
"""The kernel refuses no more than one connection a second to one host unless it is told to."""

_NEW_NETWORK = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
Result = TypeVar("Result")


def _apart(work: Callable[[], Result]) -> Result:
    """Run `work` in a thread of its own: a thread may change its network namespace, and ends with it."""
    found: list[Result] = []
    failed: list[Exception] = []

    def guarded() -> None:
        try:
            found.append(work())
        except Exception as error:  # noqa: BLE001  raised again where it was asked for
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return found[0]


def _call(name: str, *arguments: int) -> None:
    if getattr(_LIBC, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")


class Space:
    """A network namespace. A socket that is made in it stays in it."""

    def __init__(self) -> None:
        def made() -> int:
            _call("unshare", _NEW_NETWORK)
            return os.open(f"/proc/self/task/{threading.get_native_id()}/ns/net", os.O_RDONLY)

        self._file = _apart(made)
        self.ip("link set lo up")

    @property
    def path(self) -> str:
        return f"/proc/{os.getpid()}/fd/{self._file}"

    def within(self, work: Callable[[], Result]) -> Result:
        def entered() -> Result:
            _call("setns", self._file, _NEW_NETWORK)
            return work()

        return _apart(entered)

    def command(self, *words: str) -> list[str]:
        """A command line that runs `words` in it."""
        return ["nsenter", f"--net={self.path}", *words]

    def ip(self, *lines: str) -> None:
        """Commands of iproute2."""
        run(self.command("ip", "-batch", "-"), stdin="\n".join(lines) + "\n")

    def listen(self, address: str, port: int) -> socket.socket:
        def bound() -> socket.socket:
            listener = socket.socket()
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((address, port))
            listener.listen(4096)
            return listener

        return self.within(bound)

    def reaches(self, targets: Sequence[tuple[str, int]]) -> list[bool]:
        """For each address and port whether a connection comes about."""
        return self.within(lambda: _connect(targets))

    def close(self) -> None:
        os.close(self._file)


def _connect(targets: Sequence[tuple[str, int]]) -> list[bool]:
    """All at once."""
    tried = [socket.socket() for _ in targets]
    waiting = selectors.DefaultSelector()
    reached = [False] * len(targets)
    for number, (each, target) in enumerate(zip(tried, targets, strict=True)):
        each.setblocking(False)
        if each.connect_ex(target) in (0, errno.EINPROGRESS):
            waiting.register(each, selectors.EVENT_WRITE, number)
    end = time.monotonic() + ANSWER_SECONDS
    while waiting.get_map() and (left := end - time.monotonic()) > 0:
        for key, _ in waiting.select(left):
            connection = tried[key.data]
            reached[key.data] = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            waiting.unregister(connection)
    waiting.close()
    for each in tried:
        each.close()
    return reached


class Network:
    """`with Network(cluster, folder) as network:` has the engine run; pods are added by `join`."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self._cluster = cluster
        self._stack = contextlib.ExitStack()
        self.node = Space()
        self._stack.callback(self.node.close)
        self._engine = Process("networkpolicies", folder)
        self._joined = 0

    def __enter__(self) -> "Network":
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        self.node.ip(f"address add {NODE_IP}/32 dev lo")
        run(self.node.command("sh", "-c", f"echo 1 > {_FORWARDING} && echo 0 > {_REFUSALS}"))
        self._lead_to_the_api_server()
        self._cluster.kubectl("create", "-f", "-", stdin=json.dumps(
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        ))  # fmt: skip
        self._stack.callback(self._cluster.kubectl, "delete", "node", NODE)
        status = {"status": {"addresses": [{"type": "InternalIP", "address": NODE_IP}]}}
        patch = ("--subresource=status", "--type=merge", "-p", json.dumps(status))
        self._cluster.kubectl("patch", "node", NODE, *patch)
        engine = [str(binaries.network_policies()), str(self._cluster.server.kubeconfig), NODE, SERVICES]
        self._engine.start(self.node.command(*engine), dies_with_us=True)
        self._stack.callback(self._engine.stop)

    def _lead_to_the_api_server(self) -> None:
        """It listens on loopback; so what is on the node's loopback at the same port leads there."""
        host, port = self._cluster.server.url.removeprefix("https://").split(":")
        listener = self.node.listen(host, int(port))
        self._stack.callback(listener.close)
        self._stack.callback(listener.shutdown, socket.SHUT_RDWR)
        threading.Thread(target=_relay, args=(listener, (host, int(port))), daemon=True).start()

    def check(self) -> None:
        """Raises SetupError where the engine has ended."""
        self._engine.check()

    def end_enforcing(self) -> None:
        self._engine.stop()

    def rules(self) -> str:
        """What is left in the node's namespace, as iptables and ipset write it."""
        return run(self.node.command("iptables-save")) + run(self.node.command("ipset", "save"))

    def join(self) -> tuple[Space, str]:
        """A pod's network namespace, and its address."""
        pod, address, link = Space(), PODS.format(10 + self._joined), f"pod{self._joined}"
        self._joined += 1
        self._stack.callback(pod.close)
        self.node.ip(
            f"link add {link} type veth peer name eth0 netns {pod.path}", f"address add {GATEWAY}/32 dev {link}",
            f"link set {link} up", f"route add {address}/32 dev {link}",
        )  # fmt: skip
        pod.ip(
            f"address add {address}/32 dev eth0", "link set eth0 up", f"route add {GATEWAY}/32 dev eth0",
            f"route add default via {GATEWAY} dev eth0",
        )  # fmt: skip
        return pod, address

    def listen(self, pod: Space, ports: Sequence[int]) -> None:
        for port in ports:
            self._stack.callback(pod.listen("0.0.0.0", port).close)


def _relay(listener: socket.socket, target: tuple[str, int]) -> None:
    while True:
        try:
            inside, _ = listener.accept()
        except OSError:
            return
        outside = socket.create_connection(target)
        for source, sink in ((inside, outside), (outside, inside)):
            threading.Thread(target=_pour, args=(source, sink), daemon=True).start()


def _pour(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for each in (source, sink):
        with contextlib.suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()


def why_not_here() -> str | None:
    """Why there can be no such network on this machine, or None. Installs what is missing, where that can be done."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    try:
        debian.ensure(debian.POLICY_PACKAGES)
    except SetupError as error:
        return str(error)
    return None
