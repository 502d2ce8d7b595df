"""Downloads from a store that changes, lies, never ends or leads elsewhere, over real sockets of the loopback."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from modelward_inference import errors
from modelward_inference.fetch.limits import DEFAULT, Limits
from modelward_inference.fetch.sources import network, source
from modelward_inference.fetch.sources.http import HttpSource
from modelward_inference.fetch.sources.s3 import S3Source
from threaded import answering

from .artifacts import digest

OLD, NEW = b"A" * 40_000, b"B" * 40_000
HALF = 20_000


@dataclass
class Answer:
    """What the store says to one request. `sent`: of the body, where less than it promises."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    sent: int | None = None


class Store(ThreadingHTTPServer):
    """Answers in order; the last one again and again. `asked`: path and headers of every request."""

    daemon_threads = True

    def __init__(self, *answers: Answer) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, str]]] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/m"


class Handler(BaseHTTPRequestHandler):
    server: Store
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.asked.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
        answer = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer.body[: answer.sent])
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextmanager
def serving(*answers: Answer, wrap: Callable[[Any], Any] | None = None) -> Iterator[Store]:
    store = Store(*answers)
    if wrap is not None:
        store.socket = wrap(store.socket)
    with answering(store):
        yield store


def part(content: bytes, start: int, tag: str | None, told: str | None = None) -> Answer:
    headers = {"Content-Range": told or f"bytes {start}-{len(content) - 1}/{len(content)}"}
    return Answer(206, headers | ({"ETag": tag} if tag else {}), content[start:])


def get(source_of: Any, folder: Path, limits: Limits = DEFAULT) -> str:
    found, _ = source.download(source_of, "u", folder / "target", limits, sleep=lambda _: None)
    assert found == digest((folder / "target").read_bytes())
    return found


BROKEN = Answer(200, {"ETag": '"1"'}, OLD, HALF)
WHOLE = Answer(200, {"ETag": '"2"'}, NEW)

RESUMED: dict[str, tuple[list[Answer], bytes]] = {
    "the rest of the same": ([BROKEN, part(OLD, HALF, '"1"')], OLD),
    "the rest, without a word of which": ([BROKEN, part(OLD, HALF, None)], OLD),
    "the whole of another, as If-Range asks for": ([BROKEN, WHOLE], NEW),
    "a part of another, though If-Range was sent": ([BROKEN, part(NEW, HALF, '"2"'), WHOLE], NEW),
    "a part from another place": ([BROKEN, part(NEW, 0, '"1"', "bytes 0-39999/40000"), WHOLE], NEW),
    "a part without a place": ([BROKEN, Answer(206, {"ETag": '"1"'}, NEW[HALF:]), WHOLE], NEW),
    "a part whose place is nonsense": ([BROKEN, part(NEW, HALF, '"1"', "bytes */40000"), WHOLE], NEW),
    "a part of what is longer": ([BROKEN, part(NEW, HALF, '"1"', f"bytes {HALF}-{len(NEW) - 1}/50000"), WHOLE], NEW),
    "a part that ends elsewhere": (
        [BROKEN, part(NEW, HALF, '"1"', f"bytes {HALF}-{len(NEW)}/{len(NEW) + 1}"), WHOLE],
        NEW,
    ),
    "not all of the rest": (
        [BROKEN, part(OLD[: HALF + 100], HALF, '"1"', f"bytes {HALF}-{HALF + 99}/{len(OLD)}"), WHOLE],
        NEW,
    ),
    "the rest of a whole that is known": ([BROKEN, part(OLD, HALF, '"1"', f"bytes {HALF}-{len(OLD) - 1}/*")], OLD),
    "nothing to tell versions by": ([Answer(200, {}, OLD, HALF), WHOLE], NEW),
    "a weak tag, which says nothing of bytes": ([Answer(200, {"ETag": 'W/"1"'}, OLD, HALF), WHOLE], NEW),
}


@pytest.mark.parametrize("case", RESUMED)
def test_a_transfer_goes_on_only_with_the_same_artifact(case: str, tmp_path: Path) -> None:
    answers, content = RESUMED[case]
    with serving(*answers) as store:
        assert get(HttpSource(store.address), tmp_path) == digest(content)
        asked = store.asked[1][1]
        strong = answers[0].headers.get("ETag", "W/").startswith('"')
        assert (asked.get("range"), asked.get("if-range")) == ((f"bytes={HALF}-", '"1"') if strong else (None, None))


def test_a_part_that_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    with (
        serving(part(OLD, HALF, '"1"')) as store,
        pytest.raises(errors.ArtifactUnreachable, match="a part of the file"),
    ):
        get(HttpSource(store.address), tmp_path)


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Callable[[Store], S3Source]:
    def opened(store: Store) -> S3Source:
        settings = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{store.port}", "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_EC2_METADATA_DISABLED": "true", "AWS_DEFAULT_REGION": "us-east-1",
        }  # fmt: skip
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return S3Source("s3://models/m")

    return opened


CHANGED = Answer(412, {}, b"<Error><Code>PreconditionFailed</Code></Error>")
SHORTER = Answer(416, {}, b"<Error><Code>InvalidRange</Code></Error>")
OF_S3: dict[str, tuple[list[Answer], bytes]] = {
    "the rest of the same": ([BROKEN, part(OLD, HALF, '"1"')], OLD),
    "overwritten": ([BROKEN, CHANGED, WHOLE], NEW),
    "overwritten by a smaller one": ([BROKEN, SHORTER, WHOLE], NEW),
    "a store that knows no conditions, and answers with the whole": ([BROKEN, WHOLE, WHOLE], NEW),
    "a store that knows no conditions, and answers with the rest": ([BROKEN, part(NEW, HALF, '"2"'), WHOLE], NEW),
    "the rest of what is longer": ([BROKEN, part(NEW, HALF, '"1"', f"bytes {HALF}-{len(NEW) - 1}/50000"), WHOLE], NEW),
    "not all of the rest": (
        [BROKEN, part(OLD[: HALF + 100], HALF, '"1"', f"bytes {HALF}-{HALF + 99}/{len(OLD)}"), WHOLE],
        NEW,
    ),
}


@pytest.mark.parametrize("case", OF_S3)
def test_an_object_of_s3_goes_on_only_while_it_is_the_same(
    case: str, tmp_path: Path, s3: Callable[[Store], S3Source]
) -> None:
    answers, content = OF_S3[case]
    with serving(*answers) as store:
        assert get(s3(store), tmp_path) == digest(content)
        assert (store.asked[1][1]["range"], store.asked[1][1]["if-match"]) == (f"bytes={HALF}-", '"1"')


@pytest.mark.parametrize("asked", [None, "false", "true"])
def test_the_node_s_role_is_asked_for_only_where_that_is_wanted(
    asked: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The node's metadata service, whose place the store takes here, hears of it."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    if asked is not None:
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", asked)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with serving(Answer(404)) as store:
        monkeypatch.setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", f"http://127.0.0.1:{store.port}/")
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        monkeypatch.setattr(Handler, "do_PUT", Handler.do_GET, raising=False)
        with pytest.raises(errors.AccessDenied, match="needs credentials"):
            get(S3Source("s3://models/m"), tmp_path)
        assert bool(store.asked) is (asked == "false")


def test_other_stores_are_asked_nothing_that_is_aws_own(tmp_path: Path, s3: Callable[[Store], S3Source]) -> None:
    """What is signed has to reach them as it was sent: Google's changes Accept-Encoding on its way."""
    with serving(WHOLE) as store:
        get(s3(store), tmp_path)
        (_, headers) = store.asked[0]
    assert "x-amz-checksum-mode" not in headers
    assert "accept-encoding" not in headers["authorization"]


def test_more_than_a_model_may_have_is_not_begun(tmp_path: Path) -> None:
    with (
        serving(Answer(200, {}, OLD)) as store,
        pytest.raises(errors.ArtifactTooLarge, match=r"has 40000 bytes.*30000"),
    ):
        get(HttpSource(store.address), tmp_path, Limits(size=30_000))
    assert (tmp_path / "target").stat().st_size == 0


def endless(connection: socket.socket, pause: threading.Event | None = None) -> None:
    connection.recv(65536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        while True:
            connection.sendall(b"1000\r\n" + b"\0" * 0x1000 + b"\r\n")
            if pause is not None:
                pause.wait(0.01)
    except OSError:
        connection.close()


@contextmanager
def never_ending() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            try:
                while True:
                    threading.Thread(target=endless, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                return

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/m"


def test_a_body_without_an_end_is_cut_at_the_limit(tmp_path: Path) -> None:
    with never_ending() as address, pytest.raises(errors.ArtifactTooLarge, match="MODELWARD_MAX_MODEL_SIZE"):
        get(HttpSource(address), tmp_path, Limits(size=1 << 20))
    assert (tmp_path / "target").stat().st_size <= 1 << 20


def test_a_transfer_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    """However steadily bytes come; the clock is the test's."""
    ticks = iter(range(10_000))
    with never_ending() as address, pytest.raises(errors.ArtifactUnreachable, match="no more time is given"):
        source.download(
            HttpSource(address), "u", tmp_path / "target", Limits(seconds=20.0), clock=lambda: float(next(ticks))
        )


@pytest.mark.parametrize("name", ["MAX_MODEL_BYTES", "DOWNLOAD_TIMEOUT_SECONDS"])
@pytest.mark.parametrize("text", ["0", "-1", "10Gi", ""])
def test_a_limit_that_can_not_be_read_is_told(name: str, text: str) -> None:
    with pytest.raises(errors.InvalidConfiguration, match=name):
        Limits.from_environment({name: text})


def test_a_redirect_does_not_lead_to_the_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address counts as elsewhere here, as a store's would."""
    inner = network.is_of_the_node
    with serving(Answer(302, {"Location": "http://169.254.169.254/latest/meta-data/"})) as store:
        monkeypatch.setattr(network, "is_of_the_node", lambda each: each != store.address and inner(each))
        with pytest.raises(errors.ArtifactUnreachable, match=r"169\.254\.169\.254, which is the pod or its node"):
            get(HttpSource(store.address), tmp_path)


@pytest.mark.parametrize("location", ["http://[x/y", "//h:99999/y", "//h:x/y"])
def test_a_redirect_to_what_is_no_address_is_told(location: str, tmp_path: Path) -> None:
    with (
        serving(Answer(302, {"Location": location})) as store,
        pytest.raises(errors.ArtifactUnreachable, match="which is no web address"),
    ):
        get(HttpSource(store.address), tmp_path)


@pytest.mark.parametrize(
    ("address", "inside"),
    [
        ("http://127.0.0.1/x", True), ("https://[::1]/x", True), ("http://169.254.169.254/", True),
        ("http://100.100.100.200/", True), ("http://168.63.129.16/", True), ("http://192.0.0.192/", True),
        ("http://[::ffff:a9fe:a9fe]/", True), ("http://[64:ff9b::a9fe:a9fe]/", True),
        ("http://[2002:a9fe:a9fe::]/", True), ("http://[64:ff9b::c000:201]/", False),
        ("http://[fe80::1%25lo]/", True), ("http://0.0.0.0/", True), ("http://192.0.2.1/", False),
        ("http://no-such-host.invalid/", False), ("http://2130706433/", True),
        ("http://[::ffff:169.254.169.254]/", True), ("http://[fd00:ec2::254]/", True), ("http://[fd12::1]/", False),
        ("http://[fd00:ec2::23]/", True), ("http://[fd00:100::100:200]/", True), ("http://[fd20:ce::254]/", True),
        ("http://[fd00:c1::a9fe:a9fe]/", True), ("http://[fd00:42::42]/", True),
        ("http://[fd00:a9fe:a9fe::1]/", True),
    ],
)  # fmt: skip
def test_addresses_of_the_node_in_every_spelling(address: str, inside: bool) -> None:
    assert network.is_of_the_node(address) is inside


def test_a_proxy_is_asked_and_some_hosts_are_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    with serving(Answer(200, {}, OLD)) as proxy, serving(Answer(200, {}, NEW)) as store:
        monkeypatch.setenv("HTTP_PROXY", f"http://user:word@127.0.0.1:{proxy.port}")
        assert get(HttpSource("http://models.example/m"), tmp_path) == digest(OLD)
        ((asked, headers),) = proxy.asked
        assert asked == "http://models.example/m"
        assert headers["proxy-authorization"].startswith("Basic ")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,.svc")
        assert get(HttpSource(store.address), tmp_path) == digest(NEW)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        [
            "openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(cert),
            "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,digitalSignature",
        ],
        check=True, capture_output=True,
    )  # fmt: skip
    return key, cert


def test_an_authority_of_the_installation_is_trusted_besides(
    certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, cert = certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    with serving(Answer(200, {}, OLD), wrap=lambda each: context.wrap_socket(each, server_side=True)) as store:
        address = f"https://localhost:{store.port}/m"
        with pytest.raises(errors.ArtifactUnreachable, match="certificate is not accepted"):
            get(HttpSource(address), tmp_path)
        monkeypatch.setenv("CA_BUNDLE", str(cert))
        assert get(HttpSource(address), tmp_path) == digest(OLD)
        public = tmp_path / "public.pem"
        public.write_text("PUBLIC")
        assert Path(network.bundle(public, tmp_path)).read_text() == f"PUBLIC\n{cert.read_text()}"
        monkeypatch.setenv("CA_BUNDLE", str(tmp_path / "missing"))
        assert network.bundle(public, tmp_path) == str(public)
