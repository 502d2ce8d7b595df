"""An installation for all namespaces, that no other one disputes."""

import asyncio
from typing import Any


class Everywhere:
    """In the place of a Territory."""

    def enter(self, _scope: Any) -> None: ...

    def wait(self, _namespace: str) -> float:
        return 0.0

    async def first_look(self) -> None: ...

    async def look_for_ever(self) -> None:
        await asyncio.Event().wait()
