"""What a tap makes of requests and answers of other servers: V2 in JSON and in binary, V1 by rows and by columns."""

import gzip
from typing import Any

import numpy as np
import orjson
import pytest

from modelward_inference.protocol.messages import RequestError
from modelward_inference.tap.exchange import PATIENCE, WEIGHT, Exchange, Form, Paths, Room
from modelward_inference.tap.reading import Answered, read

LIMIT = 1 << 20


def exchange(form: Form, asked: Any, told: Any, **headers: str) -> Exchange:
    """`headers`: of the request, with _ for -."""
    made = Exchange(form, status=200)
    for side, body in ((made.asked, asked), (made.told, told)):
        side.body += body if isinstance(body, bytes) else orjson.dumps(body)
    made.asked.headers |= {name.replace("_", "-").encode(): value.encode() for name, value in headers.items()}
    return made


def tensor(name: str, datatype: str, shape: list[int], data: list[Any]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def v2(*tensors: dict[str, Any], side: str = "inputs", **more: Any) -> dict[str, Any]:
    return {side: list(tensors), **more}


def shown(found: Answered) -> tuple[dict[str, Any], dict[str, Any], int]:
    inputs, outputs = ({name: each.tolist() for name, each in side.items()} for side in (found.inputs, found.outputs))
    return inputs, outputs, found.rows


def test_v2_is_read_by_its_tensors() -> None:
    asked = v2(tensor("x", "FP32", [2, 2], [1, 2, 3, 4]), tensor("city", "BYTES", [2, 1], ["bern", "graz"]))
    told = v2(tensor("predict", "INT64", [2], [0, 1]), side="outputs", model_name="fraud", model_version="3")
    found = read(exchange("v2", asked, told), LIMIT)
    assert shown(found) == ({"x": [[1, 2], [3, 4]], "city": [["bern"], ["graz"]]}, {"predict": [0, 1]}, 2)
    assert (found.inputs["x"].dtype, found.outputs["predict"].dtype) == (np.float32, np.int64)


def test_binary_tensors_of_both_sides_are_read() -> None:
    x, y = np.arange(4, dtype="<f4").reshape(2, 2), np.array([0.25, 0.75], "<f8")

    def packed(side: str, name: str, datatype: str, array: Any) -> tuple[bytes, str]:
        described = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        head = orjson.dumps({side: [{**described, "parameters": {"binary_data_size": array.nbytes}}]})
        return head + array.tobytes(), str(len(head))

    (asked, asked_head), (told, told_head) = packed("inputs", "x", "FP32", x), packed("outputs", "p", "FP64", y)
    made = exchange("v2", asked, told, inference_header_content_length=asked_head)
    made.told.headers[b"inference-header-content-length"] = told_head.encode()
    assert shown(read(made, LIMIT)) == ({"x": x.tolist()}, {"p": y.tolist()}, 2)


V1: dict[str, tuple[Any, Any, dict[str, Any], dict[str, Any]]] = {
    "rows": ({"instances": [[1, 2], [3, 4]]}, {"predictions": [0.5, 1.0]},
             {"input": [[1.0, 2.0], [3.0, 4.0]]}, {"predict": [0.5, 1.0]}),
    "rows of columns": (
        {"instances": [{"a": 1, "city": "bern"}, {"a": 2.5, "city": None}]},
        {"predictions": [{"label": "yes", "score": 0.9}, {"label": "no", "score": 0.1}]},
        {"a": [1.0, 2.5], "city": ["bern", None]}, {"label": ["yes", "no"], "score": [0.9, 0.1]},
    ),
    "columns": ({"inputs": {"a": [[1], [2]], "b": [[0.5], [1]]}}, {"outputs": {"p": [[0.5], [0.25]]}},
                {"a": [[1.0], [2.0]], "b": [[0.5], [1.0]]}, {"p": [[0.5], [0.25]]}),
    "one column": ({"inputs": [[1, 2]]}, {"outputs": [[3]]}, {"input": [[1.0, 2.0]]}, {"predict": [[3]]}),
}  # fmt: skip


@pytest.mark.parametrize("what", V1)
def test_v1_is_named_as_our_own_server_names_it(what: str) -> None:
    asked, told, inputs, outputs = V1[what]
    found = read(exchange("v1", asked, told), LIMIT)
    assert shown(found)[:2] == (inputs, outputs)


def test_whole_numbers_of_v1_are_floating_and_answers_stay_labels() -> None:
    """Else a feature would be of another type in each request."""
    found = read(exchange("v1", {"instances": [[1, 2]]}, {"predictions": [1]}), LIMIT)
    assert (found.inputs["input"].dtype, found.outputs["predict"].dtype) == (np.float64, np.int64)


def test_it_is_known_whose_a_request_is() -> None:
    asked = v2(tensor("x", "FP64", [1], [1]), id="mine", parameters={"modelward_key": "order-2"})
    told = v2(tensor("y", "FP64", [1], [1]), side="outputs")
    found = read(exchange("v2", asked, told, x_modelward_arms="fraud-1=stable"), LIMIT).origin
    assert found[:3] == ("mine", "order-2", "fraud-1=stable")
    found = read(exchange("v2", asked, told, x_request_id="routers", modelward_key="order-1"), LIMIT).origin
    assert (found.request_id, found.key) == ("routers", "order-1")


def test_what_is_compressed_is_unpacked_and_no_more_than_the_limit() -> None:
    asked, told = orjson.dumps({"instances": [[1]]}), orjson.dumps({"predictions": [1]})
    made = exchange("v1", gzip.compress(asked), gzip.compress(told), content_encoding="gzip")
    made.told.headers[b"content-encoding"] = b"gzip"
    assert read(made, LIMIT).rows == 1
    bomb = exchange("v1", gzip.compress(b" " * (2 * LIMIT) + asked), told, content_encoding="gzip")
    with pytest.raises(RequestError):
        read(bomb, LIMIT)


UNREADABLE: dict[str, tuple[Form, Any, Any]] = {
    "no JSON": ("v2", b"\xff", v2(tensor("y", "FP64", [1], [1]), side="outputs")),
    "an answer that is none": ("v2", v2(tensor("x", "FP64", [1], [1])), {"error": "answered as 200"}),
    "an answer of no JSON": ("v1", {"instances": [[1]]}, b"<html>"),
    "an answer of no protocol": ("v1", {"instances": [[1]]}, {"result": [1]}),
    "two tensors of one name": (
        "v2", v2(tensor("x", "FP64", [1], [1])),
        v2(tensor("y", "FP64", [1], [1]), tensor("y", "FP64", [1], [2]), side="outputs"),
    ),
    "a shape that lies": (
        "v2", v2(tensor("x", "FP64", [9, 9], [1])), v2(tensor("y", "FP64", [1], [1]), side="outputs")
    ),
    "thousands of columns": ("v1", {"inputs": {f"c{at}": [1] for at in range(3000)}}, {"outputs": [1]}),
    "a picture": ("v1", {"instances": [{"b64": "/9j/"}]}, {"predictions": [1]}),
}  # fmt: skip


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_cant_be_read_is_told(what: str) -> None:
    form, asked, told = UNREADABLE[what]
    with pytest.raises(RequestError):
        read(exchange(form, asked, told), LIMIT)


TARGETS = {
    b"/v2/models/fraud/infer": ("v2", True),
    b"/v2/models/fraud/versions/3/infer?a=b": ("v2", True),
    b"/v1/models/fraud:predict": ("v1", True),
    b"/v1/models/fraud/versions/3:predict": ("v1", True),
    b"/v1/models/fraud/labels/canary:predict": ("v1", True),
    b"/v2/models/other/infer": ("v2", False),
    b"/v2/models/fraudulent/infer": ("v2", False),
    b"/v1/models/a:predict": ("v1", False),
    b"/v2/models/fraud/ready": (None, False),
    b"/v2/models/fraud/generate": (None, False),
    b"/v1/models/fraud": (None, False),
    b"/metrics": (None, False),
}


@pytest.mark.parametrize("target", TARGETS)
def test_requests_of_the_model_are_known_by_their_path(target: bytes) -> None:
    assert Paths("fraud").form(target) == TARGETS[target]


def test_a_name_is_no_pattern() -> None:
    assert Paths("a.b").form(b"/v2/models/axb/infer") == ("v2", False)


def test_copies_take_no_more_room_than_there_is() -> None:
    room = Room(limit=10, most=6)
    one, other = Exchange("v2"), Exchange("v2")
    one.keep(one.asked, b"12345", room)
    other.keep(other.asked, b"1234567", room)
    assert (other.missed, room.held) == ("too_large", 5)
    third = Exchange("v2")
    third.keep(third.asked, b"123456", room)
    assert (third.missed, room.held) == ("busy", 5)
    one.keep(one.told, b"1", room)
    one.free(room)
    assert room.held == 0


def under_way(room: Room, body: bytes, seconds: float = 0.0) -> Exchange:
    """Since so many seconds."""
    made = Exchange("v2")
    made.begin(room)
    made.since -= seconds
    made.keep(made.asked, body, room)
    return made


def test_what_is_under_way_for_long_gives_way_where_there_is_no_room() -> None:
    room = Room(limit=4 * WEIGHT, most=WEIGHT)
    waits, old, young = (under_way(room, b"x" * 100, seconds) for seconds in (2 * PATIENCE, 2 * PATIENCE, 0))
    waits.end()  # and is not read yet
    last = under_way(room, b"x" * 800)
    assert [each.missed for each in (waits, old, young, last)] == [None, "busy", None, None]
    assert room.held == 3 * WEIGHT + 1000
    old.keep(old.asked, b"x", room)
    old.miss("unfinished", room)
    for each in (waits, young, last):
        each.free(room)
    assert (room.held, room._holders) == (0, {})


def test_what_gives_way_to_itself_keeps_nothing() -> None:
    room = Room(limit=WEIGHT + 20, most=WEIGHT)
    old = under_way(room, b"x" * 15, 2 * PATIENCE)
    old.keep(old.asked, b"x" * 15, room)
    assert (old.missed, bytes(old.asked.body), old.size, room.held) == ("busy", b"", 0, 0)
