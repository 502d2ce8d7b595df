"""What 40 hostile clients do to a well-behaved one: his 99th percentile beside them, divided by that without them.

Both are measured by turns, and the medians are compared. The machine has to be quiet, with two cores or more: the
hostile clients get the processor last, but they have none of their own. What they had of it is told, and each turn: a
figure of clients that had none, or of turns that differ by as much as what is compared, says nothing.
"""

import contextlib
import gzip
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from attack.clients import GOOD, INFER
from attack.raw import request
from unit.inference.processes import DEADLINE, ServerProcess

SECONDS = 2.5
"""Of each measurement."""

ROUNDS = 4
"""Of both, by turns: what else the machine does meanwhile is then in both."""

SHOWN = (50, 90, 99)
"""Percentiles; the last one is compared."""

LEAST = 0.1
"""Cores that the hostile clients have to have had, all together, for there to be a figure."""

HOSTILE = 40
SIZE, MEDIUM = 8 << 20, 512 << 10


def _body(data: str, datatype: str = "FP32") -> bytes:
    return f'{{"inputs":[{{"name":"X","shape":[1,4],"datatype":"{datatype}","data":[{data}]}}]}}'.encode()


def _whole(body: bytes, *lines: bytes) -> Callable[[socket.socket], None]:
    sent = request(INFER, b"POST", body, *lines)

    def act(connection: socket.socket) -> None:
        connection.sendall(sent)
        while connection.recv(1 << 16):
            pass

    return act


def _slowly(connection: socket.socket) -> None:
    """A byte of a body now and then."""
    connection.sendall(b"POST %s HTTP/1.1\r\nHost: f\r\nContent-Length: 1000\r\n\r\n" % INFER.encode())
    for _ in range(1000):
        connection.sendall(b" ")
        time.sleep(0.05)


def _deaf(connection: socket.socket) -> None:
    """Asks for large answers and reads none of them."""
    rows = 10_000
    head = b'{"inputs":[{"name":"X","shape":[%d,4],"datatype":"FP32","parameters":{"binary_data_size":%d}}]}' % (
        rows,
        rows * 16,
    )
    connection.sendall(
        request(INFER, b"POST", head + bytes(rows * 16), b"Inference-Header-Content-Length: %d" % len(head))
    )
    time.sleep(1.0)


def kinds() -> list[Callable[[socket.socket], None]]:
    """What the hostile clients do, by turns."""
    return [
        _slowly,
        _deaf,
        _whole(gzip.compress(_body("1.5," * (SIZE // 4) + "1"), 1), b"Content-Encoding: gzip"),
        _whole(_body("[" * 500 + "]" * 500)),
        _whole(_body("[[[[1]]]]," * (SIZE // 10) + "1")),
        _whole(_body("null," + "1.5," * (SIZE // 4) + "1")),
        _whole(_body("[1]," * (SIZE // 4) + "[1,2]")),
        _whole(_body("1,2,3,4")[:-1] + b',"outputs":[' + b'{"name":"p"},' * (SIZE // 13) + b'{"name":"p"}]}'),
        _whole(zlib.compress(_body(_numbers(SIZE)), 1), b"Content-Encoding: deflate"),
        _whole(_body("null," + "1.5," * (MEDIUM // 4) + "1")),
        _whole(_body('"a",' * (MEDIUM // 4) + '"a"', "BYTES")),
        _whole(_body("1,2,3,4")[:-1] + b',"parameters":{"a":[' + b"1," * 30_000 + b"1]}}"),
    ]


def _numbers(size: int) -> str:
    """So many bytes, which pack to a third: what a real table packs to."""
    return ",".join(map(str, np.random.default_rng(7).integers(0, 10**6, size // 7)))


def ratio() -> float | None:
    """None where the machine had no time for the hostile clients. Also prints percentiles, and that of each turn."""
    with tempfile.TemporaryDirectory() as folder, ServerProcess(Path(folder), BODY_TIMEOUT_SECONDS="5") as server:
        _percentiles(server.port, 2.0)
        alone, beside, used = [], [], 0.0
        for _ in range(ROUNDS):
            alone.append(_percentiles(server.port, SECONDS))
            with _hostile(server.port) as spent:
                before = spent()
                beside.append(_percentiles(server.port, SECONDS))
                used += spent() - before
    cores = used / (ROUNDS * SECONDS)
    print(f"milliseconds of a well-behaved client; {HOSTILE} hostile ones had {cores:.2f} cores:")
    for name, turns in (("alone", alone), ("beside them", beside)):
        told = ", ".join(
            f"{value:.2f} ({which}th)" for which, value in zip(SHOWN, np.median(turns, axis=0), strict=True)
        )
        print(f"    {name:12} {told}; {SHOWN[-1]}th by turns: {', '.join(f'{each[-1]:.2f}' for each in turns)}")
    if cores < LEAST:
        print(f"    the machine was busy with other things; a figure takes hostile clients that have {LEAST} cores")
        return None
    return round(float(np.median(beside, axis=0)[-1] / np.median(alone, axis=0)[-1]), 2)


@contextlib.contextmanager
def _hostile(port: int, which: str = "") -> Iterator[Callable[[], float]]:
    """The hostile clients in a process of their own. Gives the seconds of the processor that they have had."""
    command = [sys.executable, "-m", "attack.latency", str(port), which]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline(), "they have begun"
        yield lambda: _spent(process.pid)
    finally:
        process.kill()
        process.wait(DEADLINE)
        if process.stdout:
            process.stdout.close()


def _spent(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def attack_for_ever(port: int, which: str) -> None:
    """`which`: of the kinds, all where it is empty."""
    acts = kinds()
    acts = [acts[int(which)]] if which else acts
    # Elsewhere they have processors of their own. By niceness alone they would keep one that the server or its client
    # waits for, a whole slice of some milliseconds at a time: that would be the kernel's figure, not the server's.
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for number in range(HOSTILE):
        threading.Thread(target=_again, args=(port, acts[number % len(acts)])).start()
    print("begun", flush=True)


def _again(port: int, act: Callable[[socket.socket], None]) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
            act(connection)


def _percentiles(port: int, seconds: float) -> list[float]:
    """SHOWN, in milliseconds, of requests one behind the other on one connection."""
    sent = request(INFER, b"POST", GOOD).replace(b"Connection: close\r\n", b"")
    took = []
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as connection:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            connection.sendall(sent)
            said = connection.recv(1 << 16)
            took.append(time.monotonic() - began)
            assert said.startswith(b"HTTP/1.1 200"), said[:200]
    return [float(each) * 1000 for each in np.percentile(took, SHOWN)]


if __name__ == "__main__":
    attack_for_ever(int(sys.argv[1]), sys.argv[2])
