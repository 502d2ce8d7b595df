"""Stand-ins held against what real systems answered that don't run in every test (`make check-airflow`)."""

import json
from pathlib import Path

from modelward.retraining.lifecycle import run as runs

from .airflow import Airflow
from .exchanges import Exchange, differences, exchanges
from .world import LOG, RENEWED, REPORT, Secrets, Serve

RECORDED = Path(__file__).parent / "airflow.recorded.json"

VARYING = tuple(f"(?<=/{each}/)[^/]+" for each in ("dags", "dagRuns", "taskInstances", "logs", "xcomEntries"))
"""Of paths: names of DAGs, runs, tasks, and how often one was tried, keys."""


async def test_airflows_stand_in_answers_as_a_real_one_did(serve: Serve) -> None:
    real = [Exchange(**each) for each in json.loads(RECORDED.read_text())]
    with exchanges(*VARYING) as seen:
        for ends, report, log in (("good", REPORT, ""), ("good", None, ""), ("bad", None, LOG)):
            one = await serve(Airflow())
            await one.until(runs.RUNNING)
            one.die()  # it has heard the answer, and could store nothing of it
            await one.trigger.start(one.order)
            one.system.go_on("running")
            await one.step()
            one.system.go_on(ends, report, log)
            await one.until(runs.ROLLING_OUT, runs.ENDED)
        one = await serve(Airflow())
        await one.until(runs.RUNNING)
        assert await one.stop()
        one.system.remove()
        await one.step()
        paused = Airflow()
        paused.paused = True
        await (await serve(paused)).step()
        await (await serve(Airflow(), dag="retrian")).step()
        for refused in ({"username": "operator", "password": RENEWED}, {"token": RENEWED}):
            one = await serve(Airflow())
            one.system.api = Secrets(**refused)
            one.die()
            await one.step()
    assert len(seen) >= 12
    assert differences(seen, real) == []
