"""What a policy notes of its runs in other systems: read back as it was, bounded, and never worth a crash."""

import json
from typing import Any

import pytest

from modelward.api.names import ANNOTATION_GOING
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Run
from modelward.retraining.persistence.going import LARGEST, read_going, show_going


def going(number: int, handle: str | None = None) -> Run:
    return Run(
        f"drift-{number}", f"drift/t{number}/Request/1", runs.WEBHOOK, runs.REQUEST, "why", 1_760_000_000.0 + number,
        "fraud-a", Artifact("s3://m/1"), handle=handle, target="fraud",
    )  # fmt: skip


def metadata(text: Any, uid: str = "p") -> dict[str, Any]:
    return {"uid": uid, "annotations": {ANNOTATION_GOING: text}}


def test_what_is_noted_is_read_as_a_run_that_may_have_begun() -> None:
    text = show_going("p", [going(2), going(1, "https://ci/runs/7")])
    found = read_going(metadata(text))
    assert [(each.name, each.key, each.kind, each.target, each.handle, each.phase) for each in found.values()] == [
        ("drift-1", "drift/t1/Request/1", runs.WEBHOOK, "fraud", "https://ci/runs/7", runs.RUNNING),
        ("drift-2", "drift/t2/Request/1", runs.WEBHOOK, "fraud", None, runs.RUNNING),
    ]


def test_nothing_is_noted_of_nothing() -> None:
    assert show_going("p", []) is None
    assert read_going({"uid": "p"}) == {}


def test_what_came_from_a_restored_namesake_is_not_taken_for_its_own() -> None:
    assert read_going(metadata(show_going("p", [going(1)]), uid="another")) == {}


@pytest.mark.parametrize("text", ["", "Killed", "[]", "5", '{"policy": "p", "runs": [{"name": 5}]}', "[" * 9000, None])
def test_what_somebody_else_wrote_there_is_left_out(text: Any) -> None:
    assert read_going(metadata(text)) == {}


def test_a_time_that_is_none_is_left_out() -> None:
    raw = json.loads(str(show_going("p", [going(1)])))
    raw["runs"][0]["startedAt"] = "yesterday"
    assert read_going(metadata(json.dumps(raw))) == {}


def test_it_fits_into_an_object_however_much_goes_on() -> None:
    text = show_going("p", [going(number, "https://ci/" + "x" * 1000) for number in range(500)])
    assert text is not None
    assert LARGEST - 2000 < len(text) < LARGEST + 200
    assert next(iter(read_going(metadata(text)))) == "drift-0"


def test_one_that_is_too_large_keeps_out_no_other() -> None:
    text = show_going("p", [going(1, "x" * LARGEST), going(2)])
    assert list(read_going(metadata(text))) == ["drift-2"]
    assert show_going("p", [going(1, "x" * LARGEST)]) is None
