"""Who gets keys of a role, with what, and whom the operator does not lend its identity to."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from modelward.api.modeldeployment import Model, SecretReference
from modelward.api.modelregistry import ConfigMapReference, ModelRegistry, SageMaker, Spec, WriteBack
from modelward.models.references import parse
from modelward.models.resolved import Access, Resolution, Resolved, resolved_model
from modelward.net.guarded import open_guarded_session
from modelward.registries.access import opened
from modelward.registries.client import Client
from modelward.registries.registry import Login, RegistryError
from modelward.registries.roles import NOBODY, Allowed, Identity, Lending, Roles
from modelward.registries.sigv4 import Keys

HERE = ("127.0.0.1",)
NOW = 1795971613.0
ROLE, OPERATORS = "arn:aws:iam::123456789012:role/models", "arn:aws:iam::999999999999:role/modelward"
SECRET = {"AWS_ACCESS_KEY_ID": "AKID", "AWS_SECRET_ACCESS_KEY": "s3cret"}
BASE = Keys("AKID", "s3cret")
TOKEN = "eyJ.operators.own"

GIVEN = """<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>
<AccessKeyId>{id}</AccessKeyId><SecretAccessKey>a/b+c=</SecretAccessKey><SessionToken>to/ken+=</SessionToken>
<Expiration>{ends}</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>"""
REFUSED = "<ErrorResponse><Error><Type>Sender</Type><Code>{}</Code><Message>{}</Message></Error></ErrorResponse>"


@dataclass
class Sts:
    """A token service. `asked`: forms and headers of every request; `answer`: status and body in place of keys."""

    asked: list[tuple[dict[str, str], dict[str, str]]] = field(default_factory=list)
    answer: tuple[int, str] | None = None
    lasts: float = 3600.0
    now: float = NOW
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        form = {name: values[0] for name, values in parse_qs((await request.read()).decode()).items()}
        self.asked.append((form, {name.lower(): value for name, value in request.headers.items()}))
        ends = datetime.fromtimestamp(self.now + self.lasts, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        status, body = self.answer or (200, GIVEN.format(id=f"ASIA{len(self.asked)}", ends=ends))
        return web.Response(text=body, status=status, content_type="text/xml")

    @property
    def actions(self) -> list[tuple[str, str]]:
        return [(form["Action"], form["RoleArn"]) for form, _ in self.asked]


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Sts, Client]]:
    sts = Sts()
    app = web.Application()
    app.router.add_post("/", sts.handle)
    async with TestServer(app, host="127.0.0.1") as server, open_guarded_session(HERE) as session:
        sts.url = str(server.make_url("")).rstrip("/")
        yield sts, Client(session, HERE, Login())


def registry(sts: Sts | None = None, namespace: str = "team-a", **spec: Any) -> ModelRegistry:
    """With a Secret where there is a token service of its own."""
    made = SageMaker("eu-west-1", role_arn=ROLE, sts_endpoint_url=None if sts is None else sts.url)
    secret = None if sts is None else SecretReference("aws")
    return ModelRegistry(namespace, "sm", "uid", 1, Spec(**({"sage_maker": made, "credentials_secret": secret} | spec)))


def lending(tmp_path: Path, sts: Sts, *allowed: Allowed, role: str | None = None) -> Lending:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    return Lending(allowed or (Allowed("team-a", ROLE),), Identity(tmp_path / "token", role), sts.url)


async def test_keys_of_a_role_are_had_with_the_secrets_and_kept_while_they_hold() -> None:
    async with serving() as (sts, client):
        roles = Roles(NOBODY, lambda: sts.now)
        first = await roles.keys(registry(sts), BASE, client, client)
        assert first == Keys("ASIA1", "a/b+c=", "to/ken+=")
        sts.now += 3000
        assert await roles.keys(registry(sts), BASE, client, client) == first
        sts.now += 400
        assert (await roles.keys(registry(sts), BASE, client, client)).identifier == "ASIA2"
        assert (await roles.keys(registry(sts), replace(BASE, secret="another"), client, client)).identifier == "ASIA3"
        roles.forget("uid")
        await roles.keys(registry(sts), BASE, client, client)
    assert sts.actions == [("AssumeRole", ROLE)] * 4
    form, headers = sts.asked[0]
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKID/")
    assert "/eu-west-1/sts/aws4_request" in headers["authorization"]
    assert form["RoleSessionName"] == "modelward-team-a-sm"
    assert all(each.startswith("sagemaker:") for each in json.loads(form["Policy"])["Statement"][0]["Action"])


async def test_packages_may_be_updated_where_the_registry_is_to_be_written_and_nowhere_else() -> None:
    async with serving() as (sts, client):
        roles = Roles(NOBODY, lambda: sts.now)
        for back in (None, WriteBack(), WriteBack(), None):
            await roles.keys(registry(sts, write_back=back), BASE, client, client)
    granted = [json.loads(form["Policy"])["Statement"][0]["Action"] for form, _ in sts.asked]
    assert ["sagemaker:UpdateModelPackage" in each for each in granted] == [False, True, False]


async def test_keys_of_registries_that_are_gone_are_not_kept_for_ever() -> None:
    async with serving() as (sts, client):
        roles = Roles(NOBODY, lambda: sts.now)
        for number in range(3):
            await roles.keys(replace(registry(sts), uid=f"u{number}"), BASE, client, client)
            sts.now += 4000
    assert list(roles._kept) == ["u2"]


async def test_the_registry_is_asked_with_the_keys_of_the_role() -> None:
    heard: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        heard.append(f"{request.headers['authorization'][:39]} {request.headers['x-amz-security-token']}")
        return web.json_response({"ModelPackageSummaryList": []})

    app = web.Application()
    app.router.add_post("/", answer)
    async with serving() as (sts, client), TestServer(app, host="127.0.0.1") as server:
        roles = Roles(NOBODY, lambda: NOW)
        made = SageMaker("eu-west-1", str(server.make_url("")).rstrip("/"), ROLE, sts.url)
        named = registry(sts, sage_maker=made)
        one = opened(named, Login(SECRET), client, lambda: NOW, lambda base: roles.keys(named, base, client, client))
        with pytest.raises(RegistryError) as found:
            await one.resolve(parse("sagemaker://fraud"), None)
    assert found.value.reason == "NoApprovedVersion"
    assert heard == ["AWS4-HMAC-SHA256 Credential=ASIA1/20261 to/ken+="]


async def test_the_operators_identity_is_lent_where_the_installation_says_so(tmp_path: Path) -> None:
    async with serving() as (sts, client):
        roles = Roles(lending(tmp_path, sts), lambda: NOW)
        assert (await roles.keys(registry(), None, client, client)).identifier == "ASIA1"
    ((form, headers),) = sts.asked
    assert (form["Action"], form["WebIdentityToken"]) == ("AssumeRoleWithWebIdentity", TOKEN)
    assert "authorization" not in headers
    assert json.loads(form["Policy"])["Statement"][0]["Action"][0].startswith("sagemaker:")


async def test_a_role_of_the_operator_assumes_the_other_one_and_says_for_whom(tmp_path: Path) -> None:
    async with serving() as (sts, client):
        roles = Roles(lending(tmp_path, sts, role=OPERATORS), lambda: NOW)
        assert (await roles.keys(registry(), None, client, client)).identifier == "ASIA2"
    assert sts.actions == [("AssumeRoleWithWebIdentity", OPERATORS), ("AssumeRole", ROLE)]
    (first, _), (second, headers) = sts.asked
    assert json.loads(first["Policy"])["Statement"] == [
        {"Effect": "Allow", "Action": ["sts:AssumeRole"], "Resource": ROLE}
    ]
    assert second["ExternalId"] == "team-a/sm"
    assert headers["x-amz-security-token"] == "to/ken+="


NOT_LENT: dict[str, Callable[[Lending], tuple[Lending, ModelRegistry]]] = {
    "nothing is allowed": lambda found: (replace(found, allowed=()), registry()),
    "another namespace": lambda found: (found, registry(namespace="team-b")),
    "a namespace that begins alike": lambda found: (found, registry(namespace="team-a-2")),
    "another role": lambda found: (replace(found, allowed=(Allowed("team-a", OPERATORS),)), registry()),
    "a role that begins alike": lambda found: (replace(found, allowed=(Allowed("team-a", ROLE[:-1]),)), registry()),
    "another account": lambda found: (
        replace(found, allowed=(Allowed("*", "arn:aws:iam::999999999999:role/*"),)), registry(),
    ),
    "no identity": lambda found: (replace(found, identity=None), registry()),
    "an address of the author's": lambda found: (
        found, registry(sage_maker=SageMaker("eu-west-1", "https://evil.example.com", ROLE)),
    ),
    "a token service of the author's": lambda found: (
        found, registry(sage_maker=SageMaker("eu-west-1", None, ROLE, "https://evil.example.com")),
    ),
    "certificates of the author's": lambda found: (found, registry(ca_bundle=ConfigMapReference("mine"))),
}  # fmt: skip


@pytest.mark.parametrize("case", NOT_LENT)
async def test_the_operators_identity_is_lent_to_nobody_else(case: str, tmp_path: Path) -> None:
    async with serving() as (sts, client):
        allowed, asked = NOT_LENT[case](lending(tmp_path, sts))
        with pytest.raises(RegistryError) as found:
            await Roles(allowed, lambda: NOW).keys(asked, None, client, client)
    assert found.value.reason == "RoleNotAllowed"
    assert "spec.credentialsSecret" in str(found.value)
    assert sts.asked == [], "nothing was sent anywhere"


async def test_what_is_no_longer_allowed_ends_with_its_keys(tmp_path: Path) -> None:
    async with serving() as (sts, client):
        roles = Roles(lending(tmp_path, sts), lambda: NOW)
        await roles.keys(registry(), None, client, client)
        with pytest.raises(RegistryError, match="does not lend"):
            await roles.keys(registry(namespace="team-b"), None, client, client)


async def test_the_token_goes_by_the_session_that_the_author_has_no_say_in(tmp_path: Path) -> None:
    """Not by the one that trusts the certificates of spec.caBundle."""

    class Untouchable:
        async def send(self, *_: Any, **__: Any) -> None:
            raise AssertionError("the author's")

    async with serving() as (sts, client):
        await Roles(lending(tmp_path, sts), lambda: NOW).keys(registry(), None, Untouchable(), client)  # type: ignore[arg-type]
    assert len(sts.asked) == 1


ANSWERS: dict[str, tuple[int, str, str]] = {
    "denied": (403, REFUSED.format("AccessDenied", "User is not authorized"), "RoleDenied"),
    "no such role": (400, REFUSED.format("ValidationError", "bad ARN"), "RoleDenied"),
    "another key": (403, REFUSED.format("SignatureDoesNotMatch", "no"), "Unauthorized"),
    "a token of nobody": (400, REFUSED.format("InvalidIdentityToken", "no provider"), "IdentityRefused"),
    "a token that is old": (400, REFUSED.format("ExpiredTokenException", "old"), "IdentityRefused"),
    "too often": (400, REFUSED.format("Throttling", "slow down"), "TooManyRequests"),
    "down": (503, "", "ServerFailed"),
    "something else": (200, "<html>sign in</html>", "BadAnswer"),
    "keys that have ended": (200, GIVEN.format(id="ASIA", ends="2001-01-01T00:00:00Z"), "BadAnswer"),
    "no end": (200, GIVEN.format(id="ASIA", ends="soon"), "BadAnswer"),
    "a bomb": (200, "<!DOCTYPE a [" + "<!ENTITY b 'c'>" * 999 + "]><AccessKeyId>&b;</AccessKeyId>", "BadAnswer"),
    "more than it may say": (200, "x" * (65 << 10), "BadAnswer"),
}


@pytest.mark.parametrize("case", ANSWERS)
async def test_every_refusal_has_its_cause_and_keeps_the_token_to_itself(case: str, tmp_path: Path) -> None:
    status, body, reason = ANSWERS[case]
    async with serving() as (sts, client):
        sts.answer = (status, body)
        with pytest.raises(RegistryError) as found:
            await Roles(lending(tmp_path, sts), lambda: NOW).keys(registry(), None, client, client)
    assert found.value.reason == reason
    assert TOKEN not in str(found.value)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe", b"x" * 30_000])
async def test_an_identity_that_can_not_be_read_is_told(content: bytes | None, tmp_path: Path) -> None:
    async with serving() as (sts, client):
        found = lending(tmp_path, sts)
        (tmp_path / "token").unlink() if content is None else (tmp_path / "token").write_bytes(content)
        with pytest.raises(RegistryError, match="own identity"):
            await Roles(found, lambda: NOW).keys(registry(), None, client, client)
    assert sts.asked == []


def test_pods_assume_the_role_with_the_secrets_keys_and_get_nothing_of_the_operators() -> None:
    def access(named: ModelRegistry, **model: Any) -> Access:
        said = Resolved("s3://models/fraud/1/model.tar.gz", "1")
        asked = Model("sagemaker://fraud", **model)
        return resolved_model(asked, Resolution("sagemaker://fraud", "sm", "", 0.0, said), named).access

    sts = Sts(url="https://sts.example.com")
    assert access(registry(sts)) == Access(secret="aws", region="eu-west-1", role=ROLE, sts_url=sts.url)
    assert access(registry()) == Access(region="eu-west-1"), "the operator's identity is not theirs"
    assert access(registry(sts), credentials_secret=SecretReference("own")) == Access(region="eu-west-1")


def test_a_role_of_another_account_is_another_registry() -> None:
    plain = registry(sage_maker=SageMaker("eu-west-1"))
    assert plain.address == "eu-west-1"
    assert registry().address != plain.address
