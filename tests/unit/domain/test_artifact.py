"""What a revision serves, by the reports of its init containers."""

import json
from typing import Any

import pytest

from builders import container, observed, owner, pod, revision, router, workload
from modelward.domain.artifact import Artifact, artifacts_of, differing
from modelward.domain.rollout import decide
from modelward.domain.status import build_status

REPORT = {"reason": "Fetched", "message": "m", "digest": "sha256:a", "size": 1, "format": "sklearn", "form": "compiled"}


def fetched(name: str = "pod", **report: Any) -> Any:
    message = json.dumps({**REPORT, **report})
    return pod(name, containers=(container("fetch", exit_code=0, exit_message=message), container("server")))


def test_one_artifact_however_many_pods() -> None:
    facts = workload(2, pods=(fetched("a"), fetched("b")))
    assert artifacts_of(facts) == (Artifact("sha256:a", "sklearn", "Compiled"),)
    assert differing(facts) is None


def test_the_reason_of_a_fallback_and_warnings_are_kept() -> None:
    facts = workload(pods=(fetched(form="original", fallback="no converter for Odd", warnings=["another version"]),))
    assert artifacts_of(facts) == (
        Artifact("sha256:a", "sklearn", "Original", "no converter for Odd", ("another version",)),
    )


@pytest.mark.parametrize("message", ["", "serving", "{}", "[]", '{"digest": "sha256:a"', '{"digest": 1}'])
def test_what_is_no_report_is_no_fact(message: str) -> None:
    facts = workload(pods=(pod(containers=(container("fetch", exit_code=0, exit_message=message),)),))
    assert artifacts_of(facts) == ()


def test_a_failed_fetch_has_fetched_nothing() -> None:
    failed = container("fetch", exit_code=1, exit_message=json.dumps(REPORT))
    assert artifacts_of(workload(pods=(pod(containers=(failed,)),))) == ()


def test_pods_of_one_revision_with_different_bytes_are_a_problem() -> None:
    facts = workload(2, pods=(fetched("a"), fetched("b", digest="sha256:b")))
    problem = differing(facts)
    assert problem is not None
    assert problem.reason == "ArtifactChanged"
    assert "sha256:a, sha256:b" in problem.message
    assert "spec.model.digest" in problem.message


def test_status_shows_it() -> None:
    facts = observed(
        "fraud-a", revision("fraud-a", pods=(fetched(form="original", fallback="why"),)), router=router("fraud-a")
    )
    stable = build_status(owner(), facts, decide(facts), "v1", None, "2026-01-01T00:00:00Z")["stable"]
    assert {key: stable[key] for key in ("digest", "format", "form", "fallback")} == {
        "digest": "sha256:a", "format": "sklearn", "form": "Original", "fallback": "why",
    }  # fmt: skip
