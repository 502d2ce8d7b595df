"""What every trigger keeps: a run starts once whatever crashes, can be cancelled, and says why it failed.

One suite for all of them; what a system has of its own is in test_pipelines.py.
"""

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from modelward.retraining.lifecycle import run as runs

from .airflow import Airflow
from .cluster import ArgoWorkflow, Job
from .github import Github
from .jenkins import Jenkins
from .kubeflow import Kubeflow
from .prefect import Prefect
from .webhook import Webhook
from .world import LOG, LOG_END, MADE, REPORT, TOKEN, Serve, System, World, tells_no_secret

SYSTEMS: tuple[Callable[[], System], ...] = (
    Airflow, Prefect, Github, Jenkins, Kubeflow, ArgoWorkflow, Job, Webhook,
)  # fmt: skip
HTTP = (Airflow, Prefect, Github, Jenkins, Kubeflow)
LOGINS = (*HTTP, Webhook)
"""Those that a Secret of the policy's namespace is for; a webhook's is a key to sign with."""
HOUR = 3600.0


async def expired(serve: Serve, make: Callable[[], System], when: str) -> World:
    """A run whose login, or the operator's own, has expired while it was in the phase `when`."""
    world = await serve(make())
    if when == runs.RUNNING:
        await world.until(runs.RUNNING)
        world.system.go_on("running")
    world.system.expire()
    for _ in range(5):
        await world.step()
    return world


async def goes_on_to_its_end(world: World) -> None:
    """It was begun once, whatever came between."""
    await world.until(runs.RUNNING)
    world.system.go_on("good", REPORT)
    await world.until(runs.ROLLING_OUT)
    assert world.system.begun() == 1


@pytest.mark.parametrize("make", SYSTEMS)
async def test_what_a_run_made_is_taken(serve: Serve, make: Callable[[], System]) -> None:
    world = await serve(make())
    await world.until(runs.RUNNING)
    world.system.go_on("running")
    for _ in range(3):
        await world.step()
        assert (world.run.phase, world.run.delay) == (runs.RUNNING, "")
    world.system.go_on("good", REPORT)
    await world.until(runs.ROLLING_OUT)
    assert (world.run.model.uri, world.run.version, world.system.begun()) == (MADE, "2", 1)
    tells_no_secret(world)


@pytest.mark.parametrize("make", SYSTEMS)
@pytest.mark.parametrize("dies", [True, False], ids=["the operator dies", "the answer is lost"])
async def test_it_is_started_once_whatever_crashes(serve: Serve, make: Callable[[], System], dies: bool) -> None:
    """After each request, one after the other, that leads to a running run."""
    for number in itertools.count(1):
        world = await serve(make())
        world.system.server.lost = number
        await world.until(runs.RUNNING, dies=dies)
        world.system.go_on("running")
        await world.step(dies=dies)
        world.system.go_on("good", REPORT)
        await world.until(runs.ROLLING_OUT, dies=dies)
        assert (world.system.begun(), world.run.model.uri) == (1, MADE), number
        if len(world.system.server.seen) < number:
            break
    assert number > 2, "some were lost"


@pytest.mark.parametrize("make", SYSTEMS)
async def test_it_is_started_once_where_each_operator_dies_after_its_step(
    serve: Serve, make: Callable[[], System]
) -> None:
    """It has heard the answer, and could store nothing of it."""
    world = await serve(make())
    for _ in range(6):
        await world.ask()
        world.now += 5.0
        world.die()
    await world.until(runs.RUNNING)
    assert world.system.begun() == 1


@pytest.mark.parametrize("make", SYSTEMS)
async def test_a_run_is_cancelled(serve: Serve, make: Callable[[], System]) -> None:
    world = await serve(make())
    await world.until(runs.RUNNING)
    world.system.go_on("running")
    await world.step()
    assert not world.system.stopped()
    assert await world.stop()
    assert world.system.stopped()
    assert await world.stop(), "once more does no harm"
    tells_no_secret(world)


@pytest.mark.parametrize("make", SYSTEMS)
async def test_one_that_never_began_needs_no_stopping(serve: Serve, make: Callable[[], System]) -> None:
    world = await serve(make())
    for _ in range(6):
        if await world.stop():
            break
        world.now += 5.0
    assert await world.stop()
    assert world.system.begun() == 0


@pytest.mark.parametrize("make", [each for each in SYSTEMS if each is not Webhook])
async def test_one_whose_start_got_no_answer_is_stopped_all_the_same(serve: Serve, make: Callable[[], System]) -> None:
    """A webhook has nothing to be known by then, and says so."""
    stopped = 0
    for number in itertools.count(1):
        world = await serve(make())
        world.system.server.lost = number
        while not world.system.server.cut and world.run.phase == runs.STARTING:
            await world.ask()
            world.now += 5.0
            if number > len(world.system.server.seen) and world.system.begun():
                break
        if not world.system.server.cut:
            break
        if world.system.begun():
            world.die()
            for _ in range(8):
                await world.stop()
                world.now += 5.0
            assert (world.system.begun(), world.system.stopped()) == (1, True), number
            stopped += 1
    assert stopped


@pytest.mark.parametrize("make", SYSTEMS)
async def test_why_it_failed_is_told_with_the_end_of_the_log(serve: Serve, make: Callable[[], System]) -> None:
    world = await serve(make())
    await world.until(runs.RUNNING)
    world.system.go_on("running")
    await world.step()
    world.system.go_on("bad", log=LOG)
    await world.until(runs.ENDED)
    assert world.run.result == runs.FAILED
    assert LOG_END in world.run.message
    if make not in (Job, Webhook):
        tells_no_secret(world)


@pytest.mark.parametrize("make", SYSTEMS)
async def test_one_that_hangs_is_stopped_at_its_deadline(serve: Serve, make: Callable[[], System]) -> None:
    world = await serve(make())
    await world.until(runs.RUNNING)
    world.system.go_on("running")
    await world.step()
    world.now += 6 * HOUR
    await world.until(runs.ENDED)
    assert world.run.result == runs.FAILED
    assert "spec.retrain.deadline" in world.run.message
    assert world.system.stopped()


@pytest.mark.parametrize("make", SYSTEMS)
@pytest.mark.parametrize("away", ["silent", "503"])
@pytest.mark.parametrize("when", [runs.STARTING, runs.RUNNING])
async def test_an_hour_without_the_system_is_waited_for(
    serve: Serve, make: Callable[[], System], away: str, when: str
) -> None:
    world = await serve(make())
    if when == runs.RUNNING:
        await world.until(runs.RUNNING)
        world.system.go_on("running")
        await world.step()
    world.system.server.away = away
    for _ in range(12):
        world.now += 300.0
        await world.step()
        assert world.run.phase == when
    if make not in (Job, ArgoWorkflow):
        assert world.run.delay in ("PipelineSilent", "WebhookSilent")
        assert not world.run.stuck
        assert "trying again" in world.run.message
    world.system.server.away = ""
    await goes_on_to_its_end(world)
    tells_no_secret(world)


@pytest.mark.parametrize("make", LOGINS)
@pytest.mark.parametrize("when", [runs.STARTING, runs.RUNNING])
async def test_a_login_that_expires_is_told_and_the_run_goes_on_once_it_is_renewed(
    serve: Serve, make: Callable[[], System], when: str
) -> None:
    world = await expired(serve, make, when)
    assert (world.run.phase, world.run.delay, world.run.stuck) == (when, "CredentialsRefused", True)
    assert "Secret pipeline" in world.run.message
    world.system.renew()
    await goes_on_to_its_end(world)
    tells_no_secret(world)


@pytest.mark.parametrize("make", [ArgoWorkflow, Job])
@pytest.mark.parametrize("when", [runs.STARTING, runs.RUNNING])
async def test_a_run_outlives_a_token_of_the_operators_own_that_expires(
    serve: Serve, make: Callable[[], System], when: str
) -> None:
    world = await expired(serve, make, when)
    assert (world.run.phase, world.system.begun()) == (when, int(when == runs.RUNNING))
    world.system.renew()
    await goes_on_to_its_end(world)


@pytest.mark.parametrize("make", LOGINS)
@pytest.mark.parametrize("case", ["none", "empty", "forbidden"])
async def test_a_secret_that_can_not_be_used_is_told(serve: Serve, make: Callable[[], System], case: str) -> None:
    world = await serve(make())
    given, world.system.api.forbidden = dict(world.system.api.given), case == "forbidden"
    world.system.api.given = {"none": {}, "empty": {"pipeline": {"tokn": TOKEN}}}.get(case, given)
    await world.step()
    assert (world.run.phase, world.run.delay, world.run.stuck) == (runs.STARTING, "CredentialsMissing", True)
    assert "pipeline" in world.run.message
    assert world.system.server.seen == []
    world.system.api.given, world.system.api.forbidden = given, False
    await world.until(runs.RUNNING)


@pytest.mark.parametrize("make", LOGINS)
async def test_a_policy_that_goes_stops_its_run_with_the_login_that_it_had(
    serve: Serve, make: Callable[[], System]
) -> None:
    """The end of a namespace takes its Secrets first."""
    world = await serve(make())
    await world.until(runs.RUNNING)
    world.system.go_on("running")
    await world.step()
    world.system.api.given = {}
    assert not await world.stop(), "as long as the policy stays, its Secret decides"
    object.__setattr__(world.policy, "deleting", True)
    assert await world.stop()
    assert world.system.stopped()


@pytest.mark.parametrize("make", SYSTEMS)
async def test_a_result_that_is_missing_is_a_failure_that_says_what_to_write(
    serve: Serve, make: Callable[[], System]
) -> None:
    world = await serve(make())
    await world.until(runs.RUNNING)
    world.system.go_on("good")
    world.now += 60.0
    await world.until(runs.ENDED)
    assert world.run.result == runs.FAILED
    assert world.system.missing in world.run.message


@pytest.mark.parametrize("make", SYSTEMS)
@pytest.mark.parametrize("bad", ["no json", {"model": "x"}, {"modelUri": 5}, ["s3://models"]])
async def test_a_result_that_is_none_is_a_failure(serve: Serve, make: Callable[[], System], bad: Any) -> None:
    world = await serve(make())
    await world.until(runs.RUNNING)
    world.system.go_on("good", bad)
    await world.until(runs.ENDED)
    assert (world.run.result, world.run.model) == (runs.FAILED, None)
    assert "ended well, but" in world.run.message


@pytest.mark.parametrize("make", [each for each in SYSTEMS if each.registry])  # type: ignore[attr-defined]
async def test_the_registry_tells_of_the_model_where_spec_says_so(serve: Serve, make: Callable[[], System]) -> None:
    world = await serve(make(), result={"source": "Registry"})
    await world.until(runs.RUNNING)
    world.system.go_on("good")
    await world.until(runs.ROLLING_OUT)
    assert world.run.model.uri == f"s3://registry/{world.run.name}"


@pytest.mark.parametrize("make", SYSTEMS)
async def test_a_run_that_somebody_removed_there_is_a_failure(serve: Serve, make: Callable[[], System]) -> None:
    world = await serve(make())
    await world.until(runs.RUNNING)
    world.system.go_on("running")
    await world.step()
    world.system.remove()
    await world.until(runs.ENDED)
    assert world.run.result == runs.FAILED


@pytest.mark.parametrize("make", HTTP)
async def test_a_redirect_is_not_followed(serve: Serve, make: Callable[[], System]) -> None:
    """To a page where people log in, for example."""
    world = await serve(make())
    world.system.server.moved = True
    await world.step()
    assert (world.run.phase, world.run.delay, world.run.stuck) == (runs.STARTING, "PipelineMisled", True)
    assert not [path for _, path, _ in world.system.server.seen if path.startswith("/login")]


@pytest.mark.parametrize("make", HTTP)
@pytest.mark.parametrize("url", ["http://169.254.169.254", "https://elsewhere.example.com", "http://localhost:1"])
async def test_only_hosts_that_the_administrator_names_are_asked(
    serve: Serve, make: Callable[[], System], url: str
) -> None:
    world = await serve(make(), url=url)
    await world.step()
    assert (world.run.result, "MODELWARD_WEBHOOK_HOSTS" in world.run.message) == (runs.FAILED, True)
    assert world.system.server.seen == []


@pytest.mark.parametrize("make", HTTP)
async def test_no_token_is_sent_readable_for_all_unless_the_administrator_names_the_host(
    serve: Serve, make: Callable[[], System]
) -> None:
    world = await serve(make())
    for name, each in vars(world.trigger).items():
        if name == "_outgoing":
            each._plain = ()
    await world.step()
    assert (world.run.result, "MODELWARD_WEBHOOK_PLAIN_HOSTS" in world.run.message) == (runs.FAILED, True)
    assert world.system.server.seen == []


@pytest.mark.parametrize("make", SYSTEMS)
async def test_a_policy_that_names_another_trigger_meanwhile_ends_the_run(
    serve: Serve, make: Callable[[], System]
) -> None:
    world = await serve(make())
    await world.until(runs.RUNNING)
    object.__setattr__(world.policy.spec, "retrain", None)
    await world.step()
    if make is Job:
        assert world.run.phase == runs.RUNNING, "the Job is there, whatever spec says by now"
    else:
        assert (world.run.result, "was taken away" in world.run.message) == (runs.FAILED, True)
