"""A RetrainingRun says what the run is, in the fields of its CRD, and reads back as the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api_schema import described, fits
from libyaml import document
from modelward.api.driftpolicy import DriftPolicy, parse
from modelward.drift.verdicts import Judged
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Registration, Run
from modelward.retraining.persistence.run_object import KIND, is_over, read_run, run_manifest, run_status, target_uid

CRD = document((Path(__file__).parents[3] / "crds/retrainingruns.modelward.io.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
NOW = "2026-01-01T00:00:00Z"
NUMBERS = {
    "name": "amount", "metric": "psi", "value": "0.31", "threshold": "0.2", "cut": "0.2", "rows": 900,
    "outcome": "Drifted",
}  # fmt: skip
RUN = Run(
    "fraud-1", "p/t/Drift/then", "Job", "Drift", "amount drifts", 5000.5, "fraud-a",
    Artifact("s3://models/fraud/1/fraud.tar", "sha256:1"), 2, runs.ROLLING_OUT, None, "so it is",
    Artifact("s3://models/fraud/2/fraud.tar"), "auc 0.9, the current model 0.8", "7", "/r", None, ("amount",),
    (NUMBERS,), Judged(0.0, 3600.25, 900, "sha256:2"), "fraud", "t", "then", "u", 5001.0, 5002.0,
)  # fmt: skip


def policy() -> DriftPolicy:
    metadata = {"namespace": "ml", "name": "fraud", "uid": "p", "generation": 1}
    return parse({"metadata": metadata, "spec": {"target": {"name": "fraud"}}})


def stored(run: Run) -> dict[str, Any]:
    made = run_manifest(policy(), run)
    return {**made, "metadata": {**made["metadata"], "uid": "u"}, "status": run_status(run, (), NOW)}


ENDED = replace(RUN, phase=runs.ENDED, result=runs.PROMOTED, ended_at=6000.0)
BARE = Run("fraud-1", "k", "Webhook", "Request", "asked", 1.0, "fraud-a", Artifact("s3://a/b"), target="f", uid="u")


LINEAGE = {"name": "fraud", "metrics": {"auc": "0.93"}}
REGISTERED = replace(RUN, registration=Registration("models:/fraud/2", "http://mlflow", "2", None, "mlflow", LINEAGE))
PACKAGE = replace(RUN, registration=Registration("sagemaker://fraud/2", "eu-west-1", "2", "arn:aws:sagemaker:…/2"))


@pytest.mark.parametrize(
    "run", [RUN, ENDED, BARE, REGISTERED, PACKAGE, replace(RUN, phase=runs.RUNNING, model=None, accepted_at=None)]
)
def test_what_is_stored_is_what_is_read_and_fits_the_crd(run: Run) -> None:
    body = stored(run)
    fits(body["spec"], SCHEMA["spec"], "spec")
    fits(body["status"], SCHEMA["status"], "status")
    assert read_run(body) == run
    assert set(SCHEMA["spec"]["required"]) <= set(body["spec"])
    assert (target_uid(body), is_over(body)) == (run.target_uid, run.phase == runs.ENDED)
    assert run_status(run, body["status"]["conditions"], "later") == body["status"], "nothing to write"


HELD = replace(
    RUN, phase=runs.RUNNING, model=None, accepted_at=None, message="No node takes the pod. Add nodes",
    delay="Unschedulable", deadline=7000.5,
)  # fmt: skip


@pytest.mark.parametrize("run", [HELD, replace(HELD, stuck=True)])
def test_what_holds_a_run_up_is_in_its_conditions_with_the_time_of_its_end(run: Run) -> None:
    body = stored(run)
    fits(body["status"], SCHEMA["status"], "status")
    assert read_run(body) == run
    found = {each["type"]: each for each in body["status"]["conditions"]}
    told = "No node takes the pod. Add nodes. It is stopped at 1970-01-01T01:56:40Z"
    assert (found["Ready"]["reason"], found["Ready"]["message"]) == ("Unschedulable", told)
    # kstatus takes whichever of the two it meets first.
    expected = ("False", "True") if run.stuck else ("True", "False")
    assert (found["Reconciling"]["status"], found["Stalled"]["status"]) == expected
    assert body["status"]["deadline"].startswith("1970-01-01T01:56:40")


def test_one_without_a_status_is_about_to_start() -> None:
    body = {**stored(RUN), "status": {"observedGeneration": -1}}
    found = read_run(body)
    assert found is not None
    assert (found.phase, found.model) == (runs.STARTING, None)


@pytest.mark.parametrize("spec", [{}, {"target": "fraud"}, {"target": {"name": "fraud"}, "requestedAt": "never"}])
def test_what_is_none_of_ours_reads_as_none(spec: dict[str, Any]) -> None:
    assert read_run({**stored(RUN), "spec": spec}) is None


@pytest.mark.parametrize(
    ("phase", "result", "expected"),
    [
        (runs.STARTING, None, ("False", "True", "False")),
        (runs.RUNNING, None, ("False", "True", "False")),
        (runs.ROLLING_OUT, None, ("False", "True", "False")),
        *[
            (runs.ENDED, each, ("True", "False", "False"))
            for each in ("Promoted", "Reported", "Unchanged", "Superseded", "Cancelled")
        ],
        *[(runs.ENDED, each, ("False", "False", "True")) for each in ("Failed", "RolledBack", "Refused")],
    ],
)
def test_conditions(phase: str, result: str | None, expected: tuple[str, str, str]) -> None:
    found = {each["type"]: each for each in stored(replace(RUN, phase=phase, result=result))["status"]["conditions"]}
    assert tuple(found[kind]["status"] for kind in ("Ready", "Reconciling", "Stalled")) == expected
    assert all(each["message"] for each in found.values())


def test_names_and_reasons_of_any_length_fit_what_the_crd_takes() -> None:
    long = "x" * 100_000
    run = replace(RUN, reason=long, drifted=(long,), features=({**NUMBERS, "name": long},))
    spec, fields = run_manifest(policy(), run)["spec"], SCHEMA["spec"]["properties"]
    evidence = fields["evidence"]["properties"]
    assert len(spec["reason"]) <= fields["reason"]["maxLength"]
    assert len(spec["evidence"]["drifted"][0]) <= evidence["drifted"]["items"]["maxLength"]
    numbers = evidence["features"]["items"]["properties"]
    assert len(spec["evidence"]["features"][0]["name"]) <= numbers["name"]["maxLength"]


def test_every_field_is_described() -> None:
    described(SCHEMA["spec"], "spec")
    described(SCHEMA["status"], "status")


def test_names_of_the_resource() -> None:
    assert (CRD["spec"]["names"]["kind"], CRD["spec"]["names"]["shortNames"]) == (KIND, ["rr"])
    columns = CRD["spec"]["versions"][0]["additionalPrinterColumns"]
    shown = [each["name"] for each in columns if not each.get("priority")]
    assert shown == ["Target", "Phase", "Reason", "Model", "Age"]
