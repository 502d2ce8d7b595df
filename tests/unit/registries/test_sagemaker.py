"""SageMaker's model registry, by a server that answers as moto and AWS were recorded to."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelward.api.modelregistry import SageMaker
from modelward.models.references import parse
from modelward.models.resolved import Resolved
from modelward.models.write_back import REPLACED, Registered, SetAlias, SetTag
from modelward.net.guarded import open_guarded_session
from modelward.registries.client import Client
from modelward.registries.registry import Login, RegistryError
from modelward.registries.sagemaker import SageMakerRegistry

HERE = ("127.0.0.1",)
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/fraud/{}"
GROUP = "arn:aws:sagemaker:eu-west-1:123456789012:model-package-group/fraud"
CONTAINER = {"Framework": "SKLEARN", "FrameworkVersion": "1.9"}
STORED = "s3://models/fraud/{}/model.tar.gz"
KEYS = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s3cret"}
Handler = Callable[[str, Mapping[str, Any]], tuple[int, Any]]


@asynccontextmanager
async def registry(handler: Handler, secret: dict[str, str] = KEYS) -> AsyncIterator[SageMakerRegistry]:
    async def answer(request: web.Request) -> web.Response:
        assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
        action = request.headers["X-Amz-Target"].removeprefix("SageMaker.")
        status, told = handler(action, json.loads(await request.read()))
        return web.json_response(told, status=status)

    app = web.Application()
    app.router.add_post("/", answer)
    login = Login(secret)
    async with TestServer(app, host="127.0.0.1") as server, open_guarded_session(HERE) as session:
        spec = SageMaker("eu-west-1", str(server.make_url("")).rstrip("/"))
        yield SageMakerRegistry(Client(session, HERE, login), spec, login, "aws", lambda: 1795971613.0)


def package(version: int, status: str = "Approved", **more: Any) -> dict[str, Any]:
    return {
        "ModelPackageGroupName": "fraud", "ModelPackageVersion": version, "ModelPackageArn": ARN.format(version),
        "ModelApprovalStatus": status, "CreationTime": 1795971613.5,
        "InferenceSpecification": {"Containers": [CONTAINER | {"ModelDataUrl": STORED.format(version)}]},
        **more,
    }  # fmt: skip


def holding(*packages: Mapping[str, Any]) -> Handler:
    """Pages of one package each, the newest first; those that the filter takes out leave empty pages."""

    def handle(action: str, asked: Mapping[str, Any]) -> tuple[int, Any]:
        match action:
            case "ListModelPackages":
                assert (asked["SortBy"], asked["SortOrder"]) == ("CreationTime", "Descending")
                ordered = sorted(packages, key=lambda each: -each["ModelPackageVersion"])
                at = int(asked.get("NextToken", "0"))
                page = [
                    each for each in ordered[at : at + 1] if each["ModelApprovalStatus"] == asked["ModelApprovalStatus"]
                ]
                more = {"NextToken": str(at + 1)} if at + 1 < len(ordered) else {}
                return 200, {"ModelPackageSummaryList": page, **more}
            case "DescribeModelPackage":
                found = [each for each in packages if each["ModelPackageArn"] == asked["ModelPackageName"]]
                if not found:
                    return 400, {"__type": "ValidationException", "message": "ModelPackage does not exist"}
                return 200, found[0]
            case "DescribeModelPackageGroup":
                return 200, {"ModelPackageGroupArn": GROUP}
        return 200, {}

    return handle


async def resolve(handler: Handler, reference: str = "sagemaker://fraud", secret: dict[str, str] = KEYS) -> Resolved:
    async with registry(handler, secret) as one:
        return await one.resolve(parse(reference), None)


async def failure(handler: Handler, reference: str = "sagemaker://fraud") -> RegistryError:
    with pytest.raises(RegistryError) as found:
        await resolve(handler, reference)
    return found.value


async def test_a_group_is_its_newest_approved_package_not_its_newest() -> None:
    made = {"MetadataProperties": {"CommitId": "abc", "Repository": "https://git.example.com/fraud.git"},
            "LastModifiedBy": {"UserProfileName": "ann"}, "CustomerMetadataProperties": {"auc": "0.9"}}  # fmt: skip
    found = await resolve(
        holding(package(1), package(2, **made), package(3, "Rejected"), package(4, "PendingManualApproval"))
    )
    assert (found.uri, found.version) == ("s3://models/fraud/2/model.tar.gz", "2")
    assert found.created == 1795971613.5
    assert found.lineage == {
        "name": "fraud", "modelId": ARN.format(2), "commit": "abc", "repository": "https://git.example.com/fraud.git",
        "parameters": {"auc": "0.9"}, "frameworks": {"sklearn": "1.9"}, "approvedBy": "ann",
    }  # fmt: skip


@pytest.mark.parametrize("reference", ["sagemaker://fraud/1", ARN.format(1)])
async def test_a_version_by_number_or_arn(reference: str) -> None:
    assert (await resolve(holding(package(1), package(2)), reference)).version == "1"


async def test_what_is_not_approved_is_not_served() -> None:
    assert (await failure(holding(package(1, "Rejected")))).reason == "NoApprovedVersion"
    found = await failure(holding(package(1, "Rejected")), "sagemaker://fraud/1")
    assert (found.reason, found.answered) == ("NotApproved", True)
    assert "Rejected" in str(found)
    assert (await failure(holding(package(1)), "sagemaker://fraud/7")).reason == "VersionMissing"


@pytest.mark.parametrize(
    ("status", "kind", "reason"),
    [
        (400, "UnrecognizedClientException", "Unauthorized"),
        (403, "InvalidSignatureException", "Unauthorized"),
        (400, "com.amazon.coral#ExpiredTokenException", "Unauthorized"),
        (400, "AccessDeniedException", "Forbidden"),
        (400, "ThrottlingException", "TooManyRequests"),
        (400, "ValidationException", "VersionMissing"),
        (500, "InternalFailure", "ServerFailed"),
        (418, "Teapot", "BadAnswer"),
    ],
)
async def test_every_refusal_has_its_cause(status: int, kind: str, reason: str) -> None:
    found = await failure(lambda *_: (status, {"__type": kind, "message": "no"}))
    assert found.reason == reason


async def test_an_endless_list_ends() -> None:
    asked = []

    def handle(action: str, told: Mapping[str, Any]) -> tuple[int, Any]:
        asked.append(action)
        return 200, {"ModelPackageSummaryList": [], "NextToken": "again"}

    assert (await failure(handle)).reason == "NoApprovedVersion"
    assert len(asked) == 20


@pytest.mark.parametrize("secret", [{}, {"AWS_ACCESS_KEY_ID": "a"}, {"username": "a", "password": "b"}])
async def test_a_key_is_needed(secret: dict[str, str]) -> None:
    with pytest.raises(RegistryError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        await resolve(holding(package(1)), secret=secret)


async def test_an_artifact_elsewhere_is_told() -> None:
    bad = package(1, InferenceSpecification={"Containers": [{"ModelDataUrl": "pvc://claim/model"}]})
    assert (await failure(holding(bad))).reason == "SourceNotReadable"
    none = package(1, InferenceSpecification={})
    assert (await failure(holding(none))).reason == "SourceNotReadable"


STEP = SetTag(Registered("fraud", "3", ARN.format(3)), "modelward.stage/ml/fraud", "stable")


def writing(properties: dict[str, str], updates: list[Any], refuses: str = "") -> Handler:
    """One package with these properties, which an update replaces."""
    held = package(3, CustomerMetadataProperties=properties)

    def handle(action: str, asked: Mapping[str, Any]) -> tuple[int, Any]:
        if action == "DescribeModelPackage":
            assert asked["ModelPackageName"] == ARN.format(3)
            return 200, held
        assert action == "UpdateModelPackage"
        if refuses:
            return 400, {"__type": refuses, "message": "User: x is not authorized"}
        updates.append(asked)
        held["CustomerMetadataProperties"] = asked["CustomerMetadataProperties"]
        return 200, {"ModelPackageArn": asked["ModelPackageArn"]}

    return handle


async def test_a_stage_is_a_property_beside_the_others_and_nothing_else_is_changed() -> None:
    updates: list[Any] = []
    async with registry(writing({"auc": "0.9"}, updates)) as one:
        await one.write(STEP)
        await one.write(STEP)
    properties = {"auc": "0.9", STEP.key: "stable"}
    assert updates == [{"ModelPackageArn": ARN.format(3), "CustomerMetadataProperties": properties}], "once"


async def test_a_package_that_is_full_of_properties_is_told_and_a_key_that_is_there_is_written() -> None:
    updates: list[Any] = []
    full = {f"p{number}": "x" for number in range(50)}
    async with registry(writing(full, updates)) as one:
        with pytest.raises(RegistryError, match=r"spec\.writeBack\.tags") as found:
            await one.write(STEP)
    assert (found.value.reason, found.value.answered, updates) == ("TooManyProperties", True, [])
    async with registry(writing({**full, STEP.key: "replaced"} | {"p0": "x"}, updates)) as one:
        await one.write(STEP)
    assert len(updates) == 1


async def test_a_package_that_was_too_full_for_a_stage_needs_none_taken_back() -> None:
    """Else it would keep every later fact from being told, and `tags: false` from being a cure."""
    updates: list[Any] = []
    async with registry(writing({f"p{number}": "x" for number in range(50)}, updates)) as one:
        await one.write(replace(STEP, value=REPLACED, optional=True))
    assert updates == []


async def test_a_right_that_is_missing_is_named() -> None:
    async with registry(writing({}, [], "AccessDeniedException")) as one:
        with pytest.raises(RegistryError, match="sagemaker:UpdateModelPackage") as found:
            await one.write(STEP)
    assert found.value.reason == "Forbidden"


async def test_sagemaker_has_no_aliases() -> None:
    async with registry(writing({}, [])) as one:
        with pytest.raises(RegistryError, match=r"spec\.rollout\.promotedAlias"):
            await one.write(SetAlias(STEP.of, "champion"))


async def test_what_operators_wrote_is_no_lineage() -> None:
    properties = {"auc": "0.9", "modelward.stage/ml/fraud": "stable"}
    async with registry(holding(package(3, CustomerMetadataProperties=properties))) as one:
        found = await one.resolve(parse("sagemaker://fraud"), None)
    assert found.lineage["parameters"] == {"auc": "0.9"}
