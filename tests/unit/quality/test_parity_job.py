"""Feature parity as a Job: what it is told is what the evaluator reads, and what it says is what the operator reads."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from builders import owner
from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.api.modeldeployment import Monitor, PredictionLog, SecretReference
from modelward.platform import Platform
from modelward.quality.job_manifest import read_about
from modelward.quality.measured import DAY
from modelward.quality.parity_found import (
    NOTHING_COMPARED,
    ParityKept,
    StoredParity,
    parity_succeeded,
    read_parity,
    show_parity,
)
from modelward.quality.parity_job import parity_basis, parity_chance, parity_job, parity_job_name, read_parity_about
from modelward.values.stored import known
from modelward_evaluate import parity_job as evaluator
from modelward_evaluate import tables
from modelward_evaluate.job import main, read
from modelward_evaluate.report import pack
from unit.evaluate.lakes import START, Lake, prediction

PLATFORM = Platform("inference:1", "envoy:1", evaluate_image="evaluate:1")
LOG = PredictionLog("s3://lake/predictions", SecretReference("lake"))
FILES = {"uri": "s3://lake/features", "key": "user", "time": "since"}
SLOT = START.timestamp() + 2 * DAY


def policy(features: dict[str, Any] | None = None, **parity: Any) -> DriftPolicy:
    spec = {"target": {"name": "fraud"}, "parity": {"features": features or FILES, "delay": "0s", **parity}}
    return parse({"metadata": {"namespace": "ml", "name": "p", "uid": "u", "generation": 1}, "spec": spec})


def made(given: DriftPolicy, log: PredictionLog = LOG) -> Any:
    model = owner(monitor=Monitor(), prediction_log=log)
    return parity_job(given, model, log, PLATFORM, "p-1-parity", "fraud-1", SLOT, SLOT + DAY)


def environment(body: Any) -> dict[str, str]:
    (container,) = body["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each["value"].replace("$$", "$") for each in container["env"] if "value" in each}


@pytest.mark.parametrize(
    "given",
    [
        policy(),
        policy({**FILES, "maxAge": "7d"}, columns=[{"logged": "input.x", "feature": "$(HOME)"}], tolerance="0.1"),
        policy({"table": {"url": "postgres://db/f", "name": "f", "schema": "s"}}, days=7, examples=3, memory="4Gi"),
        policy({"uri": "pvc://offline/a"}, every="6h", key="input.user"),
    ],
)
def test_whatever_spec_asks_for_the_evaluator_reads(given: DriftPolicy) -> None:
    job = read(environment(made(given))["MODELWARD_EVALUATION"])
    asked = given.spec.parity
    assert isinstance(job, evaluator.ParityJob)
    assert asked is not None
    assert job.revision == "fraud-1"
    assert job.parity.end is not None
    assert job.parity.begin is not None
    assert (job.parity.end.timestamp(), (job.parity.end - job.parity.begin).days) == (SLOT, asked.days)
    assert dict(job.parity.columns) == {each.logged: each.feature for each in asked.columns}
    assert (job.parity.key, job.parity.features.key, job.parity.features.time) == (
        asked.key, asked.features.key, asked.features.time,
    )  # fmt: skip
    assert job.parity.chance == parity_chance(given.spec, DAY)


def test_the_log_of_the_revision_is_read_until_the_pipeline_may_still_be_late() -> None:
    job = read(environment(made(policy(delay="2h")))["MODELWARD_EVALUATION"])
    assert isinstance(job, evaluator.ParityJob)
    assert job.parity.predictions.path == "s3://lake/predictions/v1/namespace=ml/model=fraud/revision=fraud-1"
    assert job.parity.end is not None
    assert job.parity.end.timestamp() == SLOT - 7200


def test_credentials_are_those_of_features_or_of_the_log_and_a_claim_is_read_only() -> None:
    def mounts(given: DriftPolicy) -> dict[str, Any]:
        spec = made(given)["spec"]["template"]["spec"]
        assert spec["automountServiceAccountToken"] is False
        return {each["name"]: each for each in spec["volumes"]}

    own = mounts(policy({**FILES, "credentialsSecret": {"name": "store"}}))
    assert own["features-credentials"]["secret"]["secretName"] == "store"
    job = read(environment(made(policy()))["MODELWARD_EVALUATION"])
    assert isinstance(job, evaluator.ParityJob)
    assert job.parity.features.credentials == job.parity.predictions.credentials
    claim = mounts(policy({"uri": "pvc://offline/a"}))["features"]
    assert claim["persistentVolumeClaim"] == {"claimName": "offline", "readOnly": True}
    table = {"table": {"url": "postgres://db/f", "name": "f"}, "credentialsSecret": {"name": "login"}}
    (container,) = made(policy(table))["spec"]["template"]["spec"]["containers"]
    login = [each["valueFrom"]["secretKeyRef"] for each in container["env"] if "valueFrom" in each]
    assert login == [
        {"name": "login", "key": name, "optional": True} for name in (tables.FEATURES.user, tables.FEATURES.password)
    ]  # fmt: skip


def test_a_job_is_of_one_time_and_wish_and_never_taken_for_one_of_quality() -> None:
    model, given = owner(monitor=Monitor(), prediction_log=LOG), policy()
    body = made(given)
    assert read_about(body) is None
    about = read_parity_about(body)
    assert about is not None
    assert (about.target, about.slot, about.asked) == (model.uid, SLOT, parity_basis(given.spec))
    names = {parity_job_name(given, model, slot, wish) for slot in (SLOT, SLOT + 1) for wish in ("a", "b")}
    assert len(names) == 4


def test_the_chance_of_a_false_alarm_is_spent_over_thirty_days() -> None:
    given = policy().spec
    assert parity_chance(given, DAY) * 30 == pytest.approx(parity_chance(given, 30 * DAY))
    assert parity_chance(given, 90 * DAY) == parity_chance(given, 30 * DAY)


class Compared:
    """A check of `users` customers with `each` rows, of which `wrong` have another x than the pipeline says."""

    def __init__(self, tmp_path: Path, users: int, each: int, wrong: int, **parity: Any) -> None:
        lake = Lake(tmp_path)
        rows = [
            prediction(
                user * each + number, key=f"u{user}", time=START + timedelta(hours=30 + number),
                **{"input.x": float(user + (user < wrong)), "input.y": 1.0},
            )
            for user in range(users) for number in range(each)
        ]  # fmt: skip
        lake.predict(rows, "fraud-1")
        offline = tmp_path / "offline"
        offline.mkdir()
        parquet.write_table(
            pa.table({"user": [f"u{each}" for each in range(users)], "since": [START] * users,
                      "x": [float(each) for each in range(users)], "y": [1.0] * users}), offline / "f.parquet",
        )  # fmt: skip
        self.given = policy({**FILES, "uri": "pvc://offline"}, **parity)
        body = made(self.given)
        asked = json.loads(environment(body)["MODELWARD_EVALUATION"])
        asked["parity"]["predictions"] = {"path": str(lake.log / "v1/namespace=ml/model=fraud/revision=fraud-1")}
        asked["parity"]["features"]["path"] = str(offline)
        assert main({"MODELWARD_EVALUATION": json.dumps(asked)}, tmp_path / "message") == 0
        self.message = (tmp_path / "message").read_text()
        about = read_parity_about(body)
        assert about is not None
        self.about = about


def test_a_column_that_is_wrong_is_told_with_its_share_and_without_values(tmp_path: Path) -> None:
    check = Compared(tmp_path, users=400, each=2, wrong=100)
    found = read_parity(check.message)
    assert (found.rows, found.checked, found.unequal) == (800, 2, 1)
    (wrong,) = found.wrong
    assert (wrong.column, wrong.feature, wrong.unequal, wrong.rows, wrong.share) == ("input.x", "x", 200, 800, 0.25)
    assert 0.1 < wrong.low < 0.25 < wrong.high < 0.45
    assert wrong.since == "2026-03-02"
    assert found.examples == ()


def test_examples_are_told_where_they_are_asked_for(tmp_path: Path) -> None:
    found = read_parity(Compared(tmp_path, users=400, each=1, wrong=200, examples=2).message)
    assert len(found.examples) == 2
    assert {float(each.logged) - float(each.feature) for each in found.examples} == {1.0}


def test_many_rows_of_few_customers_are_no_evidence(tmp_path: Path) -> None:
    """Two of thirty customers, a hundred rows each: 7 % of the rows, which as rows would be sure."""
    found = read_parity(Compared(tmp_path, users=30, each=100, wrong=2).message)
    (x,) = [each for each in found.columns if each.column == "input.x"]
    assert x.share == pytest.approx(2 / 30)
    assert (found.unequal, x.is_wrong) == (0, False)


def test_what_is_kept_is_read_again_and_since_goes_back_while_it_lasts(tmp_path: Path) -> None:
    check = Compared(tmp_path, users=400, each=1, wrong=200)
    kept = parity_succeeded(ParityKept(), "j", check.about, check.message, SLOT)
    assert dict(kept.since) == {"input.x": "2026-03-02"}
    assert known(StoredParity, show_parity(kept)).value() == kept
    earlier = replace(kept, since={"input.x": "2026-02-11", "input.y": "2026-02-01"})
    again = parity_succeeded(earlier, "k", check.about, check.message, SLOT)
    assert dict(again.since) == {"input.x": "2026-02-11"}
    other = parity_succeeded(replace(earlier, basis="another wish"), "k", check.about, check.message, SLOT)
    assert dict(other.since) == {"input.x": "2026-03-02"}


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"nothing": "features"}, "no file of features"),
        ({"nothing": "predictions"}, "No prediction of fraud-1 was logged"),
        ({"counts": {"predictions": 5, "withoutKey": 5}}, "None of 5 predictions"),
        ({"counts": {"predictions": 5, "withoutKey": 1}}, "No features are known for any of 5 predictions"),
    ],
)
def test_where_nothing_was_compared_the_cause_and_its_cure_are_told(told: dict[str, Any], words: str) -> None:
    about = read_parity_about(made(policy()))
    assert about is not None
    message = pack({"v": 1, "revision": "fraud-1", "rows": 0, **told})
    problem = parity_succeeded(ParityKept(), "j", about, message, SLOT).problem
    assert problem is not None
    assert (problem.reason, words in problem.message) == (NOTHING_COMPARED, True)


@pytest.mark.parametrize(
    "message",
    [
        "nonsense", pack({"v": 1}), pack({"v": 9, "revision": "r", "rows": 1}),
        pack({"v": 1, "revision": "r", "rows": 1, "checked": 1 << 31}),
    ],
)  # fmt: skip
def test_what_is_no_message_is_a_failure_and_loses_nothing(message: str, tmp_path: Path) -> None:
    check = Compared(tmp_path, users=40, each=1, wrong=20)
    kept = parity_succeeded(ParityKept(), "j", check.about, check.message, SLOT)
    after = parity_succeeded(kept, "k", check.about, message, SLOT + DAY)
    assert after.problem is not None
    assert "Install operator and evaluator of the same version" in after.problem.message
    assert (after.found, after.done) == (kept.found, "k")
    with pytest.raises(ValueError, match=r"."):
        read_parity(message)


def test_a_message_holds_as_many_columns_as_it_can_and_names_the_worst_first() -> None:
    share = {"value": 0.5, "low": 0.4, "high": 0.6, "rows": 1000}
    columns = [
        {"column": f"input.{'long' * 20}{number}", "feature": "f" * 80, "share": share, "unequal": 5,
         "loggedMissing": 0, "featureMissing": 1, "since": "2026-03-02", "examples": []}
        for number in range(500)
    ]  # fmt: skip
    counts = {"predictions": 1, "compared": 1000}
    found = {"counts": counts, "columns": columns, "unequal": [columns[7]["column"]]}
    job = read(environment(made(policy()))["MODELWARD_EVALUATION"])
    assert isinstance(job, evaluator.ParityJob)
    message = pack(evaluator.told(found, job))
    assert len(message) <= 4000
    assert read_parity(message).columns[0].is_wrong
