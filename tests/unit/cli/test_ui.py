"""`modelward ui` as a program: its server, asked as a browser and as others ask it."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import fleets
from modelward_cli.commands import ui
from modelward_cli.fleet.read import Fleet
from modelward_cli.kubectl import KubectlError
from modelward_cli.page.html import POLICY
from modelward_cli.page.looks import REST, Looks
from modelward_cli.page.server import ASSETS, PageServer

from .world import DEADLINE, PACKAGES, Namespace

MODELS, POLICIES, RUNS = (f"{each}.modelward.io" for each in ("modeldeployments", "driftpolicies", "retrainingruns"))


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    made = Namespace(tmp_path)
    for resource, bodies in zip((MODELS, POLICIES, RUNS), fleets.everything(), strict=True):
        made.holds(resource, *bodies)
    return made


class Page:
    """The program while it runs."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        assert process.stdout is not None
        self.process = process
        self.address = json.loads(process.stdout.readline())["address"]
        url = urlsplit(self.address)
        self.host, self.path = url.netloc, url.path

    def ask(self, path: str = "", method: str = "GET", **headers: str) -> tuple[int, "http.client.HTTPMessage", bytes]:
        """`path`: behind the word, or from the root where it begins with a slash."""
        connection = http.client.HTTPConnection(self.host, timeout=DEADLINE)
        with contextlib.closing(connection):
            whole = path if path.startswith("/") else self.path + path
            connection.request(method, whole, headers={name.replace("_", "-"): each for name, each in headers.items()})
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read()

    def ask_for(self, target: str) -> int:
        """The status of what is asked for by words that no client would send."""
        host, _, port = self.host.partition(":")
        with socket.create_connection((host, int(port)), DEADLINE) as connection:
            connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode())
            answer = http.client.HTTPResponse(connection)
            answer.begin()
            return answer.status

    def told(self) -> str:
        return self.ask()[2].decode()


@contextlib.contextmanager
def running(namespace: Namespace, *arguments: str) -> Iterator[Page]:
    command = [sys.executable, "-S", "-m", "modelward_cli", "ui", "-o", "json", "--kubectl", str(namespace.program)]
    process = subprocess.Popen(
        [*command, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(PACKAGES), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield Page(process)
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=DEADLINE)
    assert (process.returncode, errors) == (0, ""), "SIGTERM and Ctrl-C end it as they should"


@pytest.mark.parametrize("target", ["http://[", "http://127.0.0.1]/"])
def test_who_asks_for_what_is_no_address_prints_nothing_where_the_program_runs(
    namespace: Namespace, target: str
) -> None:
    with running(namespace) as page:  # which looks that nothing was printed
        assert page.ask_for(target) == 400


def test_it_shows_the_fleet_and_ends_with_ctrl_c(namespace: Namespace) -> None:
    with running(namespace) as page:
        status, headers, content = page.ask()
        assert (status, headers["Content-Security-Policy"]) == (200, POLICY)
        assert headers["Cache-Control"] == "no-store"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["X-Frame-Options"] == "DENY"
        assert "Access-Control-Allow-Origin" not in headers
        for body, _, _ in fleets.STATES.values():
            assert f"</span>{body['metadata']['name']}</h3>".encode() in content
        for name, kind in ASSETS.items():
            status, headers, content = page.ask(name)
            assert (status, headers["Content-Type"]) == (200, kind)
            assert len(content) > 100
        assert json.loads(page.ask("fleet.json?state=paused")[2])["models"][0]["name"] == "held"
        assert page.ask(method="HEAD")[2] == b""
        page.process.send_signal(signal.SIGINT)
        assert page.process.wait(DEADLINE) == 0


def test_others_are_refused_and_learn_nothing(namespace: Namespace) -> None:
    with running(namespace) as page:
        for status, asked in (
            (404, {"path": "/"}),
            (404, {"path": "/x/fleet.json"}),
            (404, {"path": "../../etc/passwd"}),
            (404, {"path": "server.py"}),
            (421, {"Host": "evil.example"}),
            (403, {"Origin": "http://evil.example"}),
            (403, {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "cors"}),
            (405, {"method": "POST"}),
            (403, {"method": "OPTIONS", "Origin": "http://evil.example"}),
        ):
            got, headers, content = page.ask(**asked)  # type: ignore[arg-type]
            assert (got, headers["Content-Security-Policy"]) == (status, POLICY), asked
            assert b"canary" not in content
            assert page.path.strip("/").encode() not in content
        assert "canary" in page.told()


def test_it_asks_only_when_somebody_looks_and_not_for_each_of_them(namespace: Namespace) -> None:
    with running(namespace, "--every", "3600") as page:
        for _ in range(5):
            page.told()
    asked = [call for call in namespace.calls() if call[0] == "get"]
    assert len(asked) == 3, "models, policies and runs, once"
    assert not [call for call in namespace.calls() if call[0] not in ("get", "config")], "it only reads"


def test_who_may_not_list_everything_sees_his_namespace_and_why(tmp_path: Path) -> None:
    """The stand-in refuses a resource in all namespaces, as the API server does to whoever has a Role alone."""
    namespace = Namespace(tmp_path)
    namespace.holds(MODELS, fleets.model("mine"))
    program = namespace.program.read_text()
    said = "Error from server (Forbidden): it is forbidden: User eve cannot list"
    refusal = f'if "-A" in arguments: sys.exit("{said}")'
    namespace.program.write_text(program.replace("refused = folder", f"{refusal}\n    refused = folder", 1))
    with running(namespace) as page:
        told = page.told()
    assert "</span>mine</h3>" in told
    assert "Only models of the namespace of kubectl&#x27;s context are shown; name others with -n." in told
    assert "User eve cannot list" in told


def test_of_several_namespaces_the_refused_one_is_told(tmp_path: Path) -> None:
    namespace = Namespace(tmp_path)
    namespace.holds(MODELS, fleets.model("mine"))
    program = namespace.program.read_text()
    refusal = 'if "--namespace=theirs" in sys.argv: sys.exit("Error from server (Forbidden): it is forbidden")'
    namespace.program.write_text(program.replace("refused = folder", f"{refusal}\n    refused = folder", 1))
    with running(namespace, "-n", "ours,theirs") as page:
        told = page.told()
    assert "</span>mine</h3>" in told
    assert "namespaces ours, theirs" in told
    assert "Models of the namespace theirs are not shown: " in told
    ended = namespace.modelward("ui", "-n", "theirs")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Ask for that right" in ended.stderr


def test_what_was_seen_stays_while_the_cluster_is_away(namespace: Namespace) -> None:
    looks = 0

    def ask() -> Fleet:
        nonlocal looks
        looks += 1
        if looks > 1:
            raise KubectlError("nobody <answers>")
        return Fleet([])

    now = iter(range(1000, 2000))
    with PageServer(Looks(ask, lambda: float(next(now)), 0.0), "here", 5.0, "word", clock=lambda: 1.0) as server:
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            pages = []
            while looks < 2:
                connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=DEADLINE)
                with contextlib.closing(connection):
                    connection.request("GET", "/word/")
                    pages.append(connection.getresponse().read().decode())
        finally:
            server.shutdown()
            serving.join(DEADLINE)
    assert "nobody" not in pages[0]
    assert '<p class="problem" role="alert">nobody &lt;answers&gt;</p>' in pages[-1]
    assert "There is no ModelDeployment." in pages[-1]
    assert re.findall("As of [^<]+", pages[-1]) == re.findall("As of [^<]+", pages[0]), "when it answered last"


def test_a_slow_cluster_is_asked_for_a_quarter_of_the_time(namespace: Namespace) -> None:
    now, asked = 0.0, []

    def ask() -> Fleet:
        nonlocal now
        asked.append(now)
        now += 10.0
        return Fleet([])

    looks = Looks(ask, lambda: now, 5.0)
    for _ in range(100):
        looks.look()
        now += 1.0
    assert asked == [0.0, 10 + 10 * REST, 2 * (10 + 10 * REST), 3 * (10 + 10 * REST)]


def test_two_at_once_are_one_look() -> None:
    asked, entered, go = [], threading.Event(), threading.Event()

    def ask() -> Fleet:
        asked.append(1)
        entered.set()
        assert go.wait(DEADLINE)
        return Fleet([])

    looks = Looks(ask, lambda: 0.0, 5.0)
    threads = [threading.Thread(target=looks.look) for _ in range(4)]
    for each in threads:
        each.start()
    assert entered.wait(DEADLINE)
    go.set()
    for each in threads:
        each.join(DEADLINE)
    assert asked == [1]


def test_where_nothing_can_be_asked_it_does_not_start(namespace: Namespace) -> None:
    namespace.refuses(MODELS, "error: You must be logged in to the server (Unauthorized)")
    ended = namespace.modelward("ui")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "Log in" in ended.stderr


def test_wrong_arguments_and_a_taken_port_are_told(namespace: Namespace) -> None:
    with running(namespace) as page:
        port = page.host.partition(":")[2]
        ended = namespace.modelward("ui", "--port", port)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"port {port} can't be had" in ended.stderr
    for arguments in (("--port", "70000"), ("--port", "-1"), ("--every", "0"), ("--every", "nan"), ("--every", "x")):
        assert namespace.modelward("ui", *arguments).returncode == 2
    ended = namespace.modelward("ui", "-n", "--kubeconfig=/etc/passwd")
    assert ended.returncode in (1, 2)
    assert not [call for call in namespace.calls() if "/etc/passwd" in " ".join(call)]


def test_the_word_is_in_no_command_line() -> None:
    with ui._letter("http://127.0.0.1:1/word/") as letter:
        assert "word" not in letter
        path = Path(urlsplit(letter).path)
        assert path.parent.stat().st_mode & 0o077 == 0
        assert 'content="0;url=http://127.0.0.1:1/word/"' in path.read_text()
    assert not path.parent.exists()
