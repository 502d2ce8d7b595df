"""A batch's output as the log that quality is made of: which rows, with whose keys, and why there may be none."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from builders import owner
from modelward.api.batchinference import BatchInference
from modelward.api.driftpolicy import DriftPolicy
from modelward.api.modeldeployment import ModelDeployment, PredictionLog
from modelward.api.quality import Predictions, parse_quality
from modelward.kube.cache import Cache
from modelward.kube.resources import BATCH_INFERENCES
from modelward.quality.batch_log import BatchLog, batch_log
from modelward.quality.job_manifest import job, job_name
from modelward.quality.kept import NO_OUTCOMES, succeeded
from modelward.quality.measured import Kept, Problem, cohort_of
from modelward.reconcilers.driftpolicy.aspects import PARITY, QUALITY
from modelward.reconcilers.driftpolicy.evaluations import Evaluations
from modelward.reconcilers.evaluation_jobs import ASK_AGAIN
from modelward_evaluate.job import main, read
from unit.batches.batches import SPEC, batch
from unit.evaluate.lakes import START
from unit.evaluate.test_batches import NIGHT, Scored, became, scored
from unit.quality.test_job_manifest import PLATFORM, SLOT, TASK, about, policy, told

MODEL: ModelDeployment = owner("churn")
ASKED: dict[str, Any] = {"predictions": {"batchInference": "nightly"}, "outcomes": {"uri": "s3://lake/churned"}}


def log_of(given: BatchInference, **asked: Any) -> BatchLog:
    found = batch_log(Predictions("nightly", **asked), given, MODEL)
    assert isinstance(found, BatchLog), found
    return found


def made(given: DriftPolicy, log: PredictionLog, model: ModelDeployment = MODEL) -> Any:
    return job(given, model, log, PLATFORM, "p-1-quality", "churn-1", cohort_of(given.spec, SLOT, 0.99))


def test_the_runs_of_the_batch_are_read_where_it_writes_with_what_it_writes_by() -> None:
    given = batch(credentialsSecret={"name": "lake"}, serviceAccountName="nights")
    body = made(policy(**ASKED), log_of(given), owner("churn", service_account_name="serving"))
    spec = told(body).evaluation
    assert (spec.predictions.path, spec.predictions.credentials) == (
        "s3://lake/scored", "/etc/modelward/log-credentials",
    )  # fmt: skip
    assert spec.predictions.batch is not None
    assert (spec.predictions.batch.key, spec.predictions.batch.of) == ("customer", "nightly")
    assert spec.outcomes.credentials == "/etc/modelward/log-credentials"
    pod = body["spec"]["template"]["spec"]
    assert pod["serviceAccountName"] == "nights"
    assert [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each] == ["lake"]


def test_a_claim_is_mounted_to_be_read() -> None:
    body = made(policy(**ASKED), log_of(batch(output={"uri": "pvc://nights/churn/scored/"})))
    assert told(body).evaluation.predictions.path == "/mnt/prediction-log/churn/scored"
    claims = [
        each["persistentVolumeClaim"] for each in body["spec"]["template"]["spec"]["volumes"]
        if "persistentVolumeClaim" in each
    ]  # fmt: skip
    assert claims == [{"claimName": "nights", "readOnly": True}]


@pytest.mark.parametrize(
    ("given", "key", "words"),
    [
        (None, None, "There is no BatchInference nightly in this namespace"),
        (replace(batch(), deleting=True), None, "There is no BatchInference nightly in this namespace"),
        (
            batch(model={"modelDeployment": "fraud"}),
            None,
            "scores with the ModelDeployment fraud: its rows say nothing",
        ),
        (
            batch(model={"uri": "s3://m/a.onnx"}),
            None,
            "scores with an artifact of its own: its rows say nothing of churn",
        ),
        (batch(keys=["shop", "day"]), None, "has several keys (shop, day): write into spec.quality.predictions.key"),
        (batch(), "shop", "shop is no key of BatchInference nightly: write one of customer into"),
    ],
)
def test_why_there_is_none(given: BatchInference | None, key: str | None, words: str) -> None:
    found = batch_log(Predictions("nightly", key), given, MODEL)
    assert isinstance(found, Problem)
    assert found.reason == "NoBatch"
    assert words in found.message


def test_of_several_keys_the_one_that_is_named_counts() -> None:
    assert log_of(batch(keys=["shop", "day"]), key="day").key == "day"


@pytest.mark.parametrize("more", [{"outcomes": {"absent": "0"}}, {"concept": {}}])
def test_what_the_api_server_refuses_is_refused_here_too(more: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"spec.quality.predictions: write a uri or a table of outcomes, and leave"):
        parse_quality({"task": TASK, **ASKED, **more})


def body_of(version: int, **spec: Any) -> dict[str, Any]:
    metadata = {"namespace": "ml", "name": "nightly", "uid": "b", "resourceVersion": str(version), "generation": 1}
    return {
        "kind": "BatchInference", "metadata": {**metadata, "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": SPEC | spec,
    }  # fmt: skip


async def test_a_policy_that_has_no_batch_waits_for_one_and_says_so() -> None:
    """Nobody is asked for a Job meanwhile, and the model needs no prediction log."""
    cache = Cache()
    evaluations = Evaluations(QUALITY, None, cache, PLATFORM, lambda: START)  # type: ignore[arg-type]
    model = {"metadata": {"namespace": "ml", "name": "churn", "uid": "m", "generation": 1},
             "spec": {"model": {"uri": "s3://m/a.onnx"}}}  # fmt: skip
    kept, again = await evaluations.step(policy(**ASKED), model, "churn-1", None, {})
    assert kept is not None
    assert kept.problem is not None
    assert (kept.problem.reason, again) == ("NoBatch", ASK_AGAIN)
    cache.upsert(BATCH_INFERENCES, body_of(1, model="broken"))
    kept, _ = await evaluations.step(policy(**ASKED), model, "churn-1", None, {})
    assert kept is not None
    assert kept.problem is not None
    assert kept.problem.message.startswith("BatchInference nightly can't be read: ")
    cache.upsert(BATCH_INFERENCES, body_of(2))
    found = QUALITY.log(policy(**ASKED), MODEL, cache)
    assert isinstance(found, BatchLog)
    own = PARITY.log(policy(**ASKED), MODEL, cache)
    assert isinstance(own, Problem), "features are those of requests"
    assert own.reason == "NoPredictionLog"


def test_a_policy_without_a_batch_has_the_job_that_it_had() -> None:
    """An upgrade of the operator evaluates nothing once more."""
    log, given = PredictionLog("s3://lake/p"), policy()
    assert given.spec.quality is not None
    before = asdict(given.spec.quality)
    assert before.pop("predictions") is None
    wanted = [before, given.spec.false_alarms.max_per30_days, log.uri, None]
    assert QUALITY.name(given, MODEL, log, SLOT) == job_name(given, MODEL, SLOT, wanted)
    assert cohort_of(given.spec, SLOT, 0.99).basis != cohort_of(policy(**ASKED).spec, SLOT, 0.99).basis


def said(tmp_path: Path, given: DriftPolicy, outcomes: list[dict[str, Any]]) -> str:
    """By the real evaluator, of a night with forty rows: of a spec as the operator writes it, but for its places."""
    lake = Scored(tmp_path)
    lake.ran(NIGHT.replace("churn", "nightly"), [scored(each, customer=each, revision="churn-1") for each in range(40)])
    lake.tell(outcomes)
    asked = json.loads(json.dumps(told(made(given, log_of(batch()))).model_dump(mode="json", exclude_none=True)))
    asked["evaluation"]["predictions"]["path"] = str(lake.output)
    asked["evaluation"]["outcomes"]["path"] = str(lake.outcomes)
    read(json.dumps(asked))
    assert main({"MODELWARD_EVALUATION": json.dumps(asked)}, tmp_path / "message") == 0
    return (tmp_path / "message").read_text()


def test_what_a_night_was_worth_is_told_and_remembered_as_of_requests(tmp_path: Path) -> None:
    given = policy(metrics=[{"name": "accuracy", "min": "0.9"}], minSamples=30, days=30, **ASKED)
    message = said(tmp_path, given, [became(each, each % 2) for each in range(40)])
    kept = succeeded(Kept(), given.spec, "job", about(given), message, SLOT + 60)
    assert kept.measured is not None
    value = kept.measured.values["accuracy"]
    assert (value.value, value.rows, kept.measured.coverage) == (0.5, 40, 1.0)
    assert value.low is not None
    assert value.high is not None
    assert value.low < 0.5 < value.high < 0.9
    assert kept.first is not None
    assert kept.of_now("churn-1", given.spec) is not None
    assert kept.of_now("churn-1", policy(minSamples=30, days=30, outcomes=ASKED["outcomes"]).spec) is None, (
        "of a prediction log it is another value"
    )


def test_where_no_outcome_came_the_keys_are_to_be_looked_at(tmp_path: Path) -> None:
    given = policy(days=30, **ASKED)
    message = said(tmp_path, given, [became("nobody")])
    kept = succeeded(Kept(), given.spec, "job", about(given), message, SLOT)
    assert kept.problem is not None
    assert kept.problem.reason == NO_OUTCOMES
    assert "written there with the batch's key" in kept.problem.message
