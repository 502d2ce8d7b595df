"""SageMaker's model registry as moto has it, asked by the operator's own client and written by boto3."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import boto3
import pytest

from modelward.api.modelregistry import SageMaker
from modelward.models.references import parse
from modelward.models.resolved import Resolved
from modelward.net.guarded import open_guarded_session
from modelward.registries.client import Client
from modelward.registries.registry import Login, RegistryError
from modelward.registries.sagemaker import SageMakerRegistry
from motoserver.server import MotoServer

REGION, HOSTS = "eu-west-1", ("127.0.0.1",)
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing"}


class Packages:
    """The model package groups of a region."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._client: Any = boto3.client(
            "sagemaker", region_name=REGION, endpoint_url=url, aws_access_key_id="testing",
            aws_secret_access_key="testing",
        )  # fmt: skip

    def group(self, name: str) -> None:
        self._client.create_model_package_group(ModelPackageGroupName=name)

    def add(self, group: str, version: int, status: str) -> str:
        container = {"Image": "image", "ModelDataUrl": f"s3://models/{group}/{version}/model.tar.gz"}
        made = self._client.create_model_package(
            ModelPackageGroupName=group, ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": [container], "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
            MetadataProperties={"CommitId": f"{version}" * 40, "Repository": "https://git.example.com/fraud.git"},
            CustomerMetadataProperties={"auc": "0.9"},
        )  # fmt: skip
        return str(made["ModelPackageArn"])

    def judge(self, arn: str, status: str) -> None:
        self._client.update_model_package(ModelPackageArn=arn, ModelApprovalStatus=status)


@pytest.fixture(scope="module")
def packages(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[Packages]:
    with in_sight(), MotoServer() as server:
        yield Packages(server.url)


async def resolve(packages: Packages, reference: str) -> Resolved:
    login = Login(KEYS)
    async with open_guarded_session(HOSTS) as session:
        spec = SageMaker(REGION, packages.url)
        one = SageMakerRegistry(Client(session, HOSTS, login), spec, login, "aws", lambda: 1795971613.0)
        await one.check()
        return await one.resolve(parse(reference), None)


async def test_the_newest_approved_counts_and_an_approval_moves_it(packages: Packages) -> None:
    packages.group("fraud")
    packages.add("fraud", 1, "Approved")
    second = packages.add("fraud", 2, "PendingManualApproval")
    packages.add("fraud", 3, "Rejected")
    found = await resolve(packages, "sagemaker://fraud")
    assert (found.uri, found.version) == ("s3://models/fraud/1/model.tar.gz", "1")
    assert found.lineage["commit"] == "1" * 40
    packages.judge(second, "Approved")
    found = await resolve(packages, "sagemaker://fraud")
    assert (found.uri, found.version) == ("s3://models/fraud/2/model.tar.gz", "2")
    assert (await resolve(packages, "sagemaker://fraud/1")).version == "1"
    assert (await resolve(packages, second)).version == "2"


async def test_what_is_not_approved_or_not_there(packages: Packages) -> None:
    packages.group("empty")
    for reference, reason in (
        ("sagemaker://empty", "NoApprovedVersion"),
        ("sagemaker://nobody/1", "VersionMissing"),
        ("sagemaker://empty/4", "VersionMissing"),
    ):
        with pytest.raises(RegistryError) as found:
            await resolve(packages, reference)
        assert found.value.reason == reason, found.value
