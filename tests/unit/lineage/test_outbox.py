"""How events get to a receiver that is down, slow, strict or locked, and what is lost on the way."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from prometheus_client import REGISTRY

from modelward.lineage import outbox as sending
from modelward.lineage.events import Event, of_model
from modelward.lineage.outbox import TRIES, Outbox
from modelward.lineage.outbox import Receiver as Where
from modelward.net.body import open_session
from openlineage import Receiver

SOON = 0.001
"""Seconds before a second attempt, of these tests."""


def rollout(name: str = "fraud", namespace: str = "ml") -> list[Event]:
    """Beginning and end."""
    metadata = {"namespace": namespace, "name": name, "uid": f"uid-{namespace}-{name}"}
    told = {
        "revision": f"{name}-b", "attempt": 1, "uri": "s3://m/7", "phase": "Promoted", "message": "it is stable",
        "startedAt": "2026-01-01T00:00:00Z", "endedAt": "2026-01-01T01:00:00Z",
    }  # fmt: skip
    body = {"metadata": metadata, "spec": {"model": {"uri": "s3://m/7"}}, "status": {"rollout": told}}
    return list(of_model(body, "prod", first=False) or ())


@asynccontextmanager
async def sender(url: str, key_file: Path | None = None, most: int = 1 << 20) -> AsyncIterator[Outbox]:
    async with open_session() as session, Outbox(session, Where(url, key_file), most, SOON) as box:
        yield box


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("modelward_lineage_events_total", {"result": result}) or 0.0


def answers(times: int, status: int, **headers: str) -> Callable[[Any], web.Response | None]:
    """That often, before events are taken."""
    left = [times]

    def answer(_: Any) -> web.Response | None:
        left[0] -= 1
        return web.Response(status=status, headers=headers) if left[0] >= 0 else None

    return answer


async def test_events_arrive_in_their_order_and_the_official_schemas_take_them() -> None:
    async with Receiver() as lineage, sender(lineage.url) as box:
        for name in ("a", "b", "c"):
            box.put("ml", rollout(name))
        await until(lambda: box.waiting == 0)
        assert [(each["job"]["name"], each["eventType"]) for each in lineage.events] == [
            (f"ml/{name}", kind) for name in ("a", "b", "c") for kind in ("START", "COMPLETE")
        ]
        assert lineage.problems == []
        assert "Authorization" not in lineage.headers


@pytest.mark.parametrize("status", [401, 403, 404, 408, 429, 500, 502, 503, 302])
async def test_what_passes_is_tried_again_and_nothing_is_lost(status: int) -> None:
    before = counted("lost")
    async with Receiver(instead=answers(3, status)) as lineage, sender(lineage.url) as box:
        box.put("ml", rollout())
        await until(lambda: box.waiting == 0)
        assert (lineage.types(), lineage.asked) == (["START", "COMPLETE"], 5)
    assert counted("lost") == before


async def test_a_receiver_that_comes_up_later_gets_everything(caplog: pytest.LogCaptureFixture) -> None:
    async with Receiver() as gone:
        url = gone.url
    async with sender(url) as box:
        box.put("ml", rollout())
        box.put("other", rollout(namespace="other"))
        await until(lambda: "can't be reached" in caplog.text)
        async with Receiver(port=gone.port) as lineage:
            await until(lambda: box.waiting == 0)
            assert sorted(lineage.types()) == ["COMPLETE", "COMPLETE", "START", "START"]


@pytest.mark.parametrize("status", [400, 413, 422])
async def test_an_event_that_is_refused_for_itself_is_lost_counted_and_told(
    status: int, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("lost")
    async with Receiver(instead=answers(1, status)) as lineage, sender(lineage.url) as box:
        box.put("ml", rollout())
        await until(lambda: box.waiting == 0)
        assert lineage.types() == ["COMPLETE"]
    assert counted("lost") == before + 1
    assert f"lost the event START of ml/fraud (run {rollout()[0].run})" in caplog.text


async def test_an_event_that_breaks_the_receiver_holds_up_no_other_namespace() -> None:
    def breaks(event: dict[str, Any]) -> web.Response | None:
        return web.Response(status=500) if event["job"]["name"] == "ml/bad" else None

    before = counted("lost")
    async with Receiver(instead=breaks) as lineage, sender(lineage.url) as box:
        box.put("ml", rollout("bad")[:1])
        box.put("other", [event for name in "abcdefgh" for event in rollout(name, "other")])
        await until(lambda: len(lineage.events) == 16)
        # It has been tried as often as there were turns; then it is given up, since others were taken.
        box.put("ml", rollout("good"))
        await until(lambda: box.waiting == 0)
        assert [each["job"]["name"] for each in lineage.events[-2:]] == ["ml/good", "ml/good"]
    assert counted("lost") == before + 1
    assert TRIES > 3


async def test_a_receiver_that_fails_for_all_is_waited_for_however_long() -> None:
    before = counted("lost")
    async with Receiver(instead=answers(3 * TRIES, 500)) as lineage, sender(lineage.url) as box:
        box._retry = 1e-9
        box.put("ml", rollout())
        box.put("other", rollout(namespace="other"))
        await until(lambda: box.waiting == 0)
        assert len(lineage.events) == 4
    assert counted("lost") == before


async def test_memory_is_bounded_and_who_has_most_to_tell_loses_first() -> None:
    before = counted("lost")
    size = len(rollout()[0].body())
    async with Receiver() as gone:
        url = gone.url
    async with sender(url, most=20 * size) as box:
        box.put("quiet", rollout(namespace="quiet"))
        for number in range(100):
            box.put("loud", rollout(f"m{number}", "loud"))
        assert box._size <= 20 * size
        assert len(box._lines["quiet"].waiting) == 2
        assert counted("lost") == before + 202 - box.waiting
        assert box._lines["loud"].waiting[-1].event.document["job"]["name"] == "loud/m99"


async def test_the_key_is_read_anew_for_each_event(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    key = tmp_path / "key"
    async with Receiver() as lineage, sender(lineage.url, key) as box:
        box.put("ml", rollout("a"))
        await until(lambda: "can't be read" in caplog.text)
        assert lineage.asked == 0, "nothing goes without it"
        key.write_text("first\n")
        await until(lambda: box.waiting == 0)
        assert lineage.headers["Authorization"] == "Bearer first"
        key.write_text("second\n")
        box.put("ml", rollout("b"))
        await until(lambda: box.waiting == 0)
        assert lineage.headers["Authorization"] == "Bearer second"


async def test_a_key_that_is_none_is_told_and_never_a_header_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    key = tmp_path / "key"
    key.write_text("a\r\nX-Evil: 1")
    async with Receiver() as lineage, sender(lineage.url, key) as box:
        box.put("ml", rollout())
        await until(lambda: "holds no key" in caplog.text)
        assert (lineage.asked, box.waiting) == (0, 2)


async def test_a_redirect_is_not_followed_and_the_log_has_no_password(caplog: pytest.LogCaptureFixture) -> None:
    async with Receiver(instead=answers(10**6, 307, Location="http://127.0.0.1:1/")) as lineage:
        url = lineage.url.replace("http://", "http://ann:hunter2@")
        async with sender(url) as box:
            box.put("ml", rollout())
            await until(lambda: "HTTP status 307" in caplog.text)
    assert "hunter2" not in caplog.text


async def test_a_long_outage_is_told_less_and_less(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with Receiver(instead=answers(64, 503)) as lineage, sender(lineage.url) as box:
        box._retry = 1e-9
        box.put("ml", rollout()[:1])
        await until(lambda: box.waiting == 0)
    told = [each for each in caplog.records if "HTTP status 503" in each.message]
    assert len(told) == 7


async def test_a_retry_after_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    async with Receiver(instead=answers(1, 429, **{"Retry-After": "17"})) as lineage, sender(lineage.url) as box:
        with monkeypatch.context() as patched:
            patched.setattr(sending.asyncio, "sleep", sleep)
            box.put("ml", rollout())
            async with asyncio.timeout(30):
                while box.waiting:
                    await real(0.005)
    assert 17 <= slept[0] <= 17 * 1.2
