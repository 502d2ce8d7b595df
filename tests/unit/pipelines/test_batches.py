"""A batch: started once whatever is retried, and looked after to its end."""

import re
from dataclasses import replace
from typing import Any

import pytest

from modelward_cli.kubectl import ExistsError, KubectlError
from modelward_cli.pipeline.batches import (
    MAX_ATTEMPTS,
    MAX_NAME,
    Batch,
    BatchFailedError,
    Stage,
    attempt,
    is_done,
    name_for,
    run_of,
    start,
)

from .apiserver import ApiServer

NIGHTLY = Batch("churn-1", "churn", "s3://in/today/", "s3://out/", ("id",), {"maxRejectedShare": "1%"})


def seen(phase: str | None, message: str = "", **status: Any) -> Any:
    told = {"observedGeneration": 1, "phase": phase, "message": message, **status}
    return {"metadata": {"name": "churn-1", "generation": 1}, "status": told if phase else {}}


def test_a_batch_is_started_once(server: ApiServer) -> None:
    first, again = (start(server.cluster(), NIGHTLY) for _ in range(2))
    assert first == again
    assert first["spec"] == {
        "model": {"modelDeployment": "churn"}, "input": {"uri": "s3://in/today/"}, "output": {"uri": "s3://out/"},
        "keys": ["id"], "maxRejectedShare": "1%",
    }  # fmt: skip
    # What the API server adds is not what was asked.
    server.objects["batchinferences", "churn-1"]["spec"]["parallelism"] = 1
    assert start(server.cluster(), NIGHTLY)["metadata"]["name"] == "churn-1"


def test_another_batch_of_that_name_is_refused(server: ApiServer) -> None:
    start(server.cluster(), NIGHTLY)
    with pytest.raises(ExistsError, match="asks for something else"):
        start(server.cluster(), replace(NIGHTLY, input="s3://in/yesterday/"))


def test_another_attempt_begins_only_after_one_that_failed(server: ApiServer) -> None:
    def status_of(name: str, phase: str) -> None:
        server.objects["batchinferences", name]["status"] = {"phase": phase, "observedGeneration": 1}

    def names() -> list[str]:
        return [name for kind, name in server.objects if kind == "batchinferences"]

    for phase in ("Running", "Failed"):
        assert attempt(server.cluster(), NIGHTLY)["metadata"]["name"] == "churn-1"
        status_of("churn-1", phase)
    for _ in range(2):
        assert attempt(server.cluster(), NIGHTLY)["metadata"]["name"] == "churn-1-2"
    assert names() == ["churn-1", "churn-1-2"]
    status_of("churn-1-2", "Complete")
    attempt(server.cluster(), NIGHTLY)
    assert names() == ["churn-1", "churn-1-2"], "one that is done is not done again"
    status_of("churn-1-2", "Failed")
    for number in range(3, MAX_ATTEMPTS + 1):
        attempt(server.cluster(), NIGHTLY)
        status_of(f"churn-1-{number}", "Failed")
    with pytest.raises(BatchFailedError, match="failed 9 times"):
        attempt(server.cluster(), NIGHTLY)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keys": ()}, "name the key columns"),
        ({"more": {"schedule": {"cron": "0 2 * * *"}}}, "schedule can't be among"),
        ({"more": {"input": {"uri": "s3://x"}}}, "input can't be among"),
        ({"name": "Churn 1"}, "is no name of a batch"),
        ({"name": "9-lives"}, "is no name of a batch"),
        ({"name": "a" * 41}, "at most 38 characters"),
        ({"model": "../x"}, "is no name of an object"),
    ],
)
def test_what_makes_no_sense_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(KubectlError, match=said):
        replace(NIGHTLY, **change)


@pytest.mark.parametrize(
    ("found", "stage", "said"),
    [
        (seen(None), Stage.RUNNING, "has not taken it up"),
        (seen("Running", "3 of 9 units"), Stage.RUNNING, "3 of 9 units"),
        (seen("Running", observedGeneration=0), Stage.RUNNING, "has not taken it up"),
        (seen("Complete", "9 units"), Stage.DONE, "9 units"),
        (seen("Complete"), Stage.DONE, "Complete"),
        (seen("Failed", "The input has no column id"), Stage.FAILED, "The input has no column id"),
        (
            seen("Pending", conditions=[{"type": "Stalled", "status": "True", "message": "No model"}]),
            Stage.FAILED, "No model",
        ),
        ({"metadata": {"name": "churn-1", "deletionTimestamp": "2026-01-01T00:00:00Z"}}, Stage.FAILED, "being deleted"),
    ],
)  # fmt: skip
def test_each_phase_has_its_stage_and_reason(found: Any, stage: Stage, said: str) -> None:
    run = run_of(found)
    assert run.stage is stage
    assert said in run.message
    if stage is Stage.FAILED:
        with pytest.raises(BatchFailedError, match=said):
            is_done(run)
    else:
        assert is_done(run) is (stage is Stage.DONE)


def test_the_same_key_gives_the_same_name() -> None:
    keys = ["scheduled__2026-01-01T02:00:00+00:00", "scheduled__2026-01-02T02:00:00+00:00", "Ü" * 300, "", "-"]
    names = [name_for("churn", key) for key in keys] + [name_for("9-lives.and-more-of-them", "x" * 90)]
    assert names[:-1] == [name_for("churn", key) for key in keys]
    assert len(set(names)) == len(keys) + 1
    assert all(re.fullmatch(r"[a-z][-a-z0-9]*[a-z0-9]", name) and len(name) <= MAX_NAME for name in names), names
    assert names[0].startswith("churn-scheduled-2026-")
