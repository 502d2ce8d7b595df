"""SageMaker's model registry as moto has it, asked by the operator's own client and written by boto3."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import boto3
import pytest

from modelward.api.modeldeployment import SecretReference
from modelward.api.modelregistry import ModelRegistry, SageMaker, Spec, WriteBack
from modelward.models.references import parse
from modelward.models.resolved import Resolved
from modelward.models.write_back import Registered, Rejected, SetTag, Step, Written
from modelward.models.write_back import steps as steps_of
from modelward.net.guarded import open_guarded_session
from modelward.registries.client import Client
from modelward.registries.registry import Login, RegistryError
from modelward.registries.roles import NOBODY, Allowed, Identity, Lending, Roles
from modelward.registries.sagemaker import SageMakerRegistry
from modelward.registries.sigv4 import Keys
from modelward_inference import errors
from modelward_inference.fetch.sources import s3
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

    def properties(self, arn: str) -> dict[str, str]:
        found = self._client.describe_model_package(ModelPackageName=arn)
        return dict(found["CustomerMetadataProperties"])


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


ROLE = "arn:aws:iam::111122223333:role/models"


def who(packages: Packages, keys: Keys) -> str:
    """As the token service knows the keys."""
    client = boto3.client(
        "sts", region_name=REGION, endpoint_url=packages.url, aws_access_key_id=keys.identifier,
        aws_secret_access_key=keys.secret, aws_session_token=keys.token,
    )  # fmt: skip
    return str(client.get_caller_identity()["Arn"])


async def test_keys_of_a_role_by_the_secrets_keys_and_by_the_operators_token(
    packages: Packages, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("eyJ.of.the.operator")
    expected = "arn:aws:sts::111122223333:assumed-role/models/modelward-ml-sm"
    async with open_guarded_session(HOSTS) as session:
        client = Client(session, HOSTS, Login())

        async def assumed(roles: Roles, base: Keys | None, **spec: Any) -> str:
            named = ModelRegistry("ml", "sm", "uid", 1, Spec(**spec))
            return who(packages, await roles.keys(named, base, client, client))

        made = SageMaker(REGION, packages.url, ROLE, packages.url)
        by_secret = {"sage_maker": made, "credentials_secret": SecretReference("aws")}
        assert await assumed(Roles(NOBODY, time.time), Keys("testing", "testing"), **by_secret) == expected
        for role in (None, "arn:aws:iam::111122223333:role/operator"):
            lending = Lending((Allowed("ml", ROLE),), Identity(tmp_path / "token", role), packages.url)
            own = {"sage_maker": SageMaker(REGION, None, ROLE)}
            assert await assumed(Roles(lending, time.time), None, **own) == expected


def test_a_download_assumes_the_role_and_reads_with_its_keys(
    packages: Packages, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {**KEYS, "AWS_ASSUME_ROLE_ARN": ROLE, "AWS_REGION": REGION, "MODEL_NAME": "fraud"}.items():
        monkeypatch.setenv(name, value)
    for name in ("AWS_ENDPOINT_URL_STS", "AWS_ENDPOINT_URL_S3"):
        monkeypatch.setenv(name, packages.url)
    own = {"endpoint_url": packages.url, "aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    store: Any = boto3.client("s3", region_name="us-east-1", **own)
    store.create_bucket(Bucket="models")
    store.put_object(Bucket="models", Key="m", Body=b"content")
    client = s3.client()
    keys = client._request_signer._credentials.get_frozen_credentials()
    assert who(packages, Keys(keys.access_key, keys.secret_key, keys.token)).endswith(
        "assumed-role/models/modelward-fraud"
    )
    source = s3.source_of("s3://models/m")
    assert b"".join(source.open(0).chunks) == b"content"  # type: ignore[union-attr]


def test_a_role_that_can_not_be_assumed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**KEYS, "AWS_ASSUME_ROLE_ARN": ROLE, "AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(errors.ArtifactUnreachable, match="the token service does not answer"):
        s3.client()


async def write(packages: Packages, *steps: Step) -> None:
    login = Login(KEYS)
    async with open_guarded_session(HOSTS) as session:
        spec = SageMaker(REGION, packages.url)
        one = SageMakerRegistry(Client(session, HOSTS, login), spec, login, "aws", lambda: 1795971613.0)
        for step in steps:
            await one.write(step)


async def test_stages_are_properties_beside_those_that_are_there(packages: Packages) -> None:
    packages.group("told")
    first, second = (packages.add("told", version, "Approved") for version in (1, 2))
    one, two = Registered("told", "1", first), Registered("told", "2", second)
    done, wanted = Written(one), Written(two, Rejected(one, "errorRate: 5% (limit 1%)"))
    for whose in (("ml", "fraud"), ("ml", "other")):
        await write(packages, *steps_of(done, wanted, WriteBack(), whose))
    told = packages.properties(second)
    assert told == {
        "auc": "0.9", "modelward.stage/ml/fraud": "stable", "modelward.stage/ml/other": "stable",
    }  # fmt: skip
    assert packages.properties(first)["modelward.rolled_back/ml/fraud"] == "errorRate: 5 limit 1"
    # Of an approval moto forgets what an update does not name, AWS does not; tests/unit has what is sent.


async def test_a_package_that_is_gone_is_told(packages: Packages) -> None:
    packages.group("gone")
    arn = packages.add("gone", 1, "Approved").replace("gone/1", "gone/9")
    with pytest.raises(RegistryError) as found:
        await write(packages, SetTag(Registered("gone", "9", arn), "k", "v"))
    assert found.value.reason == "VersionMissing"
