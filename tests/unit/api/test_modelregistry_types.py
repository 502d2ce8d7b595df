"""The CRD of ModelRegistry and the Python types say the same."""

from pathlib import Path

import pytest

from api_schema import check, described
from libyaml import document
from modelward.api import modelregistry
from modelward.api.invalid import InvalidObjectError
from modelward.api.modelregistry import MLFLOW, SAGE_MAKER, Spec, parse

CRD = document((Path(__file__).parents[3] / "crds/modelregistries.modelward.io.yaml").read_text())
SCHEMA = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]
ABOUT = {"namespace": "ml", "name": "mlflow", "uid": "u", "generation": 3}


def test_spec_and_types_agree() -> None:
    assert check(SCHEMA["spec"], Spec, "spec") >= 11


def test_every_field_is_described() -> None:
    described(SCHEMA["spec"], "spec")
    described(SCHEMA["status"], "status")


def test_names_of_the_resource() -> None:
    assert CRD["spec"]["names"]["kind"] == modelregistry.KIND
    assert CRD["spec"]["names"]["shortNames"] == ["mreg"]


def test_two_registries_are_told_apart_by_what_they_hold() -> None:
    one = parse({"metadata": ABOUT, "spec": {"mlflow": {"url": "http://mlflow:5000/"}}})
    other = parse({"metadata": ABOUT, "spec": {"mlflow": {"url": "http://mlflow:5000", "workspace": "risk"}}})
    region = parse({"metadata": ABOUT, "spec": {"sageMaker": {"region": "eu-west-1"}}})
    assert (one.address, one.serves) == ("http://mlflow:5000", MLFLOW)
    assert other.address != one.address
    assert (region.address, region.serves) == ("eu-west-1", SAGE_MAKER)


@pytest.mark.parametrize("spec", [{}, {"mlflow": {"url": "http://a"}, "sageMaker": {"region": "eu-west-1"}}])
def test_an_object_of_another_version_is_refused_with_a_cure(spec: dict[str, object]) -> None:
    with pytest.raises(InvalidObjectError, match="install the CRD and the operator of the same version"):
        parse({"metadata": ABOUT, "spec": spec})
