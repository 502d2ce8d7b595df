"""Ten pods that start at once: threads, each with a name of its own in the leases of the cache, as pods have one."""

import threading
from collections.abc import Callable
from typing import TypeVar

import pytest

from modelward_inference.fetch.cache import Cache

Result = TypeVar("Result")

PODS = 10


def pods_at_once(start: Callable[[str], Result]) -> list[Result]:
    """What `start` brought each of them, given the pod's name. One that raises has brought nothing."""
    inner = Cache.from_environment
    names = threading.local()
    found: list[Result] = []

    def run(name: str) -> None:
        names.value = name
        found.append(start(name))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            Cache,
            "from_environment",
            lambda *given: Cache(inner(*given).root, owner=names.value),  # type: ignore[union-attr]
        )
        pods = [threading.Thread(target=run, args=(f"pod-{each}",)) for each in range(PODS)]
        for pod in pods:
            pod.start()
        for pod in pods:
            pod.join()
    return found
