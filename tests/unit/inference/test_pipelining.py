"""Requests sent behind one another: none is harmed by its neighbours, and no answer overtakes another."""

from collections.abc import Iterator

import pytest

from .malformed import GOOD
from .rest_process import Process, serving
from .test_slow_and_large import Raw, head

MAX_HEAD = 1024
ONE = head() + GOOD
CHUNKED = b"POST /v2/models/m/infer HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"

NO_REQUEST = {
    "noise": b"\x16\x03\x01 noise\r\n\r\n",
    "a head that is too long": head(extra=b"x: %s\r\n" % (b"a" * 3 * MAX_HEAD)),
    "a path that is none": b"GET \xff HTTP/1.1\r\nHost: h\r\n\r\n",
}
BAD_BODY = CHUNKED + b"no number\r\n"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    with serving(tmp_path_factory.mktemp("bundle"), MAX_HEADER_BYTES=str(MAX_HEAD)) as made:
        yield made


@pytest.mark.parametrize("more", range(0, 280, 20))
def test_the_heads_of_many_requests_are_not_taken_for_one(process: Process, more: int) -> None:
    """`more`: bytes of each head, so that the limit falls into heads and bodies alike, were it one head."""
    one = head(extra=b"x: %s\r\n" % (b"a" * more)) + GOOD
    for cut in (0, len(one) - len(GOOD) // 2, len(one) + 40, 3 * len(one) + 40):
        with Raw(process) as raw:
            requests = one * 12
            raw.send(requests[:cut], requests[cut:])
            assert [raw.answer()[0] for _ in range(12)] == [200] * 12
            raw.send(one)
            assert raw.answer()[0] == 200


def test_a_large_body_with_the_next_request_right_behind_it(process: Process) -> None:
    body = GOOD + b" " * 300_000
    with Raw(process) as raw:
        raw.send(head(len(body)) + body + ONE)
        assert [raw.answer()[0] for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("name", NO_REQUEST)
@pytest.mark.parametrize("count", [1, 3])
def test_what_came_whole_is_answered_before_the_connection_ends(process: Process, name: str, count: int) -> None:
    with Raw(process) as raw:
        raw.send(ONE * count + NO_REQUEST[name])
        assert [raw.answer()[0] for _ in range(count)] == [200] * count
        assert raw.is_over()


@pytest.mark.parametrize("count", [1, 3])
def test_a_broken_body_is_refused_in_its_turn(process: Process, count: int) -> None:
    with Raw(process) as raw:
        raw.send(ONE * count + BAD_BODY)
        assert [raw.answer()[0] for _ in range(count)] == [200] * count
        status, answer = raw.answer()
        assert status == 400
        assert "no HTTP request" in answer["error"]
        assert raw.is_over()


@pytest.mark.parametrize("name", [*NO_REQUEST, "a broken body"])
def test_alone_each_is_refused_at_once(process: Process, name: str) -> None:
    with Raw(process) as raw:
        raw.send(NO_REQUEST.get(name, BAD_BODY))
        status, answer = raw.answer()
        assert status in (400, 431)
        assert answer["error"]
        assert raw.is_over()
