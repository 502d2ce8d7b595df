"""`make check-airflow`: the trigger against a real Airflow 3 with the DAG of docs/integrations/airflow.md, ten minutes.

What Airflow answered is kept beside the stand-in of the contract suite, which is held against it in `make test`.
"""

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path

from modelward.net.guarded import open_guarded_session
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.triggers.airflow import AirflowTrigger
from modelward.retraining.triggers.logins import Logins
from modelward.retraining.triggers.outgoing import Answer, Client, Login, Outgoing
from unit.pipelines.pages import blocks
from unit.retraining.contract.exchanges import Exchange, exchanges
from unit.retraining.contract.live import reach, reach_phase
from unit.retraining.contract.test_recorded import VARYING
from unit.retraining.contract.world import LOG_END, MADE, RENEWED, TOKEN, Registry, Secrets, System, World

from .server import USER, AirflowServer

RECORDED = Path(__file__).parents[1] / "unit/retraining/contract/airflow.recorded.json"
DAG = "retrain_fraud"
LONG = 600.0
"""Seconds for a task: each is a process that imports Airflow."""

TRAIN = f'''import time

from airflow.sdk import get_current_context


def train(served, _window):
    assert served == "s3://models/fraud/1/fraud.tar", served
    name = get_current_context()["run_id"]
    if name.endswith("bad"):
        raise ValueError("{LOG_END.partition(": ")[2]}")
    if name.endswith("hangs"):
        time.sleep(1800)
    return "{MADE}"


'''
"""The user's own function of the page's DAG: how it ends is in the id of the run."""


class Real(System):
    """The server, as the contract suite's runs have a system."""

    kind = runs.AIRFLOW

    def __init__(self, url: str, password: str = TOKEN) -> None:
        self.api = Secrets(username=USER, password=password)
        self.retrain = {"airflow": {"url": url, "dag": DAG, "secretRef": {"name": "pipeline"}}}

    def trigger(self, world: World) -> AirflowTrigger:
        return AirflowTrigger(Outgoing(world.session, ("127.0.0.1",), ("127.0.0.1",)), Logins(self.api), Registry())


async def checked(url: str, say: Callable[[str], None] = print) -> list[Exchange]:
    """Runs that end well, fail, and are cancelled. Returns what Airflow answered. Raises AssertionError."""
    async with open_guarded_session(("127.0.0.1",)) as session:
        with exchanges(*VARYING) as seen:

            def run(ends: str, **fields: str) -> World:
                made = World(Real(url), session, **fields)
                made.replaced(name=f"fraud-{ends}", key=f"p/t/Drift/{ends}")
                return made

            good = run("good")
            await reach(good, lambda: good.run.delay == "PipelinePaused", "told that the DAG is paused", LONG)
            say("a paused DAG is told")
            await _unpause(good, url)
            for _ in range(2):
                await good.ask()
                good.die()  # it has heard the answer, and could store nothing of it
            await reach_phase(good, runs.RUNNING)
            say("started once: Airflow refuses the same id again with 409")
            await reach_phase(good, runs.ROLLING_OUT, LONG)
            assert good.run.model is not None
            assert good.run.model.uri == MADE
            assert good.run.version == good.run.name
            assert await good.stop()
            say("what it made is taken from its XCom")

            bad = run("bad")
            await reach_phase(bad, runs.ENDED, LONG)
            assert LOG_END in bad.run.message, bad.run.message
            say(f"why it failed is told: {bad.run.message}")

            hangs = run("hangs")
            await reach_phase(hangs, runs.RUNNING)
            await hangs.step()
            for _ in range(2):
                await reach(hangs, hangs.stop, "told to stop")
            await reach_phase(hangs, runs.ENDED)
            say("one that goes on is cancelled")

            none = run("none", dag="retrian")
            await reach_phase(none, runs.ENDED)
            assert "spec.retrain.airflow.dag" in none.run.message
            missing = run("missing", result={"task": "report", "key": "other"})  # type: ignore[arg-type]
            missing.replaced(name=good.run.name)
            await reach_phase(missing, runs.ENDED)
            assert "has no XCom other" in missing.run.message, missing.run.message
            missing.replaced(name="fraud-gone")
            await missing.trigger.poll(missing.order)
            await missing.stop()
            refused = run("refused")
            refused.system.api = Secrets(username=USER, password=RENEWED)
            refused.die()
            await reach(refused, lambda: refused.run.delay == "CredentialsRefused", "refused")
            refused.system.api = Secrets(token=RENEWED)
            refused.die()
            await refused.step()
            assert refused.run.delay == "CredentialsRefused"
            say("a DAG, an XCom and a login that are none are told")
    return seen


async def _unpause(world: World, url: str) -> None:
    outgoing = Outgoing(world.session, ("127.0.0.1",), ("127.0.0.1",))
    login: Answer = await Client(outgoing, url, "url", Login(), {}).post(
        "/auth/token", {"username": USER, "password": TOKEN}
    )
    client = Client(outgoing, url, "url", Login(f"Bearer {login.object['access_token']}"), {})
    await client.send("PATCH", f"/api/v2/dags/{DAG}", '{"is_paused": false}')


def main() -> int:
    with AirflowServer(TOKEN, TRAIN + blocks("docs/integrations/airflow.md", "python")[0]) as server:
        seen = asyncio.run(checked(server.url))
    RECORDED.write_text(json.dumps([each.as_json() for each in seen], indent=1) + "\n")
    print(f"{len(seen)} kinds of answers are in {RECORDED.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
