"""Leader election by a Lease, with a fence.

The holder of the Lease writes; everyone else only watches. The fence is a deadline on this machine's monotonic clock: a
leader that could not renew in time stops writing before anyone else may begin, even if it is cut off from the API
server or was suspended. Optimistic locking by resourceVersion makes the API server the judge of a race.

kubernetes.aio has an election, too: it has no fence, ends with an exception when a connection breaks, and does not
release on shutdown.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from modelward import telemetry
from modelward.kube.client import Api, ApiError, ApiUnreachableError
from modelward.kube.resources import LEASES

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaseSettings:
    """Seconds. `duration`: how long a lease holds without renewal; `renew_every`: how often it is renewed.

    The leader stops `margin` before others may take over: longer than any write can still be under way.
    """

    namespace: str
    name: str = "modelward-operator"
    duration: float = 20.0
    renew_every: float = 3.0
    margin: float = 8.0


class Lease:
    """One candidate's view of the Lease. `identity`: unique to the process. `clock`: monotonic seconds."""

    def __init__(self, api: Api, settings: LeaseSettings, identity: str, clock: Callable[[], float]) -> None:
        self._api = api
        self._settings = settings
        self._identity = identity
        self._clock = clock
        self._writes_until = float("-inf")
        self._has_held = False
        self._seen: tuple[str, float] = ("", float("-inf"))

    def is_held(self) -> bool:
        """Whether this process may write now. To be asked from any thread: it compares two numbers."""
        return self._clock() < self._writes_until

    async def acquire(self) -> None:
        """Return once the lease is ours."""
        while not await self._try():  # noqa: ASYNC110  there is nothing to be woken by but the clock
            await asyncio.sleep(self._settings.renew_every)
        telemetry.LEADER.set(1)
        log.info("holding the lease as %s", self._identity)

    async def keep(self) -> None:
        """Renew until the lease is lost; then return. Nothing is written from that moment on."""
        while self.is_held():
            await asyncio.sleep(self._settings.renew_every)
            try:
                async with asyncio.timeout(max(0.1, self._writes_until - self._clock())):
                    await self._try()
            except TimeoutError:
                break
        telemetry.LEADER.set(0)
        log.error("the lease is lost; another operator may write now")

    async def release(self) -> None:
        """Let go at a regular end, so that the next leader need not wait for the lease to run out."""
        if not self.is_held():
            return
        self._writes_until = float("-inf")
        telemetry.LEADER.set(0)
        try:
            current = await self._api.get(LEASES, self._settings.namespace, self._settings.name)
            if current and current["spec"].get("holderIdentity") == self._identity:
                current["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                await self._replace(current)
        except (ApiError, ApiUnreachableError) as error:
            log.warning("the lease could not be released, the next leader has to wait for its end: %s", error)

    async def _try(self) -> bool:
        """Take or renew the lease once."""
        asked_at = self._clock()
        try:
            current = await self._api.get(LEASES, self._settings.namespace, self._settings.name)
            if current is None:
                body = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": self._metadata()}
                await self._api.request(
                    "POST", LEASES, LEASES.path(self._settings.namespace), body={**body, "spec": self._spec({})}
                )
            elif self._may_take(current):
                await self._replace({**current, "spec": self._spec(current["spec"])})
            else:
                return False
        except ApiError as error:
            # 409: somebody else was faster. Anything else (no right to leases, say) is worth telling.
            log.log(logging.INFO if error.status == 409 else logging.ERROR, "the lease could not be taken: %s", error)
            return False
        except ApiUnreachableError as error:
            log.warning("the lease could not be taken: %s", error)
            return False
        # Counted from before the request: others count from when the server stored it, which is later.
        self._has_held = True
        self._writes_until = asked_at + self._settings.duration - self._settings.margin
        return True

    def _may_take(self, current: dict[str, Any]) -> bool:
        """Ours, free, or not renewed for its whole duration as seen by our own clock (clocks of machines differ).

        One with our name that this process has not taken is that of the container before: a write of it may still be
        under way.
        """
        spec = current["spec"]
        ours = spec.get("holderIdentity") == self._identity
        if spec.get("holderIdentity") in ("", None) or (ours and self._has_held):
            return True
        version = current["metadata"]["resourceVersion"]
        if version != self._seen[0]:
            self._seen = (version, self._clock())
        duration = float(spec.get("leaseDurationSeconds") or self._settings.duration)
        return self._clock() >= self._seen[1] + (self._settings.margin if ours else duration)

    async def _replace(self, body: dict[str, Any]) -> None:
        path = LEASES.path(self._settings.namespace, self._settings.name)
        await self._api.request("PUT", LEASES, path, body=body)

    def _metadata(self) -> dict[str, str]:
        return {"name": self._settings.name, "namespace": self._settings.namespace}

    def _spec(self, old: dict[str, Any]) -> dict[str, Any]:
        now = _now()
        ours = old.get("holderIdentity") == self._identity
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": int(self._settings.duration),
            "acquireTime": old.get("acquireTime", now) if ours else now,
            "renewTime": now,
            "leaseTransitions": int(old.get("leaseTransitions") or 0) + (0 if ours or not old else 1),
        }


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
