"""Where clients knock: open for as long as the server behind the tap takes connections.

A connection that the tap took, and could not pass on, is a request that failed; one that can't be made at all is tried
again by the router, at another pod. So where nobody listens behind, nobody does before, either.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

log = logging.getLogger(__name__)

POLL: Final = 0.2
"""Seconds between two looks at a server that takes no connections."""

SELDOM: Final = 1.0
"""Seconds after which the end of a connection, which means nothing as a rule, is worth a look again."""

Listen = Callable[[], Awaitable[asyncio.AbstractServer]]
Knock = Callable[[], Awaitable[None]]


class Door:
    """`listen`: for clients; `knock`: makes a connection to the server and ends it; raises OSError. `open` it
    first."""

    def __init__(self, listen: Listen, knock: Knock, poll: float = POLL) -> None:
        self._listen, self._knock, self._poll = listen, knock, poll
        self._listener: asyncio.AbstractServer | None = None
        self._looking: asyncio.Task[None] | None = None
        self._looked = 0.0

    async def open(self) -> None:
        """Raises OSError."""
        self._listener = await self._listen()

    def close(self) -> None:
        """For good."""
        if self._looking is not None:
            self._looking.cancel()
        self._shut()

    def refused(self) -> None:
        """The server took no connection."""
        if self._listener is not None and (self._looking is None or self._looking.done()):
            self._looking = asyncio.get_running_loop().create_task(self._look())

    def ended(self) -> None:
        """The server ended a connection: it may be gone altogether."""
        if asyncio.get_running_loop().time() - self._looked >= SELDOM:
            self.refused()

    async def _look(self) -> None:
        self._looked = asyncio.get_running_loop().time()
        if await self._there():
            return
        self._shut()
        log.warning("the server behind takes no connections, and so clients' are not taken, either")
        while True:
            await asyncio.sleep(self._poll)
            if await self._opened():
                log.info("the server behind takes connections again")
                return

    async def _there(self) -> bool:
        """Whether the server takes connections. One that only does not come to it is there."""
        try:
            await self._knock()
        except ConnectionRefusedError:
            return False
        except OSError:
            pass
        return True

    async def _opened(self) -> bool:
        if not await self._there():
            return False
        try:
            await self.open()
        except OSError as error:  # somebody else in the pod has taken the port meanwhile
            log.error("clients' connections can't be taken again: %s", error)
            return False
        return True

    def _shut(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.close()
            self._listener = None
