"""Stand-ins held against what was seen of real systems: the comparison finds what it has to."""

from typing import Any

import pytest

from .exchanges import Exchange, differences, shape

REAL = [Exchange("GET /runs/ID", 200, shape({"id": "x", "state": {"type": "RUNNING", "data": None}, "tags": []}))]


@pytest.mark.parametrize(
    ("status", "document", "told"),
    [
        (200, {"id": "y", "state": {"type": "FAILED"}}, []),
        (200, {"id": "y", "tags": ["of whose kind nothing is known"]}, []),
        (404, {"id": "y"}, ["GET /runs/ID: 404, and the real one answers [200]"]),
        (200, {"uid": "y"}, ["GET /runs/ID: . has uid"]),
        (200, {"state": {"type": 5}}, ["GET /runs/ID: .state.type is number, and not string"]),
        (200, [{"id": "y"}], ["GET /runs/ID: . is [{'id': 'string'}], and not {'id': 'string', "
                              "'state': {'type': 'string', 'data': 'null'}, 'tags': []}"]),
    ],
)  # fmt: skip
def test_what_a_stand_in_says_otherwise_is_found(status: int, document: Any, told: list[str]) -> None:
    assert differences([Exchange("GET /runs/ID", status, shape(document))], REAL) == told


def test_an_answer_that_the_real_one_gives_in_two_forms_may_have_either() -> None:
    other = Exchange("GET /runs/ID", 200, shape({"detail": "x"}))
    assert differences([Exchange("GET /runs/ID", 200, shape({"detail": "y"}))], [*REAL, other]) == []
    assert shape([1, 2.5, "a", {"b": True}, {"b": False}]) == ["number", "string", {"b": "boolean"}]
