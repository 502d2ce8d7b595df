"""A run that reports a version of a registry: what it waits for, and what is made of the answer."""

from dataclasses import replace

import pytest

from modelward.api.modeldeployment import Model
from modelward.api.modelregistry import Mlflow, ModelRegistry, SageMaker, Spec
from modelward.models.following import Said, Trouble
from modelward.models.resolved import Resolved
from modelward.models.write_back import Registered
from modelward.models.write_back import registered as registered_version
from modelward.retraining.effective import Accepted
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.registered import WAITING, registered
from modelward.retraining.lifecycle.run import Artifact, Outcome, Registration, Report

REFERENCE = "models:/fraud/7"
ASKED = Model("models:/fraud@champion")
MLFLOW = ModelRegistry("ml", "mlflow", "u", 1, Spec(mlflow=Mlflow("http://mlflow")))
OTHER = replace(MLFLOW, name="other", uid="o")
AWS = ModelRegistry("ml", "aws", "a", 1, Spec(sage_maker=SageMaker("eu-west-1")))
FOUND = Resolved("mlflow-artifacts:/1/models/m-7/artifacts", "7", digest=None)
GOOD = Said("http://mlflow", FOUND)


def brought(uri: str = REFERENCE, **report: str) -> Outcome:
    return Outcome(runs.SUCCEEDED, report=Report(Artifact(uri, report.get("digest")), report.get("version")))


def after(
    outcome: Outcome | None,
    asked: Model = ASKED,
    registries: tuple[ModelRegistry, ...] = (MLFLOW, AWS),
    said: Said | None = GOOD,
) -> Outcome | None:
    return registered(outcome, asked, registries, lambda registry, _: said if registry is MLFLOW else None)


def test_the_model_is_what_the_registry_says_and_the_reference_is_kept() -> None:
    found = after(brought())
    expected = Report(Artifact(FOUND.uri), "7", None, Registration(REFERENCE, "http://mlflow", "7", None, "mlflow"))
    assert found == Outcome(runs.SUCCEEDED, report=expected)
    digest = "sha256:" + "0" * 64
    told = after(brought(digest=digest, version="of its own"))
    assert told is not None
    assert told.report is not None
    assert (told.report.model.digest, told.report.version) == (digest, "of its own")


def test_a_package_is_kept_by_its_name_so_that_its_promotion_can_be_told() -> None:
    """The reference has no account in it, and the registry is told by ARN."""
    arn = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/fraud/7"
    found = Said("eu-west-1", Resolved("s3://m/7/model.tar.gz", "7", lineage={"modelId": arn}))
    told = registered(brought("sagemaker://fraud/7"), Model("sagemaker://fraud"), (AWS,), lambda *_: found)
    assert told is not None
    assert told.report is not None
    by = Accepted("run", told.report.model, Artifact("sagemaker://fraud"), 1.0, told.report.registration)
    resolution = by.resolution(AWS)
    assert resolution is not None
    assert registered_version(resolution) == Registered("fraud", "7", arn)


def test_where_the_version_came_from_is_kept_with_it() -> None:
    lineage = {"name": "fraud", "runId": "cd8c", "dataSets": [{"name": "train", "digest": "81835f75"}]}
    told = after(brought(), said=Said("http://mlflow", replace(FOUND, lineage=lineage)))
    assert told is not None
    assert told.report is not None
    by = Accepted("run", told.report.model, Artifact(ASKED.uri), 1.0, told.report.registration)
    resolution = by.resolution(MLFLOW)
    assert resolution is not None
    assert resolution.resolved.lineage == lineage


@pytest.mark.parametrize(
    ("registries", "said", "reason", "words"),
    [
        ((MLFLOW,), None, WAITING, "Waiting for ModelRegistry mlflow to say what models:/fraud/7 is"),
        ((MLFLOW,), Said("", None, Trouble("Unreachable", "it is down")), "Unreachable", "it is down"),
        ((MLFLOW,), Said("", None, Trouble("VersionMissing", "no version 7", True)), "VersionMissing", "no version 7"),
        ((AWS,), GOOD, "RegistryMissing", "The run brought models:/fraud/7"),
        ((MLFLOW, OTHER), GOOD, "RegistryAmbiguous", "several ModelRegistries"),
    ],
)
def test_until_the_registry_says_what_it_is_the_run_goes_on_and_says_why(
    registries: tuple[ModelRegistry, ...], said: Said | None, reason: str, words: str
) -> None:
    found = after(brought(), registries=registries, said=said)
    assert found is not None
    assert (found.state, found.delay, found.report) == (runs.WAITS, reason, None)
    assert words in found.message


def test_the_registry_that_spec_names_is_asked_and_no_other() -> None:
    found = after(brought(), replace(ASKED, registry="mlflow"), (MLFLOW, OTHER))
    assert found is not None
    assert found.state == runs.SUCCEEDED
    assert after(brought(), replace(ASKED, registry="other"), (MLFLOW, OTHER)) != found


@pytest.mark.parametrize(
    "outcome",
    [None, Outcome(runs.WORKING), Outcome(runs.BROKE, "x"), brought("s3://m/7"), brought("models:/fraud@champion"),
     brought("sagemaker://fraud")],
)  # fmt: skip
def test_what_is_no_version_of_spec_s_registry_stays_what_it_is(outcome: Outcome | None) -> None:
    assert after(outcome) is outcome


def test_a_model_that_is_an_address_takes_no_reference() -> None:
    outcome = brought()
    assert after(outcome, Model("s3://m/6")) is outcome
    assert after(outcome, Model("sagemaker://fraud")) is outcome
