"""A real Prefect 3, with the flow and the command of docs/integrations/prefect.md: what the trigger does there, and
that the stand-in of the contract suite answers as it does."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import aiohttp
import pytest

from modelward.net.guarded import open_guarded_session
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.triggers.logins import Logins
from modelward.retraining.triggers.outgoing import Outgoing
from modelward.retraining.triggers.prefect import PrefectTrigger
from prefectserver.server import USER, PrefectServer
from unit.pipelines.pages import blocks
from unit.retraining.contract.conftest import serve, session  # noqa: F401  fixtures
from unit.retraining.contract.exchanges import Exchange, differences, exchanges
from unit.retraining.contract.live import reach, reach_phase
from unit.retraining.contract.prefect import Prefect
from unit.retraining.contract.world import (
    LOG,
    LOG_END,
    MADE,
    RENEWED,
    REPORT,
    TOKEN,
    Registry,
    Secrets,
    Serve,
    System,
    World,
)

PAGE = "docs/integrations/prefect.md"
TRAIN = f'''
import time

from prefect.runtime import flow_run


def train(served, _window):
    assert served == "s3://models/fraud/1/fraud.tar", served
    if flow_run.name.endswith("bad"):
        raise ValueError("{LOG_END.partition(": ")[2]}")
    if flow_run.name.endswith("hangs"):
        time.sleep(1800)
    return "{MADE}"

'''
"""The user's own function of the page's flow: how it ends is in the name of the run."""


class Real(System):
    """The server, as the contract suite's runs have a system."""

    kind = runs.PREFECT

    def __init__(self, server: PrefectServer, password: str = TOKEN) -> None:
        self.prefect = server
        self.api = Secrets(username=USER, password=password)
        self.retrain = {
            "prefect": {"url": server.url, "deployment": "retrain/production", "secretRef": {"name": "pipeline"}}
        }

    def trigger(self, world: World) -> PrefectTrigger:
        return PrefectTrigger(Outgoing(world.session, ("127.0.0.1",), ("127.0.0.1",)), Logins(self.api), Registry())

    def runs(self, world: World) -> list[dict[str, Any]]:
        asked = {"flow_runs": {"idempotency_key": {"any_": [world.run.key]}}}
        return list(self.prefect.ask("POST", "/flow_runs/filter", asked))


@pytest.fixture(scope="module")
def server(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[PrefectServer]:
    with in_sight():
        made = PrefectServer(TOKEN)
        with made:
            (made.folder / "flows").mkdir()
            (made.folder / "flows/retrain.py").write_text(TRAIN + blocks(PAGE, "python")[0])
            (command,) = [line for each in blocks(PAGE, "console") for line in each.splitlines() if "deploy " in line]
            made.deploy(command)
            yield made


@pytest.fixture(scope="module", autouse=True)
def seen() -> Iterator[list[Exchange]]:
    """What the real one is asked and answers, from the first test to the last."""
    with exchanges() as found:
        yield found


def world(server: PrefectServer, asking: aiohttp.ClientSession, ends: str, **fields: Any) -> World:
    made = World(Real(server), asking, **fields)
    made.replaced(name=f"fraud-{ends}", key=f"p/t/Drift/{ends}")
    return made


async def test_a_flow_run_starts_once_whatever_crashes_and_its_report_is_taken(server: PrefectServer) -> None:
    async with open_guarded_session(("127.0.0.1",)) as asking:
        one = world(server, asking, "good")
        await asyncio.gather(one.ask(), one.ask())
        one.die()  # it has heard the answers, and could store nothing of them
        await reach_phase(one, runs.RUNNING)
        handle = one.run.handle
        await reach_phase(one, runs.ROLLING_OUT)
        assert one.run.model is not None
        assert (one.run.model.uri, one.run.handle) == (MADE, handle)
        (made,) = one.system.runs(one)
        assert (made["name"], made["idempotency_key"]) == ("fraud-good", one.run.key)
        assert made["parameters"]["modelward"]["modelUri"] == "s3://models/fraud/1/fraud.tar"
        assert str(handle).endswith(made["id"])


async def test_why_a_flow_run_failed_is_told_with_the_end_of_its_log(server: PrefectServer) -> None:
    async with open_guarded_session(("127.0.0.1",)) as asking:
        one = world(server, asking, "bad")
        await reach_phase(one, runs.ENDED)
        assert one.run.result == runs.FAILED
        assert one.run.message.startswith("The flow run ended as FAILED: Flow run encountered an exception")
        assert LOG_END in one.run.message


async def test_a_flow_run_that_hangs_is_stopped_and_its_process_ends(server: PrefectServer) -> None:
    async with open_guarded_session(("127.0.0.1",)) as asking:
        one = world(server, asking, "hangs")
        await reach_phase(one, runs.RUNNING)

        def state() -> str:
            return str(one.system.runs(one)[0]["state"]["type"])

        await reach(one, lambda: state() == "RUNNING", "running in its worker")
        for _ in range(2):  # once more does no harm
            await reach(one, one.stop, "told to stop")
        await reach(one, lambda: state() == "CANCELLED", "cancelled by its worker")
        await reach_phase(one, runs.ENDED)
        assert one.run.message == "The flow run was cancelled in Prefect"


async def test_a_login_that_it_does_not_take_holds_the_run_up(server: PrefectServer) -> None:
    async with open_guarded_session(("127.0.0.1",)) as asking:
        one = world(server, asking, "good-login")
        one.system.api = Secrets(username=USER, password=RENEWED)
        one.die()
        await reach(one, lambda: one.run.delay == "CredentialsRefused", "refused")
        assert (one.run.phase, one.run.stuck) == (runs.STARTING, True)
        assert "Secret pipeline" in one.run.message
        assert RENEWED not in one.run.message
        assert one.system.runs(one) == []


async def test_one_that_no_worker_has_taken_is_cancelled_at_once(server: PrefectServer) -> None:
    pool = "/work_pools/models"
    async with open_guarded_session(("127.0.0.1",)) as asking:
        one = world(server, asking, "waits")
        server.ask("PATCH", pool, {"is_paused": True})
        try:
            await reach_phase(one, runs.RUNNING)
            one.replaced(handle=None)  # as after a start whose answer was lost
            await reach(one, one.stop, "told to stop")
            assert [each["state"]["type"] for each in one.system.runs(one)] == ["CANCELLED"]
        finally:
            server.ask("PATCH", pool, {"is_paused": False})


async def test_a_deployment_that_is_not_there_or_paused_is_told(server: PrefectServer) -> None:
    async with open_guarded_session(("127.0.0.1",)) as asking:
        one = world(server, asking, "none", deployment="retrian/production")
        await reach_phase(one, runs.ENDED)
        assert (one.run.result, "spec.retrain.prefect.deployment" in one.run.message) == (runs.FAILED, True)
        two = world(server, asking, "paused")
        found = server.ask("GET", "/deployments/name/retrain/production")["id"]
        server.ask("PATCH", f"/deployments/{found}", {"paused": True})
        try:
            await reach(two, lambda: two.run.delay == "PipelinePaused", "paused")
        finally:
            server.ask("PATCH", f"/deployments/{found}", {"paused": False})
        assert two.run.stuck


async def test_the_stand_in_of_the_contract_suite_answers_as_this_one_did(seen: list[Exchange], serve: Serve) -> None:  # noqa: F811  the fixture
    """What the tests before were answered, of each kind of question."""
    with exchanges() as pretended:
        for ends, report, log in (("good", REPORT, ""), ("bad", None, LOG)):
            one = await serve(Prefect())
            await one.until(runs.RUNNING)
            await one.step()
            one.system.go_on("running")
            await one.step()
            one.system.go_on(ends, report, log)
            await one.until(runs.ROLLING_OUT, runs.ENDED)
            one.replaced(handle=None)
            await one.stop()
        for state in ("SCHEDULED", "RUNNING"):
            one = await serve(Prefect())
            await one.until(runs.RUNNING)
            for each in one.system.runs.values():
                each["state"] = {"type": state}
            assert await one.stop()
            await one.step()
        await (await serve(Prefect(), deployment="retrian/production")).step()
        for attribute, value in (("tokens", {RENEWED}), ("paused", True)):
            one = await serve(Prefect())
            setattr(one.system if attribute == "paused" else one.system.server, attribute, value)
            await one.step()
    assert len({each.asked for each in pretended}) == 8
    assert differences(pretended, seen) == []
