"""What a Job is to compare: that the evaluator reads it, when it is due, and that nobody's message does harm."""

import base64
import json
import zlib
from dataclasses import replace
from typing import Any

import pytest

from builders import owner
from modelward.api import names
from modelward.api.modeldeployment import Monitor, PredictionLog, SecretReference
from modelward.api.quality_gate import QualityGate, parse_quality_gate
from modelward.api.traffic import StickyBy, Traffic
from modelward.facts import Arm
from modelward.platform import Platform
from modelward.quality import comparison
from modelward.quality.comparison import (
    Side,
    Subject,
    assumed,
    candidate_of,
    identity,
    job,
    job_name,
    read_about,
    read_comparisons,
    side_of,
    variants_of,
)
from modelward.quality.measured import DAY, PREFIX
from modelward.rollouts.gates.quality import OutcomeGate, basis_of
from modelward.rollouts.statistics.spending import level_of
from modelward_evaluate.job import Job
from modelward_monitor.predictionlog.names import of_model

PLATFORM = Platform("inference:1", "envoy:1", evaluate_image="evaluate:1")
LOG = PredictionLog("s3://lake/predictions", SecretReference("lake"))
TASK = {"kind": "Classes", "label": "output.label", "score": "s", "positive": "1"}
SINCE, HOUR = 1_780_000_000.0, 3600.0
ARM = Arm("candidate", "fraud-b", 10)
MODEL = owner(monitor=Monitor(), prediction_log=LOG)


def asked(**fields: Any) -> QualityGate:
    return parse_quality_gate({"task": TASK, "metrics": [{"name": "rocAuc", "margin": "0.01"}], **fields})


def candidate(wanted: QualityGate, later: float, *gates: OutcomeGate, arm: Arm = ARM, attempt: int = 1) -> Subject:
    return candidate_of(wanted, arm, "fraud-a", attempt, SINCE, SINCE + later, gates, 0.005)


def told(body: Any) -> Job:
    (container,) = body["spec"]["template"]["spec"]["containers"]
    (value,) = [each["value"] for each in container["env"] if each["name"] == "MODELWARD_EVALUATION"]
    return Job.model_validate_json(value.replace("$$", "$"))


@pytest.mark.parametrize(
    "fields",
    [
        {}, {"labelWindow": "7d", "days": 3, "business": {"expression": "outcome || '$(HOME)'", "margin": "1"}},
        {"outcomes": {"table": {"url": "postgres://db/claims", "name": "t"}, "credentialsSecret": {"name": "db"}}},
        {"unit": "input.user_id"},
        {"outcomes": {"uri": "pvc://told/a", "absent": "0", "columns": {"value": "v"}}, "memory": "4Gi"},
        {"task": {"kind": "Numbers", "value": "v"}, "metrics": [{"name": "rmse", "margin": "1"}]},
        {"task": {"kind": "Ranking", "score": "v", "k": 3}, "metrics": [{"name": "ndcg", "margin": "1"}]},
    ],
)  # fmt: skip
def test_whatever_spec_asks_for_the_evaluator_reads(fields: dict[str, Any]) -> None:
    wanted = asked(**fields)
    window = 7 * DAY if "labelWindow" in fields else 0.0
    subject = candidate(wanted, window + 10 * DAY)
    assert subject.slot is not None
    found = told(job(MODEL, wanted, subject, LOG, PLATFORM))
    spec, (pair,) = found.evaluation, found.pairs
    assert found.metrics == tuple(each.name for each in wanted.margins)
    assert spec.predictions.path == f"s3://lake/predictions/{of_model('ml', 'fraud')}".rstrip("/")
    assert spec.begin is not None
    assert spec.end is not None
    assert (spec.now.timestamp(), spec.end.timestamp()) == (subject.slot, subject.slot - window)
    first = SINCE if "days" not in fields else max(SINCE, subject.slot - window - 3 * DAY)
    assert spec.begin.timestamp() == pair.begin.timestamp() == first
    assert (pair.name, pair.revision, pair.arm, pair.against) == ("candidate", "fraud-b", "candidate", "fraud-a")
    assert pair.levels == (level_of(0.005, 1), level_of(0.05, 1))
    assert spec.business == (None if wanted.business is None else wanted.business.expression)
    assert spec.unit == wanted.unit


@pytest.mark.parametrize(
    ("sticky", "unit", "is_told"),
    [(StickyBy("x-user"), None, True), (StickyBy("x-user"), "key", False), (None, None, False)],
)
def test_that_rows_are_taken_as_independent_is_told_where_users_stick(
    sticky: StickyBy | None, unit: str | None, is_told: bool
) -> None:
    model = owner(monitor=Monitor(), prediction_log=LOG, traffic=Traffic(sticky_by=sticky))
    assert ("spec.rollout.gates.quality.unit" in assumed(model, asked(unit=unit))) is is_told


def test_evidence_by_rows_is_none_by_users() -> None:
    """And what is stored of gates without a unit counts on as it was."""
    bases = {basis_of(asked(**fields), "rocAuc") for fields in ({}, {"unit": None}, {"unit": "key"}, {"unit": "a"})}
    assert len(bases) == 3


def test_the_job_is_the_models_own_and_has_no_rights() -> None:
    wanted = asked(outcomes={"uri": "pvc://told", "credentialsSecret": None}, deadline="90s")
    body = job(replace(MODEL, name="m" * 40), wanted, candidate(wanted, DAY), LOG, PLATFORM)
    metadata, pod = body["metadata"], body["spec"]["template"]["spec"]
    assert len(metadata["name"]) <= 63
    assert metadata["labels"][names.LABEL_COMPONENT] == "evaluation"
    assert names.LABEL_POLICY not in metadata["labels"]
    (reference,) = metadata["ownerReferences"]
    assert (reference["kind"], reference["uid"]) == ("ModelDeployment", MODEL.uid)
    assert pod["automountServiceAccountToken"] is False
    claims = [each["persistentVolumeClaim"] for each in pod["volumes"] if "persistentVolumeClaim" in each]
    assert claims == [{"claimName": "told", "readOnly": True}]
    assert body["spec"]["activeDeadlineSeconds"] == 90
    about = read_about(body)
    assert about is not None
    assert (about.subject, about.number) == ("candidate", 1)
    for annotations in ({}, {names.ANNOTATION_EVALUATION: "{}"}, {names.ANNOTATION_EVALUATION: "no"}):
        assert read_about({"metadata": {"annotations": annotations}}) is None


def test_before_anything_has_matured_no_look_is_due() -> None:
    wanted = asked(labelWindow="7d", every="2h")
    early = candidate(wanted, 6 * DAY)
    assert (early.slot, early.following) == (None, SINCE + 7 * DAY + 2 * HOUR)
    first = candidate(wanted, 7 * DAY + 2.5 * HOUR)
    assert (first.slot, first.following) == (SINCE + 7 * DAY + 2 * HOUR, SINCE + 7 * DAY + 4 * HOUR)


def test_levels_are_those_of_the_next_number_that_no_gate_has_judged() -> None:
    wanted = asked()
    gates = [OutcomeGate(wanted, wanted.metrics[0], looks=looks) for looks in (2, 4)]
    found = candidate(wanted, DAY, *gates)
    assert (found.number, found.levels) == (5, (level_of(0.005, 5), level_of(0.05, 5)))


def test_copies_are_compared_where_the_arm_answers_nobody() -> None:
    assert side_of(Arm("candidate", "b", 0, 20)) == Side("candidate", "b", "shadow")
    assert side_of(Arm("blue", "c", 5, 0)) == Side("blue", "c", "variant")
    assert side_of(Arm("dark", "d", 0, 5)) == Side("dark", "d", "shadow")


def test_a_name_is_of_what_is_asked_and_when_and_not_of_how_surely() -> None:
    wanted = asked()
    first = candidate(wanted, DAY)
    name = job_name(MODEL, wanted, first, LOG)
    judged = OutcomeGate(wanted, wanted.metrics[0], looks=3)
    same = candidate(wanted, DAY + 1, judged)
    assert same.levels != first.levels
    assert job_name(MODEL, wanted, same, LOG) == name, "a crash makes no second one"
    others = [
        job_name(replace(MODEL, uid="other"), wanted, first, LOG),
        job_name(MODEL, wanted, candidate(wanted, 2 * DAY), LOG),
        job_name(MODEL, wanted, candidate(wanted, DAY, attempt=2), LOG),
        job_name(MODEL, wanted, candidate(wanted, DAY, arm=replace(ARM, revision="fraud-c")), LOG),
        job_name(MODEL, wanted, replace(first, stable="fraud-z"), LOG),
        job_name(MODEL, wanted, first, replace(LOG, uri="s3://other")),
        job_name(MODEL, wanted, first, replace(LOG, credentials_secret=SecretReference("other"))),
        *(
            job_name(MODEL, asked(**change), first, LOG)
            for change in (
                {"labelWindow": "1h"}, {"outcomes": {"absent": "0"}}, {"task": {**TASK, "threshold": "0.1"}},
                {"metrics": [{"name": "brier", "margin": "0"}]}, {"business": {"expression": "1", "margin": "0"}},
            )
        ),
    ]  # fmt: skip
    assert len({name, *others}) == len(others) + 1
    assert identity(wanted, replace(first, slot=1.0), LOG) == identity(wanted, first, LOG)


def test_variants_are_looked_at_each_period_and_not_all_models_at_once() -> None:
    wanted = asked(every="6h", days=2, labelWindow="1h")
    arms = [Arm("b", "fraud-b", 20), Arm("dark", "fraud-d", 0, 10)]
    found = variants_of(wanted, arms, "fraud-a", "uid-1", SINCE)
    assert found.slot is not None
    assert found.slot <= SINCE < found.following == found.slot + 6 * HOUR
    assert len({variants_of(wanted, arms, "fraud-a", f"uid-{n}", SINCE).slot for n in range(20)}) > 10
    spec = told(job(MODEL, wanted, found, LOG, PLATFORM))
    assert [(each.name, each.arm, each.levels) for each in spec.pairs] == [
        ("b", "variant", (0.95,)), ("dark", "shadow", (0.95,)),
    ]  # fmt: skip
    assert spec.evaluation.begin is not None
    assert spec.evaluation.begin.timestamp() == found.slot - HOUR - 2 * DAY


def message(**fields: Any) -> str:
    content = {"v": 1, "revision": "a", "rows": 0, **fields}
    return PREFIX + base64.b85encode(zlib.compress(json.dumps(content).encode())).decode()


ROW = ["candidate", "rocAuc", 0.8, 500, 0.82, 9000, -0.02, [[-0.05, 0.01], [None, None]]]


def test_what_was_said_is_read() -> None:
    found = read_comparisons(message(pairs=[ROW], counts={"matured": 10_000, "withOutcome": 9500}))
    compared = found.found["candidate"]["rocAuc"]
    assert (compared.arm, compared.rows, compared.stable, compared.stable_rows) == (0.8, 500, 0.82, 9000)
    assert (compared.sure.low, compared.sure.high, compared.likely.low) == (-0.05, 0.01, None)
    assert not found.is_silent
    assert read_comparisons(message(nothing="outcomes")).is_silent
    assert not read_comparisons(message(nothing="predictions")).is_silent
    assert read_comparisons(message(counts={"matured": 3})).is_silent
    name = next(iter(read_comparisons(message(pairs=[["\x1b[31m" + "x" * 500, *ROW[1:]]])).found))
    assert len(name) <= comparison.NAME


@pytest.mark.parametrize(
    "said",
    [
        "", "nonsense", PREFIX, f"{PREFIX}!!", message(v=2), message(rows=-1), message(pairs=[ROW[:-1]]),
        message(pairs=[[*ROW[:3], -1, *ROW[4:]]]), message(pairs=[[*ROW[:-1], [[0, 0]] * 3]]),
        message(pairs=[[*ROW[:2], "much", *ROW[3:]]]), message(pairs=[[*ROW[:2], 1e301, *ROW[3:]]]), message(pairs=7),
        message(counts={"matured": -1}),
    ],
)  # fmt: skip
def test_what_is_none_of_ours_is_an_error_and_nothing_else(said: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_comparisons(said)
