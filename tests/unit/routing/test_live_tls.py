"""A real Envoy that speaks TLS with clients, as routers do with spec.router.tls: how it begins, and what a changed
Secret does to it."""

import json
import os
import socket
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
import urllib3
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

import certificates
from builders import PLATFORM, container, owner, pod, workload
from certificates import Certificate, Mount
from live_envoy import LiveEnvoy
from modelward.api.modeldeployment import Router, Tls
from modelward.api.traffic import Traffic
from modelward.facts import RouteTable
from modelward.revisions.health.diagnosis import diagnose
from modelward.routing.envoy import bootstrap as envoy
from modelward.routing.envoy import objects as router
from modelward.routing.envoy import probe as routerprobe
from modelward.routing.envoy import routes as envoy_routes

STABLE = "fraud-a"
OWNER = owner(router=Router(tls=Tls("fraud-tls")))
DEADLINE = 30.0


@pytest.fixture(scope="module")
def upstream() -> Iterator[int]:
    """A server of gRPC that gives back what it gets; a revision, and the port that it listens at."""

    class Echo(grpc.GenericRpcHandler):
        def service(self, _: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(lambda request, _: request)

    server = grpc.server(futures.ThreadPoolExecutor(1), handlers=(Echo(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield port
    server.stop(0).wait()


class Live:
    """The router, and the Secret that it mounts."""

    def __init__(self, folder: Path, program: Path, upstream: int) -> None:
        self.first = certificates.made()
        self.secret = Mount(folder / "tls", self.first.files)
        self._envoy = LiveEnvoy(
            folder, program, RouteTable(STABLE), Traffic(), {STABLE: upstream}, log_level="critical",
            certificate=self.secret.folder,
        )  # fmt: skip
        self.ports, self.http, self.close = self._envoy.ports, self._envoy.http, self._envoy.close
        self.admin = (folder / "admin").read_text().strip()

    @property
    def port(self) -> int:
        return self.ports["traffic"]

    def presented(self) -> bytes:
        """The certificate that a client sees now, DER."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with closing(handshake(self.port, context)) as connection:
            return connection.getpeercert(binary_form=True) or b""


def der(made: Certificate) -> bytes:
    return x509.load_pem_x509_certificate(made.chain).public_bytes(Encoding.DER)


def handshake(port: int, context: ssl.SSLContext) -> ssl.SSLSocket:
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 10.0), server_hostname="localhost")


def trusting(made: Certificate) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=made.chain.decode())


@pytest.fixture
def live(tmp_path: Path, program: Path, upstream: int) -> Iterator[Live]:
    made = Live(tmp_path, program, upstream)
    yield made
    made.close()


def until(what: str, condition: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.02)


def test_clients_speak_http_and_grpc_by_tls_and_nothing_else(live: Live) -> None:
    for protocol in ("h2", "http/1.1"):
        context = trusting(live.first)
        context.set_alpn_protocols([protocol])
        with closing(handshake(live.port, context)) as connection:
            assert connection.selected_alpn_protocol() == protocol
    https = urllib3.PoolManager(retries=False, timeout=10.0, ssl_context=trusting(live.first))
    # Answered by the router itself, by way of the same routes as without TLS.
    assert https.request("GET", f"https://localhost:{live.port}/metrics").status == 404
    credentials = grpc.ssl_channel_credentials(live.first.chain)
    with grpc.secure_channel(f"localhost:{live.port}", credentials) as channel:
        method = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", _registered_method=True)
        assert method(b"rows", timeout=20.0) == b"rows"
    with pytest.raises(urllib3.exceptions.ProtocolError):
        live.http.request("GET", f"http://127.0.0.1:{live.port}/v2")


@pytest.mark.parametrize(("newest", "taken"), [("TLSv1_1", False), ("TLSv1_2", True), ("TLSv1_3", True)])
def test_old_versions_of_tls_are_refused(live: Live, newest: str, taken: bool) -> None:
    context = trusting(live.first)
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is not the client that refuses
    context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1, ssl.TLSVersion[newest]
    if taken:
        handshake(live.port, context).close()
        return
    with pytest.raises(ssl.SSLError, match="PROTOCOL_VERSION"):
        handshake(live.port, context)


def test_probes_and_the_operator_ask_as_before(live: Live) -> None:
    address = f"http://127.0.0.1:{live.ports['inside']}/"
    said = live.http.request("GET", address, headers={"Host": envoy_routes.CONFIG_HOST}).data.decode()
    assert said == envoy_routes.version_of(RouteTable(STABLE), Traffic(), "ml", "cluster.local")
    with socket.create_connection(("127.0.0.1", live.ports["internal"]), 10.0) as connection:
        connection.sendall(b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(64).startswith(b"HTTP/1.1 404")


def test_a_changed_secret_is_taken_up_and_a_bad_one_is_not(live: Live) -> None:
    first, second, third = live.first, certificates.made(), certificates.made()
    assert live.presented() == der(first)
    held = handshake(live.port, trusting(first))
    bad: list[dict[str, bytes]] = [
        {"tls.crt": first.chain, "tls.key": second.key}, {"tls.crt": b"no PEM", "tls.key": b"no PEM"},
        {"tls.crt": b"", "tls.key": b""}, {"tls.crt": second.chain}, {},
    ]  # fmt: skip
    for number, files in enumerate(bad, 1):
        live.secret.put(files)
        until(f"change {number} is not seen", lambda seen=number: live_failures(live) >= seen)
        assert live.presented() == der(first)
    for good in (second, third):
        live.secret.put(good.files)
        until("the new certificate is not presented", lambda good=good: live.presented() == der(good))
    held.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert held.recv(64).startswith(b"HTTP/1.1 404")
    held.close()


def test_the_operator_learns_what_clients_are_shown_and_what_was_not_taken_up(live: Live) -> None:
    """By the router's metrics, from the live Envoy: not from what the Secret holds by now."""

    def told() -> Any:
        address = f"http://{live.admin}{routerprobe._CERTIFICATE_PATH}"
        return routerprobe._presented(200, live.http.request("GET", address).data)

    ends = x509.load_pem_x509_certificate(live.first.chain).not_valid_after_utc.timestamp()
    assert (told().expires, told().failures) == (ends, 0)
    live.secret.put({"tls.crt": b"no PEM", "tls.key": b"no PEM"})
    until("the change is not seen", lambda: told().failures == 1)
    assert told().expires == ends
    later = certificates.made(days=9)
    live.secret.put(later.files)
    until("the new certificate is not presented", lambda: live.presented() == der(later))
    assert told().expires > ends
    assert told().failures == 1


def live_failures(live: Live) -> int:
    text = live.http.request("GET", f"http://{live.admin}/stats?filter=key_rotation_failed").data.decode()
    return int(text.rsplit(":", 1)[1])


def begun(folder: Path, program: Path, files: dict[str, bytes], argument: str) -> tuple[int, str]:
    """What the container's own command comes to: its exit code and termination message."""
    (made,) = router.deployment(OWNER, PLATFORM)["spec"]["template"]["spec"]["containers"]
    secret, log = Mount(folder / "tls", files), folder / "termination-log"
    log.touch()

    def here(text: str) -> str:
        return text.replace(envoy.TLS_DIR, str(secret.folder)).replace("/dev/termination-log", str(log))

    variables = {each["name"]: here(each["value"]) for each in made["env"]}
    path = f"{program.parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [*map(here, made["command"]), argument], env={**variables, "PATH": path}, capture_output=True, timeout=60.0
    )
    return done.returncode, log.read_text()


GOOD = certificates.made()


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "CertificateMissing"),
        ({"tls.crt": GOOD.chain}, "CertificateMissing"),
        ({"tls.crt": GOOD.chain, "tls.key": b""}, "CertificateMissing"),
        ({"tls.crt": GOOD.chain, "tls.key": certificates.made().key}, "CertificateInvalid"),
        ({"tls.crt": b"no PEM", "tls.key": GOOD.key}, "CertificateInvalid"),
        ({"tls.crt": GOOD.chain, "tls.key": b"no PEM"}, "CertificateInvalid"),
        (GOOD.files, None),
    ],
)
def test_a_pod_begins_with_a_certificate_or_says_what_is_wrong(
    tmp_path: Path, program: Path, files: dict[str, bytes], reason: str | None
) -> None:
    code, message = begun(tmp_path, program, files, "--version")
    if reason is None:
        assert (code, message) == (0, "")
        return
    ended = container("envoy", exit_code=code, exit_message=message)
    told = diagnose(workload(1, 0, pods=(pod("r", ready=False, containers=(ended,)),)), "spec.router.resources")
    assert told is not None
    assert told.reason == reason
    assert "fraud-tls" in told.message
    assert json.loads(message)["message"] == told.message
