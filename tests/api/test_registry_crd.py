"""ModelRegistries that the real API server must refuse with the right sentence, and those that it must take."""

from typing import Any

import pytest

from nodeless.cluster import Cluster
from nodeless.specs import check_refused, check_taken

Object = dict[str, Any]
KEYS = {"credentialsSecret": {"name": "aws"}}


def mlflow(url: str = "http://mlflow.ml.svc:5000", **fields: Any) -> Object:
    return {"mlflow": {"url": url}, **fields}


def sage_maker(region: str = "eu-west-1", **fields: Any) -> Object:
    return {"sageMaker": {"region": region, **fields}, **KEYS}


ROLE = "arn:aws:iam::123456789012:role/models"


def as_the_operator(**fields: Any) -> Object:
    return {"sageMaker": {"region": "eu-west-1", "roleArn": ROLE, **fields}}


BAD: dict[str, tuple[Object, str]] = {
    "neither": ({}, "write one of mlflow and sageMaker"),
    "both": ({**mlflow(), **sage_maker()}, "write one of mlflow and sageMaker"),
    "no address": ({"mlflow": {}}, "spec.mlflow.url: Required value"),
    "another scheme": (mlflow("ftp://mlflow"), "write a scheme and a host"),
    "no scheme": (mlflow("mlflow.ml.svc:5000"), "write a scheme and a host"),
    "a login in the address": (mlflow("https://ann:secret@mlflow"), "logins belong into spec.credentialsSecret"),
    "a query": (mlflow("https://mlflow/?a=b"), "write a scheme and a host"),
    "a page of the user interface": (mlflow("https://mlflow/#/models"), "write a scheme and a host"),
    "a line break": (mlflow("https://mlflow\nX: y"), "write a scheme and a host"),
    "the address of the API": (mlflow("https://mlflow/api/2.0/mlflow"), "write the server's address without /api"),
    "a workspace with a line break": (
        {"mlflow": {"url": "http://mlflow", "workspace": "a\nb"}}, "spec.mlflow.workspace: write its name",
    ),
    "SageMaker without a key": ({"sageMaker": {"region": "eu-west-1"}}, "SageMaker answers only with a key"),
    "a role that is none": (sage_maker(roleArn="models"), "spec.sageMaker.roleArn: write the ARN of a role"),
    "a pattern of roles": (sage_maker(roleArn="arn:aws:iam::123456789012:role/*"), "write the ARN of a role"),
    "a role of no account": (sage_maker(roleArn="arn:aws:iam::*:role/models"), "write the ARN of a role"),
    "a token service without a role": (sage_maker(stsEndpointUrl="https://sts.example.com"), "name one in roleArn"),
    "a token service with a path": (
        sage_maker(roleArn=ROLE, stsEndpointUrl="https://sts/x"), "stsEndpointUrl: write a scheme and a host",
    ),
    "the operator's identity elsewhere": (as_the_operator(endpointUrl="https://evil"), "AWS' own addresses alone"),
    "the operator's token elsewhere": (as_the_operator(stsEndpointUrl="https://evil"), "AWS' own addresses alone"),
    "the operator's token to whom the author trusts": (
        {**as_the_operator(), "caBundle": {"name": "mine"}}, "AWS' own addresses alone",
    ),
    "a region that is none": (sage_maker("Ireland"), "write a region of AWS"),
    "an endpoint with a path": (sage_maker(endpointUrl="https://x/y"), "spec.sageMaker.endpointUrl: write a scheme"),
    "a Secret without a name": (mlflow(credentialsSecret={}), "credentialsSecret.name: Required value"),
    "aliases of SageMaker": (
        {**sage_maker(), "writeBack": {"aliases": ["champion"]}}, "SageMaker has no aliases",
    ),
    "an alias with a blank": (mlflow(writeBack={"aliases": ["the best"]}), "spec.writeBack.aliases: write letters"),
    "an alias of MLflow's own": (mlflow(writeBack={"aliases": ["Latest"]}), "are MLflow's own"),
    "an alias that is a version": (mlflow(writeBack={"aliases": ["v12"]}), "are MLflow's own"),
    "a cluster with a slash": (mlflow(writeBack={"cluster": "prod/eu"}), "spec.writeBack.cluster: write lower-case"),
    "too often": (mlflow(pollInterval="1s"), "write a time from 5s to 24h"),
    "too seldom": (mlflow(pollInterval="25h"), "write a time from 5s to 24h"),
    "no time": (mlflow(pollInterval="often"), "write a time from 5s to 24h"),
}  # fmt: skip

GOOD: dict[str, Object] = {
    "the least": mlflow(),
    "a prefix and a slash": mlflow("https://ml.example.com/mlflow/"),
    "everything": mlflow(pollInterval="5m", caBundle={"name": "ca"}, credentialsSecret={"name": "login"}),
    "tags": mlflow(writeBack={}),
    "tags and aliases of one cluster": mlflow(writeBack={"aliases": ["champion", "v1-best"], "cluster": "prod-eu"}),
    "aliases alone": mlflow(writeBack={"tags": False, "aliases": ["champion"]}),
    "properties of SageMaker": {**sage_maker(), "writeBack": {"tags": True}},
    "a region": sage_maker(),
    "a role": sage_maker(roleArn=ROLE, stsEndpointUrl="https://vpce-1.sts.eu-west-1.vpce.amazonaws.com"),
    "a role of China, below a path": sage_maker("cn-north-1", roleArn="arn:aws-cn:iam::123456789012:role/a/b"),
    "a role as the operator": as_the_operator(),
    "a region of the government": sage_maker("us-gov-west-1"),
    "an endpoint": sage_maker(endpointUrl="https://vpce-1.sagemaker.eu-west-1.vpce.amazonaws.com"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_registry_is_refused_with_the_right_sentence(cluster: Cluster, case: str) -> None:
    check_refused(cluster, BAD[case], "ModelRegistry")


@pytest.mark.parametrize("case", GOOD)
def test_a_good_registry_is_taken(cluster: Cluster, case: str) -> None:
    check_taken(cluster, GOOD[case], "ModelRegistry")


def test_the_interval_has_a_default(cluster: Cluster, namespace: str) -> None:
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelRegistry",
        "metadata": {"name": "mlflow", "namespace": namespace}, "spec": mlflow(),
    }  # fmt: skip
    assert cluster.create(body, namespace)[0]
    stored = cluster.get("mreg", "mlflow", "-n", namespace)
    assert stored["spec"]["pollInterval"] == "60s"
    assert stored["status"] == {"observedGeneration": -1}
