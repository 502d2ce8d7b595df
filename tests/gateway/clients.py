"""Ordinary clients of both protocols: they send, and tell who answered."""

import collections
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import grpc
import urllib3

THREADS = 4
TEMPORARY_REDIRECT = 307
INFER = "/inference.GRPCInferenceService/ModelInfer"
PATH = "/v2/models/m/infer"
REVISION, VERSION = "x-modelward-revision", "x-modelward-model-version"


class Clients:
    """`rest`, `grpc`: addresses as host:port; `host`: the name that requests are for, None for the address itself.

    Answers name their revision, which has to agree with who really answered. `by_router`: over gRPC the router does,
    in initial metadata; else pods do, in trailing metadata.
    """

    def __init__(self, rest: str, grpc_address: str, host: str | None, *, by_router: bool) -> None:
        self.by_router = by_router
        self._rest = rest
        self._host = {"Host": host} if host else {}
        self._pool = urllib3.PoolManager(maxsize=2 * THREADS, retries=False, timeout=10.0)
        options = [("grpc.enable_http_proxy", 0), *([("grpc.default_authority", host)] if host else [])]
        self._channel = grpc.insecure_channel(grpc_address, options)
        self._infer = self._channel.unary_unary(INFER)

    def close(self) -> None:
        self._pool.clear()
        self._channel.close()

    def connect(self) -> bool:
        """Whether somebody accepts connections."""
        try:
            self.status("GET", "/v2/health/ready")
        except urllib3.exceptions.NewConnectionError:
            return False
        return True

    def status(self, method: str, path: str) -> int:
        """Where the router sends the client to another spelling of the path, that of the answer there."""
        answer = self._pool.request(method, f"http://{self._rest}{path}", headers=self._host)
        if answer.status == TEMPORARY_REDIRECT:
            return self.status(method, urlsplit(answer.headers["location"]).path)
        return answer.status

    def rest(self, headers: Mapping[str, str] | None = None) -> str:
        """Who answered one request; what went wrong, else."""
        answer = self._rest_answer(headers)
        if answer.status != 200:
            return f"status {answer.status}"
        return _agreed(answer.data.decode(), answer.headers.get(REVISION))

    def versions(self) -> set[str | None]:
        """Of the model, as answers by both protocols name it."""
        _, call = self._infer.with_call(b"", timeout=10.0)
        return {self._rest_answer({}).headers.get(VERSION), self._metadata(call).get(VERSION)}

    def _rest_answer(self, headers: Mapping[str, str] | None) -> urllib3.BaseHTTPResponse:
        sent = {**self._host, **(headers or {})}
        return self._pool.request("POST", f"http://{self._rest}{PATH}", body=b"{}", headers=sent)

    def _metadata(self, call: grpc.Call) -> dict[str, str]:
        return dict(call.initial_metadata() if self.by_router else call.trailing_metadata())

    def grpc(self, headers: Mapping[str, str] | None = None) -> str:
        """The same by gRPC."""
        try:
            answer, call = self._infer.with_call(b"", timeout=10.0, metadata=tuple((headers or {}).items()))
        except grpc.RpcError as error:
            return f"{error.code()}: {error.details()}"
        return _agreed(answer.decode(), self._metadata(call).get(REVISION))

    def answers(self, protocol: str, requests: int, headers: Mapping[str, str] | None = None) -> dict[str, int]:
        """How many of `requests` each revision answered."""
        send = self.grpc if protocol == "grpc" else self.rest
        with ThreadPoolExecutor(THREADS) as pool:
            return dict(collections.Counter(pool.map(lambda _: send(headers), range(requests))))

    @contextlib.contextmanager
    def steady(self) -> Iterator["Load"]:
        """Requests of both protocols, without a pause, until the block ends."""
        load = Load(self)
        try:
            yield load
        finally:
            load.stop()


def _agreed(name: str, told: str | None) -> str:
    return name if told == name else f"{name}, which calls itself {told}"


@dataclass
class Load:
    """What came of it so far: by what was going on (`phase`) when it was sent, and by who answered, or the error."""

    clients: Clients
    phase: str = "start"
    results: collections.Counter[tuple[str, str]] = field(default_factory=collections.Counter)
    _end: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        sends = [self.clients.rest, self.clients.grpc] * (THREADS // 2)
        self._threads = [threading.Thread(target=self._run, args=(send,)) for send in sends]
        for thread in self._threads:
            thread.start()

    def answered(self, name: str) -> int:
        with self._lock:
            return sum(count for (_, result), count in self.results.items() if result == name)

    def lost(self, *names: str) -> dict[tuple[str, str], int]:
        """What was not answered by one of `names`."""
        return {key: count for key, count in self.results.items() if key[1] not in names}

    def stop(self) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _run(self, send: Callable[[], str]) -> None:
        while not self._end.is_set():
            phase = self.phase
            try:
                result = send()
            except urllib3.exceptions.HTTPError as error:
                result = f"{type(error).__name__}: {error}"
            with self._lock:
                self.results[phase, result] += 1
