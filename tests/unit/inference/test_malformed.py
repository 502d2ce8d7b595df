"""Hundreds of malformed requests to a real process: each gets a 4xx that says what is wrong, and nothing grows."""

import http.client
import json
from collections.abc import Iterator

import pytest

from .malformed import GOOD, MAX_BODY, MAX_ROWS, Malformed, corpus
from .rest_process import Process, ask, serving

CORPUS = corpus()

GROWTH = 12 << 20
"""Bytes that the allocator may differ by; one leaked body of each pass would be more."""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("bundle")
    with serving(folder, MAX_REQUEST_BYTES=str(MAX_BODY), MAX_ROWS=str(MAX_ROWS)) as made:
        yield made


def send(connection: http.client.HTTPConnection, each: Malformed) -> tuple[int, bytes]:
    connection.request("POST", "/v2/models/m/infer", each.body, each.headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_there_are_hundreds() -> None:
    assert len(CORPUS) >= 300


def test_each_is_told_what_is_wrong(process: Process) -> None:
    connection = process.connection()
    for each in CORPUS:
        status, body = send(connection, each)
        answer = json.loads(body)
        assert 400 <= status < 500, (each.what, status, body)
        assert list(answer) == ["error"], (each.what, body)
        assert answer["error"], each.what
        assert each.names in answer["error"], (each.what, answer["error"])
        assert len(body) < 2000, each.what
    connection.close()
    status, body = ask(process, GOOD)
    assert status == 200
    assert json.loads(body)["outputs"][0]["data"] == [4.0]


def test_memory_does_not_grow(process: Process) -> None:
    connection = process.connection()

    def passes(count: int) -> int:
        for _ in range(count):
            for each in CORPUS:
                send(connection, each)
        return process.memory()

    before = passes(2)
    assert passes(4) - before < GROWTH
    connection.close()
