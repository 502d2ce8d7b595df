"""What a run may write, and what is said of anything else."""

import json
from typing import Any

import pytest

from modelward.retraining.lifecycle.report import ReportError, read_report
from modelward.retraining.lifecycle.run import Artifact, Holdout

DIGEST = "sha256:" + "0123456789abcdef" * 4
URI = "s3://models/fraud/5/fraud.tar"


def test_a_whole_report_is_read() -> None:
    holdout = {"metric": "auc", "current": 0.9, "candidate": 0.95, "higherIsBetter": True}
    found = read_report(json.dumps({"modelUri": URI, "digest": DIGEST, "version": 5, "metrics": {"holdout": holdout}}))
    assert (found.model, found.version, found.holdout) == (Artifact(URI, DIGEST), "5", Holdout("auc", 0.9, 0.95))


def test_a_metrics_name_does_not_flood_what_is_told_of_a_run() -> None:
    holdout = {"metric": "auc\n" * 10_000, "current": 0.9, "candidate": 0.8}
    found = read_report(json.dumps({"modelUri": URI, "metrics": {"holdout": holdout}})).holdout
    assert (len(str(found)) < 200, str(found).isprintable()) == (True, True)


def test_the_address_alone_is_enough() -> None:
    assert read_report(json.dumps({"modelUri": URI, "metrics": {"rows": 3}})).model == Artifact(URI)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "it wrote nothing; write JSON such as"),
        ("Epoch 1\nEpoch 2", "it wrote no JSON: 'Epoch 1"),
        ("{" + "x" * 5000, "a message is cut at 4096 bytes"),
        ("[]", "does not name its model"),
        ("{}", "does not name its model"),
        ('{"modelUri": 3}', "does not name its model"),
        ('{"modelUri": " "}', "does not name its model"),
        (json.dumps({"modelUri": f"s3://models/{'x' * 1013}"}), "has more than 1024 characters"),
        (json.dumps({"modelUri": f"{URI}\u001b[2J"}), "its modelUri has control characters"),
        (json.dumps({"modelUri": f"{URI}\ud800"}), "its modelUri has control characters"),
        (json.dumps({"modelUri": URI, "digest": "abc"}), "its digest is 'abc'"),
        (json.dumps({"modelUri": URI, "version": "5" * 254}), "write a text of at most 253 characters"),
        (json.dumps({"modelUri": URI, "version": "5\n6"}), "its version is '5 6'"),
        (json.dumps({"modelUri": URI, "version": {"number": 5}}), "or a number, or leave it out"),
        (json.dumps({"modelUri": URI, "metrics": {"holdout": 0.9}}), "metrics.holdout can't be read"),
        (json.dumps({"modelUri": URI, "metrics": {"holdout": {"current": 1}}}), "metrics.holdout can't be read"),
        (
            json.dumps({"modelUri": URI, "metrics": {"holdout": {"current": "1", "candidate": 2}}}),
            "metrics.holdout can't be read",
        ),
    ],
)
def test_what_is_no_report_is_told_with_a_cure(text: str, sentence: str) -> None:
    with pytest.raises(ReportError) as caught:
        read_report(text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("holdout", "worse"),
    [
        ({"current": 0.9, "candidate": 0.9}, False),
        ({"current": 0.9, "candidate": 0.8}, True),
        ({"current": 0.9, "candidate": 0.8, "higherIsBetter": False}, False),
        ({"current": 0.9, "candidate": 1.8, "higherIsBetter": False}, True),
        ({"current": float("nan"), "candidate": 0.1}, False),
        ({"current": 0.9, "candidate": float("nan")}, True),
    ],
)
def test_what_is_worse(holdout: dict[str, Any], worse: bool) -> None:
    found = read_report(json.dumps({"modelUri": URI, "metrics": {"holdout": holdout}}))
    assert found.holdout is not None
    assert found.holdout.worse is worse
