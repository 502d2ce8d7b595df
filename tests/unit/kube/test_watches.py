"""The watches' end: at once, whoever wants it, and told where nobody did."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kopf
import pytest

from modelward.kube.discovery import Scope
from modelward.kube.resources import DEPLOYMENTS
from modelward.kube.watches import WatchEndedError, watch
from nodeless.operator_process import collect_what_kopf_leaves

DEADLINE = 30.0


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Nothing says where an API server is, or who asks."""
    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield
    collect_what_kopf_leaves()


async def found(scope: Scope) -> Scope:
    return scope


def watching(stop: asyncio.Event, scope: Scope | None = None) -> "asyncio.Task[None]":
    return asyncio.create_task(watch(lambda *_: None, found(scope or Scope((DEPLOYMENTS,))), stop))


def silent(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """A kopf that finds nothing to do. Set once it works."""
    began = threading.Event()

    async def operator(*, stop_flag: asyncio.Event, **_: Any) -> None:
        began.set()
        await stop_flag.wait()

    monkeypatch.setattr(kopf, "operator", operator)
    return began


async def test_watches_that_end_unasked_end_the_process_at_once() -> None:
    """As where the operator's credentials are no more."""
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(WatchEndedError, match="credentials"):
            await watching(asyncio.Event())


async def test_watches_that_end_without_a_word_are_told_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def operator(**_: Any) -> None:
        """Ends."""

    monkeypatch.setattr(kopf, "operator", operator)
    async with asyncio.timeout(DEADLINE):
        with pytest.raises(WatchEndedError, match="without having been asked to"):
            await watching(asyncio.Event())


async def test_they_end_when_they_are_asked_to(monkeypatch: pytest.MonkeyPatch) -> None:
    began, stop = silent(monkeypatch), asyncio.Event()
    task = watching(stop)
    async with asyncio.timeout(DEADLINE):
        await asyncio.to_thread(began.wait)
        stop.set()
        await task


async def test_so_they_do_before_they_have_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    silent(monkeypatch)
    stop = asyncio.Event()
    stop.set()
    async with asyncio.timeout(DEADLINE):
        await watching(stop)


@pytest.mark.parametrize("begun", [False, True])
async def test_who_is_cancelled_takes_its_thread_along(monkeypatch: pytest.MonkeyPatch, *, begun: bool) -> None:
    """Else the end of the process would wait for it."""
    began = silent(monkeypatch)
    before = set(threading.enumerate())
    task = watching(asyncio.Event())
    async with asyncio.timeout(DEADLINE):
        if begun:
            await asyncio.to_thread(began.wait)
        else:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        # What `asyncio.run` does last.
        await asyncio.get_running_loop().shutdown_default_executor()
    assert set(threading.enumerate()) <= before


async def test_where_nothing_may_be_read_nothing_is_watched(monkeypatch: pytest.MonkeyPatch) -> None:
    began, stop = silent(monkeypatch), asyncio.Event()
    task = watching(stop, Scope((DEPLOYMENTS,), namespaces=()))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(DEADLINE):
        await task
    assert not began.is_set()
