"""`monitor`: count until SIGTERM, then hand the last counts over and end."""

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import Coroutine
from types import FrameType
from typing import TYPE_CHECKING

import orjson
import uvicorn

from modelward_auth.guard import Guard, closed_but
from modelward_auth.messages import MONITOR
from modelward_drift.errors import ProfileError
from modelward_drift.profiles.reference import FILE, Reference
from modelward_inference import operatoraccess
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.errors import BundleInvalid, InvalidConfiguration
from modelward_inference.telemetry.tracing import ENDPOINTS
from modelward_monitor.answered import Answered
from modelward_monitor.counting.counter import Plan
from modelward_monitor.counting.windows import Windows
from modelward_monitor.endpoints import api, metrics
from modelward_monitor.endpoints.intake import Intake
from modelward_monitor.endpoints.outcomes import Desk
from modelward_monitor.monitor import SAVE_EVERY, Monitor
from modelward_monitor.predictionlog.service import PredictionLog
from modelward_monitor.predictionlog.settings import LogSettings
from modelward_monitor.settings import Settings
from modelward_monitor.store import Store
from modelward_telemetry import logs, wanted
from modelward_telemetry.wanted import Follower

if TYPE_CHECKING:
    from modelward_monitor.traces import Traces

log = logging.getLogger(__name__)


def run(settings: Settings) -> None:
    """Returns after SIGTERM. Raises ModelError, and OSError where the folder can't be written."""
    logs.configure(settings.log_level, "monitor", name=settings.model, revision=settings.revision)
    asyncio.run(_run(settings))


def plan_of(settings: Settings) -> tuple[Plan, Reference | None]:
    """What the bundle says, and its reference. One that can't be read is a problem, and none is learned instead: nobody
    would know that the model is judged by something else than it was published with. Of another server's model there is
    no bundle."""
    if settings.observed:
        return Plan(learn_rows=settings.learn_rows, observed=True), None
    try:
        manifest = Manifest.read(settings.bundle)
        plan = Plan(manifest.signature, manifest.classes, settings.learn_rows)
    except BundleInvalid as error:
        log.warning("no reference can be learned: %s", error)
        plan = Plan(learn_rows=settings.learn_rows)
    path = settings.bundle / FILE
    try:
        return plan, Reference.from_dict(orjson.loads(path.read_bytes()))
    except FileNotFoundError:
        return plan, None
    except (OSError, ValueError) as error:  # ProfileError is one
        problem = f"the bundle's {FILE} can't be used, so that nothing is counted: {error}"
        if not isinstance(error, ProfileError):
            problem += "; make it anew with `modelward reference`, and publish the model again"
        log.error("%s", problem)
        return Plan(problem=problem), None


async def _run(settings: Settings) -> None:
    follower = Follower(wanted.path_of(), settings.log_level)
    follower.look()
    verifier = operatoraccess.of(MONITOR)
    plan, reference = plan_of(settings)
    windows = Windows(settings.window, time.monotonic, time.time)
    logged = LogSettings.from_environment(with_key=False)
    kept = PredictionLog(logged) if logged is not None else None
    store = Store(settings.state, reference)
    journals = (kept.journal, kept.outcomes) if kept is not None else (None, None)
    monitor = Monitor(store, plan, windows, settings.pod, time.monotonic, *journals)
    if kept is not None:
        kept.attach(lambda: monitor.saved, monitor.log_news)
    traced = _traces(settings, logs=kept is not None)
    if traced is not None:
        monitor.listen(traced.saved)
    farewell = asyncio.Event()
    async with (
        Intake(monitor, settings.socket, Answered(settings.answered), traced) as intake,
        Desk(monitor, settings.outcomes, kept, traces=traced) as desk,
    ):
        tally = traced.tally.counts if traced is not None else None
        registry = metrics.registry(monitor, settings.top, lambda: intake.connections, kept, tally)
        application = api.application(
            monitor, registry, settings.model, farewell, events=settings.events, revision=settings.revision, log=kept
        )
        server = _Server(uvicorn.Config(
            Guard(application, verifier, closed_but(api.OPEN), api.MAX_REFERENCE),
            host=settings.host, port=settings.port,
            ws="none", lifespan="off", log_config=None, access_log=False, proxy_headers=False, server_header=False,
            timeout_graceful_shutdown=5,
        ), follower)  # fmt: skip
        log.info("counting against %s, on port %d", monitor.state.digest or "what is learned", settings.port)
        gc.collect()
        gc.freeze()
        tasks = [asyncio.create_task(monitor.run())]
        shipping = asyncio.create_task(kept.shipper.run()) if kept is not None else None
        complete = asyncio.Event()
        ending = _end(monitor, intake, desk, server, farewell, settings.farewell, complete)
        tasks.append(asyncio.create_task(_end_all(ending, complete, monitor, server, kept, shipping)))
        try:
            await server.serve()
        except SystemExit:  # uvicorn has logged why
            raise InvalidConfiguration(
                f"the monitor can't listen on port {settings.port}; set MONITOR_PORT to a free one"
            ) from None
        finally:
            tasks += [shipping] if shipping is not None else []
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    try:
        await monitor.save()
    finally:
        if traced is not None:
            await asyncio.to_thread(traced.close)


def _traces(settings: Settings, *, logs: bool) -> "Traces | None":
    """None where nothing asks for traces. Raises InvalidConfiguration."""
    if not any(os.environ.get(name) for name in ENDPOINTS):
        return None
    from modelward_monitor import traces  # its exporter takes memory

    return traces.of_environment(settings.model, settings.revision, logs=logs)


class _Server(uvicorn.Server):
    """uvicorn that goes on to answer after SIGTERM, until it is told to end."""

    def __init__(self, config: uvicorn.Config, follower: Follower) -> None:
        super().__init__(config)
        self._follower = follower
        self.terminated = asyncio.Event()

    async def on_tick(self, counter: int) -> bool:
        if counter % 10 == 0:  # uvicorn ticks ten times a second
            self._follower.look()
        return await super().on_tick(counter)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  the interface is uvicorn's
        if self.terminated.is_set():
            self.should_exit = self.force_exit = True
        asyncio.get_running_loop().call_soon_threadsafe(self.terminated.set)


async def _end(
    monitor: Monitor,
    intake: Intake,
    desk: Desk,
    server: _Server,
    farewell: asyncio.Event,
    limit: float,
    complete: asyncio.Event,
) -> None:
    """The server has ended before, or is about to: what it still hands over is taken, then no more (`complete`)."""
    await server.terminated.wait()
    log.info("handing over the last counts, for at most %.0f s", limit)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(limit):
            await intake.quiet()
            intake.close()
            desk.close()
            await _last_save(monitor)
            complete.set()
            await farewell.wait()
    desk.close()
    complete.set()


async def _end_all(
    ending: Coroutine[None, None, None],
    complete: asyncio.Event,
    monitor: Monitor,
    server: _Server,
    kept: PredictionLog | None,
    shipping: asyncio.Task[None] | None,
) -> None:
    """`ending`: the counts' farewell. The log has its own beside it, once no more rows come."""
    counting = asyncio.create_task(ending)
    if kept is not None and shipping is not None:
        await complete.wait()
        shipping.cancel()
        await asyncio.gather(shipping, return_exceptions=True)
        await kept.farewell(lambda: monitor.save(close_log=True))
    await counting
    server.should_exit = True


async def _last_save(monitor: Monitor) -> None:
    """Only what is on the disk is final."""
    while not monitor.final:
        with contextlib.suppress(OSError):
            await monitor.save()
            monitor.final = True
            return
        await asyncio.sleep(SAVE_EVERY)
