"""The Job that evaluates: what it is told is what the evaluator reads, and what it says is what the operator reads."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from builders import owner
from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.api.modeldeployment import Monitor, PredictionLog, SecretReference
from modelward.platform import Platform
from modelward.quality.job_manifest import About, job, job_name, read_about
from modelward.quality.kept import NO_OUTCOMES, failed, succeeded
from modelward.quality.measured import DAY, Kept, Measured, StoredKept, cohort_of, read_message, show_kept
from modelward.quality.rules import metrics_of
from modelward.values.stored import known
from modelward_evaluate import report, tables
from modelward_evaluate.job import Job, main, run
from modelward_monitor.predictionlog.names import of_model
from unit.evaluate.lakes import START, Lake, outcome, prediction

PLATFORM = Platform("inference:1", "envoy:1", evaluate_image="evaluate:1")
LOG = PredictionLog("s3://lake/predictions", SecretReference("lake"))
TASK = {"kind": "Classes", "label": "output.label", "positive": "1"}
SLOT = START.timestamp() + 20 * DAY


def policy(task: dict[str, Any] | None = None, **quality: Any) -> DriftPolicy:
    spec = {"target": {"name": "fraud"}, "quality": {"task": task or TASK, **quality}}
    return parse({"metadata": {"namespace": "ml", "name": "p", "uid": "u", "generation": 1}, "spec": spec})


def made(given: DriftPolicy, log: PredictionLog = LOG, platform: Platform = PLATFORM, **spec: Any) -> Any:
    model = owner(monitor=Monitor(), prediction_log=log, **spec)
    return job(given, model, log, platform, "p-1-quality", "fraud-1", cohort_of(given.spec, SLOT, 0.99))


def told(body: Any) -> Job:
    (container,) = body["spec"]["template"]["spec"]["containers"]
    (value,) = [each["value"] for each in container["env"] if each["name"] == "MODELWARD_EVALUATION"]
    return Job.model_validate_json(value.replace("$$", "$"))


@pytest.mark.parametrize(
    ("task", "options"),
    [
        (TASK, {}),
        ({"kind": "Classes", "score": "s", "positive": "1", "threshold": "0.25"}, {"every": "1h"}),
        ({"kind": "Numbers", "value": "v"}, {"metrics": [{"name": "rmse"}], "outcomes": {"absent": "0"}}),
        ({"kind": "Ranking", "score": "s", "group": "g", "k": 3}, {"labelWindow": "90m"}),
        (
            TASK,
            {
                "segments": [{"name": "a", "column": "c"}, {"name": "b", "sql": "x > 1 and y = '$(HOME)'"}],
                "fairness": {"column": "c", "minGroupSize": 50}, "business": {"expression": "outcome"},
                "compare": {"against": "Days", "days": 3}, "labelWindow": "5d", "days": 2, "memory": "4Gi",
                "outcomes": {"columns": {"requestId": "id"}},
            },
        ),
    ],
)  # fmt: skip
def test_whatever_spec_asks_for_the_evaluator_reads(task: dict[str, Any], options: dict[str, Any]) -> None:
    given = policy(task, **options)
    assert given.spec.quality is not None
    found = told(made(given))
    assert (found.revision, found.level, found.metrics) == ("fraud-1", 0.99, metrics_of(given.spec.quality))
    spec = found.evaluation
    assert spec.predictions.path == f"s3://lake/predictions/{of_model('ml', 'fraud')}revision=fraud-1", (
        "as it is written"
    )
    assert spec.now.timestamp() == SLOT
    assert spec.end is not None
    assert spec.begin is not None
    assert spec.end.timestamp() == SLOT - (spec.label_window_seconds or 0)
    assert (spec.end - spec.begin).days == given.spec.quality.days
    if options.get("compare"):
        assert found.before is not None
        assert (found.before.end, (found.before.end - found.before.begin).days) == (spec.begin, 3)
        assert (spec.segments[1].sql, found.smallest) == ("x > 1 and y = '$(HOME)'", 50)
        assert (spec.memory_mb, spec.outcomes.request_id) == (2048, "id")


@pytest.mark.parametrize(
    ("log", "outcomes", "places", "volumes"),
    [
        ("s3://lake/p", None, ("s3://lake/p/v1/", "s3://lake/p/outcomes/v1/namespace=ml/model=fraud"), []),
        ("s3://lake", "s3://other/told", ("s3://lake/v1/", "s3://other/told"), []),
        ("pvc://c/a/b", None, ("/mnt/prediction-log/a/b/v1/", "/mnt/prediction-log/a/b/outcomes/v1/"), ["c"]),
        ("pvc://c", "pvc://d/told", ("/mnt/prediction-log/v1/", "/mnt/outcomes/told"), ["c", "d"]),
        ("pvc://c", "pvc://c/told", ("/mnt/prediction-log/v1/", "/mnt/outcomes/told"), ["c"]),
    ],
)
def test_places_and_claims(log: str, outcomes: str | None, places: tuple[str, str], volumes: list[str]) -> None:
    body = made(policy(outcomes={"uri": outcomes} if outcomes else {}), replace(LOG, uri=log))
    spec = told(body).evaluation
    assert spec.predictions.path.startswith(places[0])
    assert spec.outcomes.path.startswith(places[1])
    pod = body["spec"]["template"]["spec"]
    claims = [each["persistentVolumeClaim"] for each in pod["volumes"] if "persistentVolumeClaim" in each]
    assert claims == [{"claimName": name, "readOnly": True} for name in volumes]
    writable = [each["name"] for each in pod["containers"][0]["volumeMounts"] if not each.get("readOnly")]
    assert writable == ["tmp"]


def test_each_store_is_read_with_its_own_keys() -> None:
    own = told(made(policy(outcomes={"uri": "s3://o/t", "credentialsSecret": {"name": "other"}}))).evaluation
    assert (own.predictions.credentials, own.outcomes.credentials) == (
        "/etc/modelward/log-credentials", "/etc/modelward/outcomes-credentials",
    )  # fmt: skip
    of_log = told(made(policy(outcomes={"uri": "s3://o/t"}))).evaluation
    assert of_log.outcomes.credentials == of_log.predictions.credentials == "/etc/modelward/log-credentials"
    bare = told(made(policy(), replace(LOG, credentials_secret=None))).evaluation
    assert (bare.predictions.credentials, bare.outcomes.credentials) == (None, None)


def test_the_pod_has_no_rights_and_is_bounded() -> None:
    body = made(policy(deadline="90s", memory="3Gi"), service_account_name="models")
    pod = body["spec"]["template"]["spec"]
    assert body["metadata"]["ownerReferences"][0]["uid"] == "u"
    assert body["spec"]["activeDeadlineSeconds"] == 90
    assert (pod["automountServiceAccountToken"], pod["serviceAccountName"]) == (False, "models")
    assert pod["securityContext"] == {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    (container,) = pod["containers"]
    assert container["image"] == "evaluate:1"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["limits"] == {"memory": "3Gi"}


def test_a_name_is_of_policy_model_time_and_what_is_asked_for() -> None:
    given, model = policy(), owner()
    first = job_name(given, model, SLOT, ["a"])
    assert first == job_name(given, model, SLOT, ["a"])
    assert len({first, job_name(given, model, SLOT + 1, ["a"]), job_name(given, model, SLOT, ["b"])}) == 3
    assert len(job_name(replace(given, name="p" * 40), model, SLOT, ["a"])) <= 63
    about = read_about(made(given))
    assert about is not None
    assert (about.target, about.revision) == ("uid-1", "fraud-1")
    assert about.cohort == cohort_of(given.spec, SLOT, 0.99)
    for annotations in ({}, {"modelward.io/evaluation": "{}"}, {"modelward.io/evaluation": "no"}):
        assert read_about({"metadata": {"annotations": annotations}}) is None


def said(tmp_path: Path, given: DriftPolicy, outcomes: bool = True) -> str:
    """By the real evaluator: of forty rows half of which are right."""
    lake = Lake(tmp_path)
    lake.predict([prediction(each, 1, **{"input.country": "de"}) for each in range(40)])
    if outcomes:
        lake.tell([outcome(each, each % 2) for each in range(40)])
    found = told(made(given))
    paths = {"predictions": lake.log / "v1/namespace=ml/model=fraud/revision=r1", "outcomes": lake.outcomes}
    asked = json.loads(found.model_dump_json(exclude_none=True))
    for name, path in paths.items():
        asked["evaluation"][name] = {**asked["evaluation"][name], "path": str(path)}
        asked["evaluation"][name].pop("credentials", None)
    asked["revision"] = "r1"
    assert main({"MODELWARD_EVALUATION": json.dumps(asked)}, tmp_path / "message") == 0
    return (tmp_path / "message").read_text()


ABOUT = {"days": 30, "segments": [{"name": "country", "column": "input.country"}], "minSamples": 30}


def about(given: DriftPolicy) -> About:
    return About(target="t", revision="r1", cohort=cohort_of(given.spec, SLOT, 0.99))


def test_what_the_evaluator_says_is_read_remembered_and_the_first_is_the_reference(tmp_path: Path) -> None:
    given = policy(metrics=[{"name": "accuracy", "min": "0.9"}], **ABOUT)
    kept = succeeded(Kept(), given.spec, "job", about(given), said(tmp_path, given), SLOT + 60)
    assert kept.measured is not None
    assert kept.measured.values["accuracy"].value == 0.5
    assert kept.measured.coverage == 1.0
    assert ("country", "de", "accuracy") in {each[:3] for each in kept.measured.parts}
    assert (kept.done, kept.slot, kept.at, kept.problem) == ("job", SLOT, SLOT + 60, None)
    assert kept.first is not None
    assert kept.first.values["accuracy"].rows == 40
    again = known(StoredKept, json.loads(json.dumps(show_kept(kept)))).value()
    assert (again, again.measured) == (kept, kept.measured)
    worse = succeeded(kept, given.spec, "next", about(given), kept.message, SLOT + DAY)
    assert worse.first == kept.first
    other = policy(labelWindow="1h", **ABOUT)
    assert succeeded(kept, other.spec, "x", about(other), kept.message, SLOT).first != kept.first
    few = policy(**{**ABOUT, "minSamples": 41})
    assert succeeded(Kept(), few.spec, "x", about(few), kept.message, SLOT).first is None


def test_silence_is_a_problem_and_no_value(tmp_path: Path) -> None:
    given = policy(outcomes={"absent": "0"}, **ABOUT)
    kept = succeeded(Kept(), given.spec, "job", about(given), said(tmp_path, given, outcomes=False), SLOT)
    assert kept.measured is None
    assert kept.problem is not None
    assert kept.problem.reason == NO_OUTCOMES
    assert "No outcome came at all (what clients post)" in kept.problem.message
    quiet = Measured("r1", 40, {"matured": 40, "withOutcome": 0, "assumed": 40}, {}, {}, (), ())
    assert quiet.is_silent, "what is assumed of everybody is no outcome"
    assert not Measured("r1", 0, {"matured": 0}, {}, {}, (), (), "predictions").is_silent


def test_a_failure_leaves_what_was_measured(tmp_path: Path) -> None:
    given = policy(**ABOUT)
    kept = succeeded(Kept(), given.spec, "job", about(given), said(tmp_path, given), SLOT)
    broken = failed(kept, "next", about(given), "no bucket")
    assert (broken.measured, broken.done) == (kept.measured, "next")
    assert broken.problem is not None
    assert broken.problem.message == "no bucket"
    again = known(StoredKept, show_kept(broken)).value()
    assert again == broken
    assert known(StoredKept, show_kept(failed(Kept(), "j", about(given), "x"))).value().done == "j"


BOMB = report.pack({"v": 1, "revision": "x" * 300_000, "rows": 0})


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("", "no result of an evaluation"),
        ("modelward-quality:???", "."),
        (report.pack({"v": 2, "revision": "r", "rows": 1}), "of version 2"),
        (report.pack({"v": 1, "revision": "r"}), "rows"),
        (report.pack({"v": 1, "revision": "r", "rows": 1, "values": [["", "", "f1", "high", 0, 1, 3]]}), "float"),
        (report.pack({"v": 1, "revision": "r", "rows": 1})[:-3], "."),
        (report.pack({"v": 1, "revision": "r", "rows": 10**30}), "whole number of"),
        (report.pack({"v": 1, "revision": "r", "rows": 1 << 60}), "rows"),
        (report.pack({"v": 1, "revision": "r", "rows": -1}), "rows"),
        (report.pack({"v": 1, "revision": "r", "rows": 1, "before": [["f1", 1e305, 0, 1, 3]]}), "1e"),
        (BOMB, "cut off, or too long"),
    ],
)
def test_what_is_no_message_of_an_evaluator_is_refused(message: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_message(message)


def test_what_somebody_else_wrote_into_a_message_can_be_shown_and_is_bounded() -> None:
    rows = [["s\ud800", f"v\n{number}" + "x" * 150, "f1", 0.5, 0.4, 0.6, 3] for number in range(500)]
    gaps = [["parity", "ratio", 0.5, 0.4, 0.6, 3, "\ud800", "a\x00b", 0]] * 2
    written = {"v": 1, "revision": "\udfff", "rows": 1, "values": [*rows, *rows], "fairness": gaps}
    found = read_message(report._packed(written))
    assert len(found.parts) == len({each[:3] for each in found.parts}) == 300
    assert len(found.gaps) == 1
    texts = [
        found.revision,
        found.gaps[0].highest,
        found.gaps[0].lowest,
        *(text for each in found.parts for text in each[:3]),
    ]
    assert all(text.isprintable() and len(text) <= 100 for text in texts)
    json.dumps(texts, ensure_ascii=False).encode()


@pytest.mark.parametrize(
    ("field", "value"), [("slot", 1e30), ("end", -1.0), ("level", 1.0), ("level", 0.0), ("begin", "then")]
)
def test_a_jobs_annotation_of_other_hands_is_none(field: str, value: Any) -> None:
    body = made(policy())
    about = json.loads(body["metadata"]["annotations"]["modelward.io/evaluation"])
    about["cohort"][field] = value
    body["metadata"]["annotations"]["modelward.io/evaluation"] = json.dumps(about)
    assert read_about(body) is None


def test_concept_drift_goes_through_the_message(tmp_path: Path) -> None:
    """From spec to what the operator reads of it: the label is right for ten days, then for half of the rows."""
    lake = Lake(tmp_path)
    number, told_rows = 0, []
    for day in range(20):
        rows = []
        for each in range(60):
            number += 1
            right = day < 10 or each % 2
            rows.append(prediction(number, 1, time=START + timedelta(days=day, seconds=each)))
            told_rows.append(outcome(number, int(bool(right) and each % 10 > 0), time=rows[-1]["time"], arrived=None))
        lake.predict(rows, "fraud-1")
    lake.tell(told_rows)
    given = policy(concept={"referenceDays": 5, "days": 20, "margin": "0.01"}, days=2)
    asked = made(given)
    found = told(asked)
    assert found.concept is not None
    assert (found.concept.asked.reference_days, found.concept.asked.margin) == (5, 0.01)
    assert (found.concept.end - found.concept.begin).days == 20
    moved = found.model_copy(update={"evaluation": found.evaluation.model_copy(update={
        "predictions": found.evaluation.predictions.model_copy(update={"path": str(lake.log)}),
        "outcomes": found.evaluation.outcomes.model_copy(update={"path": str(lake.outcomes), "credentials": None}),
    })})  # fmt: skip
    measured = read_message(report.pack(run(moved)))
    (shift,) = measured.shifts
    assert shift.alarm
    assert (shift.segment, shift.part, shift.before) == ("", "", pytest.approx(0.1, abs=0.01))
    assert shift.since == (START + timedelta(days=10)).timestamp()
    assert shift.rise.value == pytest.approx(0.45, abs=0.05)


def test_a_day_that_is_none_is_no_message() -> None:
    packed = report._packed({
        "v": 1, "revision": "r", "rows": 1, "concept": [["", "", "someday", 0.1, 0.0, 0.2, 0.1, 2.0, 10]],
    })  # fmt: skip
    with pytest.raises(ValueError, match="isoformat"):
        read_message(packed)


def test_outcomes_of_a_table_are_read_with_its_own_login() -> None:
    table = {"url": "postgres://db:5432/claims", "name": "chargebacks", "schema": "risk"}
    given = policy(outcomes={"table": table, "credentialsSecret": {"name": "claims"}, "absent": "0"})
    body = made(given)
    outcomes = told(body).evaluation.outcomes
    assert outcomes.files is None
    assert outcomes.table is not None
    assert (outcomes.table.kind, outcomes.table.name, outcomes.table.database) == ("postgres", "chargebacks", "risk")
    assert outcomes.absent == "0"
    (container,) = body["spec"]["template"]["spec"]["containers"]
    login = [each for each in container["env"] if "valueFrom" in each]
    assert [(each["name"], each["valueFrom"]["secretKeyRef"]) for each in login] == [
        (name, {"name": "claims", "key": name, "optional": True}) for name in (tables.USER, tables.PASSWORD)
    ]
    assert "outcomes-credentials" not in {each["name"] for each in body["spec"]["template"]["spec"]["volumes"]}
    (plain,) = made(policy(outcomes={"table": table}))["spec"]["template"]["spec"]["containers"]
    assert not [each for each in plain["env"] if "valueFrom" in each]
