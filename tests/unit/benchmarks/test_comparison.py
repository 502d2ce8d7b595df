"""The comparison is a fair one: right answers, the same versions of the libraries, and a bounded time."""

import re
from pathlib import Path

import numpy as np
import pytest

from benchmarks.serving import cases
from benchmarks.serving.checks import compare
from benchmarks.serving.servers import PEERS, SERVERS
from localcluster.progress import SetupError

LOCK = Path(__file__).parents[3] / "tests/requirements.lock"


def pinned(path: Path) -> dict[str, str]:
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", sorted(PEERS.glob("*.txt")), ids=lambda path: path.stem)
def test_a_peer_has_the_libraries_that_the_model_was_trained_with(path: Path) -> None:
    ours, theirs = pinned(LOCK), pinned(path)
    for name in ("scikit-learn", "onnxruntime"):
        assert theirs[name] == ours[name], f"change {path.stem}.in and run `make lock-peers`"
    assert "://" not in path.read_text()


def test_every_server_says_why_it_lacks_a_form() -> None:
    for server in SERVERS:
        assert server.lacks.keys() | server.transports == {cases.JSON, cases.BINARY, cases.GRPC}, server.name
        assert server.requirements.exists()


@pytest.mark.parametrize(("plan", "minutes"), [(cases.short(), 1.5), (cases.normal(), 11.0)], ids=["short", "normal"])
def test_a_run_is_bounded(plan: cases.Plan, minutes: float) -> None:
    turns = sum(
        case.model in server.models and case.transport in server.transports for case in plan.cases for server in SERVERS
    )
    turns += 2 * sum(case.transport == cases.BINARY for case in plan.cases)
    assert turns * plan.rounds * plan.seconds <= 60 * minutes


def test_every_plan_measures_what_the_goals_are_about() -> None:
    goals = {cases.Case(cases.GOAL_MODEL, *form, cases.GOAL_CLIENTS) for form in cases.FORMS}
    for plan in (cases.short(), cases.normal(), cases.full()):
        assert goals <= set(plan.cases)
        assert len(set(plan.cases)) == len(plan.cases)


def test_right_answers_pass() -> None:
    compare(np.array([0, 1, 1]), np.array([0, 1, 1]))
    compare(np.array([0.10001, 0.89999]), np.array([[0.1, 0.9]]))
    many = np.zeros(1000)
    compare(np.concatenate([np.ones(5), many[5:]]), many)


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (np.array([1]), np.array([0]), "in 1 of 1 rows"),
        (np.array([0.2, 0.8]), np.array([[0.1, 0.9]]), "in 1 of 1 rows"),
        (np.ones(6), np.concatenate([np.zeros(6)]), "in 6 of 6 rows"),
        (np.zeros(2), np.zeros(3), "2 values instead of 3"),
    ],
)
def test_wrong_answers_do_not(answer: np.ndarray, expected: np.ndarray, words: str) -> None:
    with pytest.raises(SetupError, match=words):
        compare(answer, expected)
