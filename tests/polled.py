"""What a reconcile is told by those that are asked beside it."""

import contextlib
from collections.abc import Callable
from typing import TypeVar

from modelward.kube.poller import PendingError, Poller

T = TypeVar("T")


async def told(poller: Poller, look: Callable[[], T]) -> T:
    """Of `look`, once those have answered whom an earlier look had asked."""
    with contextlib.suppress(PendingError):
        look()
    await poller.idle()
    return look()
