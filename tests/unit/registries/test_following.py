"""Who is asked when: once for all, less often while it fails, not before it wants to be, and within a budget."""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

import certificates
from modelward.api.modeldeployment import SecretReference
from modelward.api.modelregistry import ConfigMapReference, Mlflow, ModelRegistry, SageMaker, Spec
from modelward.kube.cache import Key
from modelward.kube.client import ApiError, ApiUnreachableError
from modelward.kube.poller import Poller
from modelward.kube.resources import Resource
from modelward.models.following import Said
from modelward.net import purse
from modelward.net.guarded import open_guarded_session
from modelward.registries.access import BACKOFF_MAX, LEFT_OUT, RETRY, Access
from modelward.registries.following import BESIDES, JITTER, Registries
from recorded_mlflow import Recorded, raw

HERE = ("127.0.0.1",)
ALIAS = "models:/fraud@champion"
INTERVAL = 60.0
DENIED = ApiError(403, "Forbidden", "no")


@dataclass
class Objects:
    """Instead of the API server: Secrets and ConfigMaps by name. `error`: what it answers instead."""

    held: dict[str, dict[str, str]] = field(default_factory=dict)
    error: Exception | None = None
    reads: int = 0

    async def get(self, resource: Resource, _: str, name: str) -> Any:
        self.reads += 1
        if self.error is not None:
            raise self.error
        found = self.held.get(f"{resource.kind}/{name}")
        return None if found is None else {"data": found}


@dataclass
class World:
    """Registries, their poller, and a clock that the test moves."""

    objects: Objects
    now: float = 0.0
    changed: list[str] = field(default_factory=list)
    due: list[Key] = field(default_factory=list)
    poller: Any = None
    registries: Any = None

    async def look(self, registry: ModelRegistry, *references: str, refreshed: Iterable[str] = ()) -> float | None:
        """Seconds until the next look, when every one that was due has ended."""
        wanted = [(each, tuple(refreshed)) for each in references]
        self.registries.look(registry, wanted)
        await self.poller.idle()
        return self.registries.look(registry, wanted)

    def said(self, registry: ModelRegistry, reference: str = ALIAS) -> Said:
        found = self.registries.said(registry, reference)
        assert found is not None
        return found


@asynccontextmanager
async def world(hosts: tuple[str, ...] = HERE) -> AsyncIterator[World]:
    made = World(Objects())
    async with open_guarded_session(hosts) as session:
        made.poller = Poller(made.due.append, lambda: made.now)
        clocks = (lambda: made.now, lambda: 1e9 + made.now)
        access = Access(made.objects, session, hosts, *clocks)  # type: ignore[arg-type]
        made.registries = Registries(access, made.poller, *clocks, lambda _, reference: made.changed.append(reference))
        yield made
        await made.poller.close()


def registry(mlflow: Recorded, **spec: Any) -> ModelRegistry:
    return ModelRegistry("ml", "mlflow", "uid", 1, Spec(mlflow=Mlflow(mlflow.url), **spec))


def version(said: Said) -> str | None:
    return said.resolved.version if said.resolved else None


async def test_it_is_asked_each_interval_and_what_changes_is_told_once() -> None:
    async with Recorded() as mlflow, world() as one:
        left = await one.look(registry(mlflow), ALIAS)
        assert left is not None
        assert INTERVAL * (1 - JITTER) <= left <= INTERVAL * (1 + JITTER)
        assert (version(one.said(registry(mlflow))), one.changed) == ("1", [ALIAS])
        assert one.due == [Key("ml", "mlflow", "ModelRegistry")]
        asked = len(mlflow.asked)
        one.now += left - 0.1
        await one.look(registry(mlflow), ALIAS)
        assert len(mlflow.asked) == asked, "not before its time"
        one.now += 0.2
        await one.look(registry(mlflow), ALIAS)
        assert (len(mlflow.asked), one.changed) == (asked + 1, [ALIAS]), "one question where nothing changed"
        mlflow.aliases["champion"] = "2"
        one.now += 2 * INTERVAL
        await one.look(registry(mlflow), ALIAS)
        assert (version(one.said(registry(mlflow))), one.changed) == ("2", [ALIAS, ALIAS])


async def test_what_nobody_follows_is_asked_for_as_long_as_somebody_asks_about_it() -> None:
    async with Recorded() as mlflow, world() as one:
        registries: Registries = one.registries
        assert registries.about(registry(mlflow), "models:/fraud/2") is None
        await one.poller.idle()
        await one.look(registry(mlflow), ALIAS)
        said = registries.about(registry(mlflow), "models:/fraud/2")
        assert said is not None
        assert version(said) == "2", "what is followed besides takes it not away"
        asked = len(mlflow.asked)
        assert registries.about(registry(mlflow), ALIAS) == one.said(registry(mlflow))
        registries.about(registry(mlflow), "models:/fraud/2")
        await one.poller.idle()
        assert len(mlflow.asked) == asked, "not before its time, and once for all"
        one.now += BESIDES + 1
        await one.look(registry(mlflow), ALIAS)
        assert set(registries._followed[Key("ml", "mlflow", "ModelRegistry")]) == {ALIAS}


async def test_what_was_said_long_ago_is_none_for_who_wants_it_fresh() -> None:
    async with Recorded() as mlflow, world() as one:
        registries: Registries = one.registries
        ask = partial(registries.about, registry(mlflow), "models:/fraud/2")
        assert ask() is None
        await one.poller.idle()
        begun = registries._now()
        assert version(ask(begun - 10.0)) == "2"
        one.now += 10 * INTERVAL
        later = registries._now()
        assert version(ask()) == "2", "whoever does not mind has it still"
        assert ask(later + 1.0) is None, "and has it asked"
        await one.poller.idle()
        assert version(ask(begun)) == "2"


async def test_a_refresh_has_it_asked_now() -> None:
    async with Recorded() as mlflow, world() as one:
        await one.look(registry(mlflow), ALIAS)
        asked = len(mlflow.asked)
        await one.look(registry(mlflow), ALIAS, refreshed=["now"])
        assert len(mlflow.asked) == asked + 1
        await one.look(replace(registry(mlflow), refresh="1"), ALIAS, refreshed=["now"])
        await one.look(replace(registry(mlflow), refresh="1"), ALIAS, refreshed=["now"])
        assert len(mlflow.asked) == asked + 2, "the same value asks once"


async def test_a_poke_has_each_reference_asked_once() -> None:
    async with Recorded() as mlflow, world() as one:
        await one.look(registry(mlflow), ALIAS)
        asked = len(mlflow.asked)
        one.registries.poke(Key("ml", "mlflow", "ModelRegistry"))
        await one.look(registry(mlflow), ALIAS)
        await one.look(registry(mlflow), ALIAS)
        assert len(mlflow.asked) == asked + 1


async def test_what_fails_is_asked_less_and_less_often_and_what_was_said_stays() -> None:
    async with Recorded() as mlflow, world() as one:
        await one.look(registry(mlflow), ALIAS)
        mlflow.instead = raw(500, "oops")
        waits = []
        for _ in range(6):
            one.now += 2 * BACKOFF_MAX
            left = await one.look(registry(mlflow), ALIAS)
            assert left is not None
            waits.append(left)
        said = one.said(registry(mlflow))
        assert (version(said), said.trouble and said.trouble.reason) == ("1", "ServerFailed")
        assert waits[0] < 1.5 * RETRY < waits[2] <= BACKOFF_MAX * (1 + JITTER)
        assert max(waits) <= BACKOFF_MAX * (1 + JITTER)
        assert one.changed == [ALIAS, ALIAS], "the same failure is told once"
        mlflow.instead = None
        one.now += 2 * BACKOFF_MAX
        await one.look(registry(mlflow), ALIAS)
        assert one.said(registry(mlflow)).trouble is None


async def test_a_retry_after_is_kept_to_whoever_asks() -> None:
    async with Recorded(instead=raw(429, "", Retry_After="200")) as mlflow, world() as one:
        left = await one.look(registry(mlflow), ALIAS)
        assert left is not None
        assert left == pytest.approx(200.0)
        one.now += 199
        await one.look(registry(mlflow), ALIAS, refreshed=["now"])
        assert len(mlflow.asked) == 1
        one.now += 2
        await one.look(registry(mlflow), ALIAS)
        assert len(mlflow.asked) == 2


async def test_another_address_has_said_nothing_yet() -> None:
    async with Recorded() as mlflow, Recorded(aliases={"champion": "2"}) as other, world() as one:
        await one.look(registry(mlflow), ALIAS)
        assert one.registries.said(registry(other), ALIAS) is None
        await one.look(registry(other), ALIAS)
        assert version(one.said(registry(other))) == "2"


async def test_who_follows_nothing_any_more_asks_nothing_any_more() -> None:
    async with Recorded() as mlflow, world() as one:
        await one.look(registry(mlflow), ALIAS, "models:/fraud/2")
        await one.look(registry(mlflow), ALIAS)
        asked = mlflow.count("version=2")
        one.now += 10 * INTERVAL
        await one.look(registry(mlflow), ALIAS)
        assert mlflow.count("version=2") == asked
        one.registries.forget(Key("ml", "mlflow", "ModelRegistry"))
        assert one.registries.said(registry(mlflow), ALIAS) is None


async def test_where_nothing_is_followed_it_is_asked_whether_it_is_there() -> None:
    async with Recorded() as mlflow, world() as one:
        await one.look(registry(mlflow), "")
        assert (one.said(registry(mlflow), "").trouble, mlflow.count("registered-models/search")) == (None, 1)
        mlflow.instead = raw(401, "")
        one.now += 2 * INTERVAL
        await one.look(registry(mlflow), "")
        trouble = one.said(registry(mlflow), "").trouble
        assert trouble is not None
        assert (trouble.reason, trouble.answered) == ("Unauthorized", True)


async def test_the_secret_is_read_once_for_many_references_and_anew_when_it_did_not_help() -> None:
    async with Recorded() as mlflow, world() as one:
        one.objects.held["Secret/login"] = {"token": base64.b64encode(b"first").decode()}
        asked = registry(mlflow, credentials_secret=SecretReference("login"))
        await one.look(asked, ALIAS)
        await one.look(asked, ALIAS, "models:/fraud/1", "models:/fraud/2")
        assert (one.objects.reads, mlflow.headers["Authorization"]) == (1, "Bearer first")
        mlflow.instead = raw(401, "")
        await one.look(asked, ALIAS, refreshed=["1"])
        one.objects.held["Secret/login"] = {"token": base64.b64encode(b"second").decode()}
        mlflow.instead = None
        await one.look(asked, ALIAS, refreshed=["2"])
        assert mlflow.headers["Authorization"] == "Bearer second"


@pytest.mark.parametrize(
    ("spec", "held", "error", "reason"),
    [
        ({"credentials_secret": SecretReference("login")}, {}, None, "CredentialsMissing"),
        ({"credentials_secret": SecretReference("login")}, {}, DENIED, "CredentialsForbidden"),
        ({"credentials_secret": SecretReference("login")}, {"Secret/login": {"token": "gA=="}}, None, "BadCredentials"),
        ({"credentials_secret": SecretReference("login")}, {"Secret/login": {}}, None, "BadCredentials"),
        ({"ca_bundle": ConfigMapReference("ca")}, {"ConfigMap/ca": {"other": "x"}}, None, "BadCertificates"),
        ({"ca_bundle": ConfigMapReference("ca")}, {"ConfigMap/ca": {"ca.crt": "no PEM"}}, None, "BadCertificates"),
    ],
)  # fmt: skip
async def test_what_it_is_asked_with_is_told_where_it_is_of_no_use(
    spec: dict[str, Any], held: dict[str, dict[str, str]], error: Exception | None, reason: str | None
) -> None:
    async with Recorded() as mlflow, world() as one:
        one.objects.held, one.objects.error = held, error
        await one.look(registry(mlflow, **spec), ALIAS)
        trouble = one.said(registry(mlflow)).trouble
        assert (trouble.reason if trouble else None) == reason


async def test_an_api_server_that_does_not_answer_is_no_news() -> None:
    async with Recorded() as mlflow, world() as one:
        asked = registry(mlflow, credentials_secret=SecretReference("login"))
        one.objects.error = ApiUnreachableError("no answer")
        left = await one.look(asked, ALIAS)
        assert one.registries.said(asked, ALIAS) is None
        assert left == pytest.approx(LEFT_OUT)


async def test_a_host_that_the_installation_does_not_name_is_not_called() -> None:
    async with Recorded() as mlflow, world(("*.example.com",)) as one:
        await one.look(registry(mlflow), ALIAS)
        trouble = one.said(registry(mlflow)).trouble
        assert trouble is not None
        assert (trouble.reason, "MODELWARD_REGISTRY_HOSTS" in trouble.message) == ("AddressRefused", True)
        assert mlflow.asked == []
    async with Recorded() as mlflow, world(("*",)) as one:
        await one.look(registry(mlflow), ALIAS)
        trouble = one.said(registry(mlflow)).trouble
        assert trouble is not None
        assert (trouble.reason, mlflow.asked) == ("AddressRefused", [])


async def test_a_registry_that_would_be_asked_as_the_operator_is_not_asked_by_default() -> None:
    role = "arn:aws:iam::123456789012:role/models"
    asked = ModelRegistry("ml", "sm", "uid", 1, Spec(sage_maker=SageMaker("eu-west-1", role_arn=role)))
    async with world(("*",)) as one:
        await one.look(asked, "sagemaker://fraud")
        trouble = one.said(asked, "sagemaker://fraud").trouble
    assert trouble is not None
    assert (trouble.reason, f"ml={role} in MODELWARD_ROLES" in trouble.message) == ("RoleNotAllowed", True)


async def test_a_namespace_that_costs_too_much_is_left_out_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither many references nor many refreshes take more than its share."""
    monkeypatch.setattr(purse, "BYTES", 1 << 20)
    async with Recorded(instead=raw(200, b"x" * (1 << 20))) as mlflow, world() as one:
        for number in range(20):
            await one.look(registry(mlflow), ALIAS, refreshed=[str(number)])
        assert len(mlflow.asked) < 20
        asked = len(mlflow.asked)
        other = replace(registry(mlflow), namespace="others")
        await one.look(other, ALIAS)
        assert len(mlflow.asked) == asked + 1, "another namespace has its own"


async def test_what_is_not_read_is_nonsense_and_no_more() -> None:
    """An answer of a form that nobody thought of."""
    answer = raw(200, '{"model_version": {"version": "1", "source": "s3://a/b", "run_id": {"a": 1}}}')
    async with Recorded(instead=answer) as mlflow, world() as one:
        await one.look(registry(mlflow), ALIAS)
        trouble = one.said(registry(mlflow)).trouble
        assert trouble is not None
        assert trouble.reason == "BadAnswer"


async def test_an_address_that_is_none_is_told() -> None:
    async with world() as one:
        bad = ModelRegistry("ml", "mlflow", "uid", 1, Spec(mlflow=Mlflow("http://127.0.0.1:99999")))
        await one.look(bad, ALIAS)
        trouble = one.said(bad).trouble
        assert trouble is not None
        assert trouble.reason == "BadAddress"


async def test_a_look_that_is_stopped_has_cost_what_it_has() -> None:
    """Who asks for another one each moment gets no more than his share either."""
    async with Recorded() as mlflow, world() as one:
        reached = asyncio.Event()

        async def mute(_: web.Request) -> web.StreamResponse:
            reached.set()
            await asyncio.Event().wait()
            raise AssertionError

        mlflow.instead = mute
        for number in range(3):
            one.registries.look(registry(mlflow), [(ALIAS, (str(number),))])
            await reached.wait()
            reached.clear()
            one.now += 8.0
        one.registries.forget(Key("ml", "mlflow", "ModelRegistry"))
        await asyncio.sleep(0)
        await one.poller.idle()
        assert one.registries.access.budgets._purse("ml").seconds < purse.SECONDS / 2


async def test_a_certificate_that_is_not_trusted_is_told_and_one_of_the_bundle_is_trusted(tmp_path: Path) -> None:
    made = certificates.made()
    for name, content in made.files.items():
        (tmp_path / name).write_bytes(content)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "tls.crt", tmp_path / "tls.key")
    async with Recorded(tls=context) as mlflow, world() as one:
        await one.look(registry(mlflow), ALIAS)
        trouble = one.said(registry(mlflow)).trouble
        assert trouble is not None
        assert (trouble.reason, "spec.caBundle" in trouble.message) == ("TlsFailed", True)
        one.objects.held["ConfigMap/ca"] = {"ca.crt": made.chain.decode()}
        trusting = registry(mlflow, ca_bundle=ConfigMapReference("ca"))
        await one.look(trusting, ALIAS)
        assert (one.said(trusting).trouble, version(one.said(trusting))) == (None, "1")
