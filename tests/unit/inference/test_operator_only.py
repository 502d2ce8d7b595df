"""What a server answered is told to the operator alone, also where every pod of the cluster reaches its port."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from modelward.net.body import open_session
from modelward.net.credentials import Credentials
from modelward.rollouts.evidence.scrape import Scraper
from modelward_auth.messages import MONITOR, SERVER
from modelward_auth.verifier import AHEAD
from operatoraccess import OPERATOR, STRANGER, Access, raw

from .processes import DEADLINE, POLL, ServerProcess

SAMPLES, METRICS = "/modelward/samples?after=0", "/metrics"
SOON = AHEAD / 1000 - 0.5
"""Seconds by which the operator's clock is ahead here, so that nobody waits for a server to take its first request."""


class World:
    """A server in a process of its own, and an operator that knows it."""

    def __init__(self, access: Access, port: int) -> None:
        self.access, self.port = access, port

    def header(self, target: str = SAMPLES, **more: object) -> str:
        wanted = {"process": SERVER, "seconds": SOON, **more}
        return self.access.header(target=target, **wanted)  # type: ignore[arg-type]

    async def ask(self, path: str = SAMPLES, header: str | None = None, method: str = "GET") -> tuple[int, bytes, bool]:
        return await raw(self.port, method, path, header)

    async def until_asked(self) -> None:
        end = time.monotonic() + DEADLINE
        while b"older than this process" in (await self.ask(header=self.header()))[1]:
            assert time.monotonic() < end
            await asyncio.sleep(POLL)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("server")
    access = Access(folder)
    with ServerProcess(folder, **access.environment) as process:
        made = World(access, process.port)
        asyncio.run(made.until_asked())
        yield made


async def test_the_operator_reads_samples_and_metrics(world: World) -> None:
    credentials = Credentials(lambda: OPERATOR, lambda: time.time() + SOON)
    async with open_session() as session:
        scraper = Scraper(session, world.port, world.port, credentials)
        found = await scraper.samples(world.access.facts(), 0)
        assert found is not None
        assert list(await scraper.servers({"a": [world.access.facts()]}, None)) == ["pod-1"]


@pytest.mark.parametrize(
    "path",
    [
        SAMPLES,
        "/modelward/samples",
        "/modelward/samples/",
        "/modelward/samples//",
        "/modelward/other",
        "/%6dodelward/samples",
    ],
)
@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "OPTIONS"])
async def test_without_a_signature_no_samples_are_told(world: World, method: str, path: str) -> None:
    assert (await world.ask(path, method=method))[0] == 401


async def test_a_signature_counts_for_one_request_of_this_server(world: World, tmp_path: Path) -> None:
    other = Access(tmp_path, "pod-2")
    used = world.header()
    assert (await world.ask(header=used))[::2] == (200, True)
    headers = {
        "used": used,
        "another pod's": other.header(SERVER, target=SAMPLES, seconds=SOON),
        "another pod's key": other.header(SERVER, target=SAMPLES, seconds=SOON, uid="pod-1"),
        "to another pod": world.header(uid="pod-2"),
        "to the monitor": world.header(process=MONITOR),
        "another page": world.header("/modelward/samples?after=1"),
        "another method": world.header(method="POST"),
        "old": world.header(seconds=-61),
        "early": world.header(seconds=60),
        "with a body": world.header(body=b"x"),
        "a stranger's": world.header(operator=STRANGER),
    }
    told = {name: (await world.ask(header=header))[0] for name, header in headers.items()}
    assert told == dict.fromkeys(headers, 401)


async def test_metrics_and_the_protocol_are_open_and_a_wrong_signature_is_told(world: World) -> None:
    for path in (METRICS, "/v2/health/ready", "/v2/models/m", "/docs"):
        assert (await world.ask(path))[::2] == (200, False)
    assert (await world.ask(METRICS, world.header(METRICS)))[::2] == (200, True)
    assert (await world.ask(METRICS, world.header()))[0] == 401


async def test_a_server_that_knows_no_operator_serves_and_tells_nobody(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, OPERATOR_UNAUTHENTICATED="false") as process:
        assert (await raw(process.port, "GET", "/v2/models/m", None))[0] == 200
        status, body, _ = await raw(process.port, "GET", SAMPLES, None)
        assert (status, "knows no operator" in orjson.loads(body)["error"]) == (401, True)


async def test_a_wrong_setting_ends_the_start_and_is_told(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="OPERATOR_UNAUTHENTICATED is 'maybe'; set it to true or false"):
        ServerProcess(tmp_path, OPERATOR_UNAUTHENTICATED="maybe").__enter__()
