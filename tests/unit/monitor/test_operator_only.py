"""A monitor's counts, reference and farewell are the operator's: real monitors, asked by the operator's own client."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import pytest

from modelward.monitoring.client import Answer, Monitors
from modelward.net.body import open_session
from modelward.net.credentials import Credentials
from modelward_auth.keys import KeyPair
from modelward_auth.messages import HEADER, MONITOR, SERVER
from modelward_auth.verifier import AHEAD
from modelward_drift.counting.reading import Reading
from operatoraccess import OPERATOR, STRANGER, Access, raw

from .worlds import DEADLINE, POLL, MonitorProcess, batch, reference, send, write_bundle

COUNTS, FINAL, REFERENCE = "/v1/counts", "/v1/counts?final=1", "/v1/reference"
SOON = AHEAD / 1000 - 0.5
"""Seconds by which the operator's clock is ahead here, so that nobody waits for a monitor to take its first request."""


class World:
    """A monitor in a process of its own, and an operator that knows it. `ask`: the operator's client."""

    def __init__(self, folder: Path, *, bundled: bool = True, **settings: str) -> None:
        self.access = Access(folder)
        write_bundle(folder, reference() if bundled else None)
        self.monitor = MonitorProcess(folder, **self.access.environment, **settings)

    async def __aenter__(self) -> "World":
        self.monitor.start()
        self._session = open_session()
        await self.until_asked()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        self.monitor.__exit__()

    def client(self, operator: KeyPair = OPERATOR) -> Monitors:
        signing = Credentials(lambda: operator, lambda: time.time() + SOON)
        return Monitors(self._session, self.monitor.port, signing)

    async def counts(self, operator: KeyPair = OPERATOR, **facts: object) -> Answer:
        return await self.client(operator).counts(self.access.facts(**facts))

    async def until_asked(self) -> None:
        """It takes no request that may be older than itself."""
        end = time.monotonic() + DEADLINE
        while (answer := await self.counts()).problem is None and answer.content is None and answer.learning is None:
            assert time.monotonic() < end
            await asyncio.sleep(POLL)

    def header(self, **more: object) -> str:
        return self.access.header(MONITOR, **{"seconds": SOON, **more})  # type: ignore[arg-type]

    async def raw(self, method: str, path: str, header: str | None, body: bytes = b"") -> tuple[int, bytes, bool]:
        return await raw(self.monitor.port, method, path, header, body)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with World(tmp_path) as made:
        yield made


async def test_the_operator_reads_and_gives_what_nobody_else_does(tmp_path: Path) -> None:
    async with World(tmp_path, bundled=False) as world:
        await asyncio.to_thread(send, world.monitor.socket, batch(1, 30))
        assert (await world.counts()).learning == (30, 5000)
        assert await world.client().reference(world.access.facts()) is None
        given = reference()
        assert (await world.client().adopt(world.access.facts(), given)).content == {"digest": given.digest}
        assert await world.client().reference(world.access.facts()) == given
        assert Reading.from_dict((await world.counts()).content, given).intake.counted == 30


@pytest.mark.parametrize("path", [COUNTS, FINAL, REFERENCE, "/v1/counts/", "/v1//counts", "/V1/counts", "/v1/%63ounts"])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "POST"])
async def test_without_a_signature_nothing_is_told(world: World, method: str, path: str) -> None:
    status, body, proven = await world.raw(method, path, None, b"{}" if method in ("PUT", "POST") else b"")
    assert (status, proven) == (401, False)
    assert method == "HEAD" or "only the operator" in orjson.loads(body)["error"]


async def test_everybody_who_reaches_it_reads_metrics_and_what_stands_there_for_people(world: World) -> None:
    for path in ("/metrics", "/healthz", "/v1/windows", "/docs", "/openapi.json"):
        assert (await world.raw("GET", path, None))[0] == 200
    status, _, proven = await world.raw("GET", "/metrics", world.header(target="/metrics"))
    assert (status, proven) == (200, True)
    assert (await world.raw("GET", "/metrics", world.header(target=COUNTS)))[0] == 401


async def test_a_stranger_plants_no_reference(tmp_path: Path) -> None:
    body = orjson.dumps(reference(seed=7).to_dict())
    async with World(tmp_path, bundled=False) as world:
        stranger = world.header(method="PUT", target=REFERENCE, body=body, operator=STRANGER)
        for header in (None, stranger, world.header(target=REFERENCE), "v1 key=0"):
            assert (await world.raw("PUT", REFERENCE, header, body))[0] == 401
        assert await world.client().reference(world.access.facts()) is None


async def test_a_changed_body_is_not_taken(tmp_path: Path) -> None:
    wanted, planted = (orjson.dumps(reference(seed=seed).to_dict()) for seed in (1, 2))
    async with World(tmp_path, bundled=False) as world:
        header = world.header(method="PUT", target=REFERENCE, body=wanted)
        status, body, _ = await world.raw("PUT", REFERENCE, header, planted)
        assert (status, orjson.loads(body)) == (401, {"error": "the body is not the one that was signed"})
        assert await world.client().reference(world.access.facts()) is None
        header = world.header(method="PUT", target=REFERENCE, body=wanted)
        assert (await world.raw("PUT", REFERENCE, header, wanted))[0] == 200


async def test_a_request_that_was_seen_on_its_way_is_not_answered_again(world: World) -> None:
    header = world.header()
    assert (await world.raw("GET", COUNTS, header))[::2] == (200, True)
    assert (await world.raw("GET", COUNTS, header))[0] == 401
    world.monitor.kill()
    world.monitor.start()
    assert (await world.raw("GET", COUNTS, header))[0] == 401
    await world.until_asked()
    assert (await world.raw("GET", COUNTS, header))[0] == 401


async def test_a_request_to_another_pod_or_process_is_none_to_this_one(world: World, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = Access(tmp_path / "other", "pod-2")
    headers = {
        "what the other pod got": other.header(MONITOR, seconds=SOON),
        "signed for this one with the other's key": other.header(MONITOR, uid="pod-1", seconds=SOON),
        "to the other, with this one's key": world.header(uid="pod-2"),
        "to the server of the pod": world.access.header(SERVER, seconds=SOON),
        "of another time": world.header(seconds=-61),
        "from the future": world.header(seconds=60),
        "of another path": world.header(target=REFERENCE),
    }
    told = {name: (await world.raw("GET", COUNTS, header))[0] for name, header in headers.items()}
    assert told == dict.fromkeys(headers, 401)
    assert (await world.raw("GET", COUNTS, world.header()))[0] == 200


async def test_a_request_has_one_signature(world: World) -> None:
    answers = await asyncio.to_thread(
        world.monitor._pool.request, "GET", COUNTS, headers={HEADER: f"{world.header()}, {world.header()}"}
    )
    assert answers.status == 401


async def test_nobody_but_the_operator_ends_a_farewell(tmp_path: Path) -> None:
    async with World(tmp_path, MONITOR_FAREWELL_SECONDS="50") as world:
        await asyncio.to_thread(send, world.monitor.socket, batch(1, 30))
        used = world.header(target=FINAL)
        assert (await world.raw("GET", FINAL, used))[0] == 200
        world.monitor.terminate()
        end = time.monotonic() + DEADLINE
        status, body, _ = await world.raw("GET", COUNTS, world.header())
        while not orjson.loads(body)["final"]:
            assert time.monotonic() < end
            status, body, _ = await world.raw("GET", COUNTS, world.header())
        assert status == 200
        for header in (None, used, world.header(), world.header(target=FINAL, operator=STRANGER)):
            assert (await world.raw("GET", FINAL, header))[0] == 401
        assert world.monitor.process.poll() is None
        assert (await world.counts()).content["final"] is True
        assert await asyncio.to_thread(world.monitor.process.wait, DEADLINE) == 0


async def test_the_operators_key_is_rotated_without_a_restart(world: World) -> None:
    assert (await world.counts(STRANGER)).problem == (
        f"it refuses the operator: the key {STRANGER.identifier} is not the operator's here, or not yet"
    )
    world.access.know(OPERATOR, STRANGER)
    assert (await world.counts(STRANGER)).content is not None
    assert (await world.counts(OPERATOR)).content is not None
    world.access.know(STRANGER)
    assert (await world.counts(STRANGER)).content is not None
    assert "is not the operator's here" in ((await world.counts(OPERATOR)).problem or "")
    assert world.monitor.process.poll() is None


async def test_a_new_pod_is_never_asked_by_an_operator_that_does_not_prove_itself(world: World) -> None:
    assert (await world.counts(key=None)).problem is not None
    assert (await world.counts(key="")).content is None


def test_a_monitor_that_knows_no_operator_counts_and_tells_nobody(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    with MonitorProcess(tmp_path, OPERATOR_UNAUTHENTICATED="false") as monitor:
        send(monitor.socket, batch(1, 30))
        assert monitor.get(COUNTS)[0] == 401
        assert monitor.metrics()['modelward_monitor_rows_total{result="counted"}'] == 30
