"""From what the kubelet says to a cause and a cure."""

import json
from typing import Any

import pytest

from builders import container, pod, workload
from modelward.facts import ContainerFacts, PodFacts
from modelward.revisions.health.diagnosis import MAX_MESSAGE, diagnose

FIELD = "spec.resources.limits.memory"
REPORT = json.dumps({"reason": "DigestMismatch", "message": "it has digest x; pin its digest"})

CASES = {
    "what fetch reports is passed on": (
        container("download", exit_code=1, exit_message=REPORT), "DigestMismatch", ["pin its digest"],
    ),
    "too little memory while loading": (
        container("compile", exit_code=137, exit_reason="OOMKilled"), "OutOfMemory", [FIELD, "loading the model"],
    ),
    "too little memory while serving": (
        container("server", exit_code=137, exit_reason="OOMKilled"), "OutOfMemory", [FIELD, "serving"],
    ),
    "killed, but not for the container's own memory": (
        container("server", exit_code=137, exit_reason="Error"), "ContainerKilled", ["liveness probe"],
    ),
    "an image that can't be pulled": (
        container(waiting_reason="ImagePullBackOff", waiting_message='Back-off pulling image "x:1"'),
        "ImagePullFailed", ["x:1", "MODELWARD_"],
    ),
    "a Secret that is missing": (
        container(waiting_reason="CreateContainerConfigError", waiting_message='secret "s3" not found'),
        "ContainerConfigInvalid", ['secret "s3" not found', "credentialsSecret"],
    ),
    "an end without a report": (
        container(exit_code=2, exit_message="usage: …"), "ContainerFailed", ["exit code 2", "usage: ?"],
    ),
    "words without end, and ones that can't be seen": (
        container(exit_code=2, exit_message="a\x1b[2J\u202e" + "b" * 4000), "ContainerFailed",
        ["exit code 2: a?[2J?bbb", "bbb. See the pod's logs"],
    ),
    "a report whose reason is none": (
        container(exit_code=2, exit_message='{"reason": "no reason; at all", "message": "m"}'), "ContainerFailed",
        ["exit code 2"],
    ),
    "a report that has no end": (
        container(exit_code=2, exit_message="[" * 4000), "ContainerFailed", ["exit code 2"],
    ),
    "a report that hides something": (
        container(exit_code=2, exit_message='{"reason": "BadArtifact", "message": "a\\u202eb\\u0000c f\u00fcr"}'),
        "BadArtifact", ["a b c f\u00fcr"],
    ),
    "an end without a word": (container(exit_code=2), "ContainerFailed", ["it said nothing"]),
}  # fmt: skip


def test_what_is_complete_has_no_problem() -> None:
    killed = container("server", exit_code=137)
    spare = pod("spare", ready=False, containers=(killed,))
    assert diagnose(workload(1, pods=(pod("one"), spare)), FIELD) is None
    assert diagnose(workload(2, ready=1, pods=(pod("one"), spare)), FIELD) is not None


@pytest.mark.parametrize("case", CASES)
def test_container(case: str) -> None:
    facts, reason, words = CASES[case]
    problem = diagnose(workload(ready=0, pods=(pod(ready=False, containers=(facts,)),)), FIELD)
    assert problem is not None
    assert problem.reason == reason
    for word in words:
        assert word in problem.message


def test_both_texts_of_a_failed_pull_give_one_message() -> None:
    """The kubelet alternates between them: a message that followed would be a write each time."""

    def message(reason: str, text: str) -> str:
        facts = container(waiting_reason=reason, waiting_message=text)
        problem = diagnose(workload(ready=0, pods=(pod(ready=False, containers=(facts,)),)), FIELD)
        assert problem
        return problem.message

    failed = 'failed to pull and unpack image "docker.io/x:1": not found'
    back_off = 'Back-off pulling image "docker.io/x:1": ErrImagePull: …'
    assert message("ErrImagePull", failed) == message("ImagePullBackOff", back_off)


def test_no_node_takes_the_pod() -> None:
    problem = diagnose(workload(ready=0, pods=(pod(ready=False, unschedulable="Insufficient memory"),)), FIELD)
    assert problem
    assert problem.reason == "Unschedulable"
    assert "Insufficient memory" in problem.message


def test_a_claim_that_is_not_there_is_no_want_of_nodes() -> None:
    told = 'persistentvolumeclaim "models" not found'
    problem = diagnose(workload(ready=0, pods=(pod(ready=False, unschedulable=told),)), FIELD)
    assert problem
    assert "Create the PersistentVolumeClaim" in problem.message
    assert "add nodes" not in problem.message


def test_no_pod_may_be_made() -> None:
    problem = diagnose(workload(ready=0, failure="exceeded quota: q"), FIELD)
    assert problem
    assert problem.reason == "PodsRejected"
    assert "exceeded quota" in problem.message


@pytest.mark.parametrize(
    "facts",
    [
        pod(ready=True, containers=(container(ready=True, exit_code=1),)),
        pod(ready=False, terminating=True, containers=(container(exit_code=1),)),
        pod(ready=False, containers=(container("download"), container(waiting_reason="PodInitializing"))),
        pod(ready=False, containers=(container("download", ready=True, exit_code=0),)),
    ],
    ids=["ready after an earlier crash", "ending", "starting", "fetched"],
)
def test_nothing_is_wrong(facts: PodFacts) -> None:
    assert diagnose(workload(ready=0, pods=(facts,)), FIELD) is None


def test_a_foreign_message_is_cut() -> None:
    facts: ContainerFacts = container(exit_code=1, exit_message="x" * 5000)
    problem = diagnose(workload(ready=0, pods=(pod(ready=False, containers=(facts,)),)), FIELD)
    assert problem
    assert len(problem.message) < MAX_MESSAGE + 200


@pytest.mark.parametrize("reason", ["", "no reason", "a", "Ünïcode", "X" * 65, "A\nB", ["DigestMismatch"]])
def test_a_reason_that_no_condition_can_have_is_not_taken(reason: Any) -> None:
    """The API server would refuse the whole status, and what loads a model may write what it likes."""
    message = json.dumps({"reason": reason, "message": "m"})
    facts = workload(
        ready=0, pods=(pod(ready=False, containers=(container("compile", exit_code=1, exit_message=message),)),)
    )
    problem = diagnose(facts, FIELD)
    assert problem is not None
    assert problem.reason == "ContainerFailed"


def test_a_sidecar_of_the_users_is_told_as_one_and_reports_for_nobody() -> None:
    def problem(**facts: Any) -> Any:
        return diagnose(workload(1, 0, pods=(pod(ready=False, containers=(container("proxy", **facts),)),)), FIELD)

    killed = problem(exit_code=137, exit_reason="OOMKilled")
    assert (killed.reason, "spec.template" in killed.message, FIELD in killed.message) == ("OutOfMemory", True, False)
    assert problem(exit_code=1, exit_message=REPORT).reason == "ContainerFailed"
