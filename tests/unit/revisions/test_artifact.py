"""What a revision serves, by the reports of its init containers."""

import json
from typing import Any

import pytest

from builders import container, observed, owner, pod, revision, router, workload
from modelward.net.untrusted import decoded
from modelward.reconcilers.modeldeployment.status import build_status
from modelward.revisions.observed import artifact
from modelward.revisions.observed.artifact import Artifact, artifacts_of, differing
from modelward.rollouts.decision import decide

DOWNLOADED = {"reason": "Downloaded", "message": "m", "digest": "sha256:a", "size": 1, "format": "sklearn"}
COMPILED = {"reason": "Compiled", "message": "m", "form": "compiled", "fallback": None, "warnings": []}


def ended(name: str, message: str, code: int = 0) -> Any:
    return container(name, exit_code=code, exit_message=message)


def fetched(name: str = "pod", digest: str = "sha256:a", **report: Any) -> Any:
    download = ended("download", json.dumps({**DOWNLOADED, "digest": digest}))
    return pod(name, containers=(download, ended("compile", json.dumps({**COMPILED, **report})), container("server")))


def test_one_artifact_however_many_pods() -> None:
    facts = workload(2, pods=(fetched("a"), fetched("b")))
    assert artifacts_of(facts) == (Artifact("sha256:a", "sklearn", "Compiled"),)
    assert differing(facts) is None


def test_a_report_is_read_once_and_anew_when_it_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    monkeypatch.setattr(artifact, "decoded", lambda text: read.append(text) or decoded(text))
    artifact._reported.cache_clear()
    for digest in ("sha256:a", "sha256:a", "sha256:b"):
        (found,) = artifacts_of(workload(pods=(fetched(digest=digest),)))
        assert found.digest == digest
    assert len(read) == 2 * 2, "two steps of two reports"


def test_the_reason_of_a_fallback_and_warnings_are_kept() -> None:
    facts = workload(pods=(fetched(form="original", fallback="no converter for Odd", warnings=["another version"]),))
    assert artifacts_of(facts) == (
        Artifact("sha256:a", "sklearn", "Original", "no converter for Odd", ("another version",)),
    )


def test_who_signed_it_is_said_by_the_download_alone() -> None:
    download = ended("download", json.dumps({**DOWNLOADED, "signed_by": "sha256:k"}))
    forged = ended("compile", json.dumps({**COMPILED, "signed_by": "sha256:forged"}))
    signed = pod(containers=(download, forged))
    unsigned = pod(containers=(ended("download", json.dumps(DOWNLOADED)), forged))
    assert [each.signed_by for each in artifacts_of(workload(pods=(signed,)))] == ["sha256:k"]
    assert [each.signed_by for each in artifacts_of(workload(pods=(unsigned,)))] == [None]
    facts = observed("a", revision("a", pods=(signed,)), router=router("a"))
    status = build_status(owner(), facts, decide(facts, None), "v1", None, "2026-01-01T00:00:00Z")
    assert status["stable"]["signedBy"] == "sha256:k"


@pytest.mark.parametrize("message", ["", "serving", "{}", "[]", '{"digest": "sha256:a"', '{"digest": 1}'])
def test_what_is_no_report_is_no_fact(message: str) -> None:
    containers = (ended("download", message), ended("compile", json.dumps({**COMPILED, **DOWNLOADED})))
    assert artifacts_of(workload(pods=(pod(containers=containers),))) == ()


@pytest.mark.parametrize("failed", ["download", "compile"])
def test_what_failed_serves_nothing(failed: str) -> None:
    messages = {"download": DOWNLOADED, "compile": COMPILED}
    containers = tuple(ended(name, json.dumps(told), int(name == failed)) for name, told in messages.items())
    assert artifacts_of(workload(pods=(pod(containers=containers),))) == ()


FORGERIES = {
    "another digest and format": {"digest": "sha256:forged", "format": "onnx", "size": 2, "reason": "Downloaded"},
    "a form that there is not": {"form": ["compiled"]},
    "warnings that are none": {"warnings": 7},
    "fallback of another type": {"fallback": {"a": 1}},
}


@pytest.mark.parametrize("case", FORGERIES)
def test_what_loads_the_model_has_no_say_in_bytes_and_format(case: str) -> None:
    (found,) = artifacts_of(workload(pods=(fetched(**{k: v for k, v in FORGERIES[case].items() if k != "digest"}),)))
    forged = json.dumps({**COMPILED, **FORGERIES[case]})
    download = ended("download", json.dumps(DOWNLOADED))
    (told,) = artifacts_of(workload(pods=(pod(containers=(download, ended("compile", forged))),)))
    assert (told.digest, told.format, found.digest) == ("sha256:a", "sklearn", "sha256:a")


@pytest.mark.parametrize("message", ["no JSON", "[" * 4000, "[]", "3", ""])
def test_a_report_of_what_loads_that_can_not_be_read_takes_nothing_away(message: str) -> None:
    containers = (ended("download", json.dumps(DOWNLOADED)), ended("compile", message))
    assert artifacts_of(workload(pods=(pod(containers=containers),))) == (Artifact("sha256:a", "sklearn", "Original"),)


def test_its_texts_are_bounded_and_plain() -> None:
    (told,) = artifacts_of(workload(pods=(fetched(fallback="a\n\x1b[31m" + "b" * 900, warnings=["c"] * 90),)))
    assert told.fallback is not None
    assert told.fallback.startswith("a  [31mbb")
    assert (len(told.fallback), len(told.warnings)) == (400, 32)


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
