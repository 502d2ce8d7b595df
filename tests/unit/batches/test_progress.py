"""How a run goes, by what its Job and its pods say."""

from typing import Any

import pytest

from modelward.batches.message import told
from unit.batches.batches import CREATED, ended, facts, job, pod

DONE: dict[str, Any] = {"rows": 100, "rejected": 2, "units": 3, "seconds": 1.5, "complete": False}
LAST = DONE | {"complete": True}


def complete(at: float = CREATED + 40) -> dict[str, Any]:
    return job(**ended("Complete", at))


def failed(
    reason: str = "BackoffLimitExceeded", message: str = "it failed", at: float = CREATED + 40
) -> dict[str, Any]:
    return job(**ended("Failed", at, reason, message))


def test_one_that_goes_on_tells_of_the_pods_that_are_done() -> None:
    found = facts(job(), pod(0, 0, DONE, CREATED + 20), pod(1))
    assert (found.counts.rows, found.counts.rejected, found.counts.pods_done) == (100, 2, 1)
    assert (found.counts.seconds, found.counts.rate) == (20.0, 5.0)
    assert (found.ended, found.over, found.delay) == (None, False, None)


def test_one_is_done_when_the_manifest_is_written() -> None:
    found = facts(complete(), pod(0, 0, DONE, CREATED + 20), pod(1, 0, LAST, CREATED + 30))
    assert found.ended is not None
    assert (found.ended.result, found.ended.at, found.over) == ("Succeeded", CREATED + 40, True)
    assert (found.counts.rows, found.counts.seconds) == (200, 40.0)
    assert found.ended.message == "nightly-0000000001: 200 rows, 4 rejected, in s3://lake/scored/r/"
    assert found.digest.startswith("sha256:aa")


def test_a_pod_that_took_the_place_of_another_counts_once() -> None:
    killed = pod(0, 137, "", CREATED + 5, name="pod-0-killed")
    found = facts(complete(), killed, pod(0, 0, LAST, CREATED + 20))
    assert (found.counts.rows, found.counts.pods_done) == (100, 1)


def test_of_one_that_is_complete_the_pods_may_be_told_of_later() -> None:
    assert facts(complete(), pod(0), now=CREATED + 45).ended is None
    late = facts(complete(), now=CREATED + 70).ended
    assert late is not None
    assert (late.result, late.reason) == ("Failed", "ManifestMissing")
    assert "s3://lake/scored/r/" in late.message


def test_pods_that_all_wrote_and_none_the_manifest_are_no_success() -> None:
    found = facts(complete(), pod(0, 0, DONE), pod(1, 0, DONE), now=CREATED + 70).ended
    assert found is not None
    assert found.reason == "ManifestMissing"


@pytest.mark.parametrize(
    ("body", "pods", "reason", "words"),
    [
        (
            failed("PodFailurePolicy"), [pod(0, 3, 'log\n{"problem": "churn.parquet lacks the column age; add it"}')],
            "InputRefused", "churn.parquet lacks the column age; add it",
        ),
        (failed("PodFailurePolicy"), [pod(0, 3, "no JSON")], "InputRefused", "could not say why"),
        (failed("DeadlineExceeded"), [], "DeadlineExceeded", "Raise it, or spec.parallelism"),
        (failed(), [pod(0, 1, "the store does not answer")], "RunFailed", "the store does not answer"),
        (
            failed(), [pod(0, 137, containerStatuses=[{
                "name": "score", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
            }])], "RunFailed", "killed while scoring: it needs more memory than its limit",
        ),
        (failed(message="no pod could be made"), [], "RunFailed", "no pod could be made"),
    ],
)  # fmt: skip
def test_why_one_failed(body: dict[str, Any], pods: list[dict[str, Any]], reason: str, words: str) -> None:
    found = facts(body, *pods, now=CREATED + 70).ended
    assert found is not None
    assert (found.result, found.reason) == ("Failed", reason)
    assert words in found.message


def test_a_pod_whose_init_container_says_why_is_heard() -> None:
    report = '{"reason": "ArtifactNotFound", "message": "s3://models/churn.onnx is not there"}'
    step = {"name": "download", "state": {"terminated": {"exitCode": 1, "message": report}}}
    body = pod(0, 1, initContainerStatuses=[step], containerStatuses=[])
    found = facts(failed(), body, now=CREATED + 70).ended
    assert found is not None
    assert "s3://models/churn.onnx is not there" in found.message


def test_pods_that_fetched_other_bytes_end_the_run() -> None:
    found = facts(job(), pod(0), pod(1, digest="sha256:" + "b" * 64))
    assert found.ended is not None
    assert (found.ended.reason, found.over) == ("ArtifactChanged", False)
    assert "spec.model.digest" in found.ended.message


def test_a_job_that_somebody_deletes_has_failed() -> None:
    body = job()
    body["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:30Z"
    found = facts(body, pod(0))
    assert found.ended is not None
    assert (found.ended.reason, found.over) == ("JobDeleted", True)
    done = complete()
    done["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:50Z"
    kept = facts(done, pod(0, 0, LAST)).ended
    assert kept is not None
    assert kept.result == "Succeeded"


def test_what_keeps_one_from_coming_on() -> None:
    waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": 'secret "lake" not found'}}
    found = facts(job(), pod(0, containerStatuses=[{"name": "score", "state": waiting}])).delay
    assert found is not None
    assert found.reason == "ContainerConfigInvalid"
    assert "spec.credentialsSecret" in found.message
    assert not found.may_pass(CREATED + 60)


def test_one_that_is_tried_again_may_still_go_well() -> None:
    found = facts(job(), pod(0, 1, "the store does not answer"), pod(0, name="pod-0-again")).delay
    assert found is not None
    assert (found.reason, found.may_pass(CREATED + 1e9)) == ("PodFailed", True)
    assert "the store does not answer" in found.message


def test_one_without_a_pod_is_told_of_after_a_while() -> None:
    assert facts(job(), now=CREATED + 59).delay is None
    found = facts(job(), now=CREATED + 61).delay
    assert found is not None
    assert found.reason == "PodsRejected"


def test_one_that_a_queue_holds_is_no_fault() -> None:
    found = facts({**job(), "spec": {"suspend": True}}).delay
    assert found is not None
    assert (found.reason, found.may_pass(CREATED + 1e9)) == ("JobSuspended", True)


@pytest.mark.parametrize(
    "message",
    ["", "[]", "null", "{", '{"rows": -1}', '{"rows": "many"}', '{"rows": 1e300}', '{"complete": 1}', "[" * 5000],
)
def test_a_message_that_is_none_says_nothing(message: str) -> None:
    assert told(message) is None


def test_a_message_is_its_last_line_and_what_it_says_is_bounded() -> None:
    found = told('{"rows": 1}\n{"rows": 2, "problem": "%s", "later": true}\n' % ("ä\\u0007x" * 500))
    assert found is not None
    assert (found.rows, len(found.problem) <= 400, found.problem.isascii()) == (2, True, True)
