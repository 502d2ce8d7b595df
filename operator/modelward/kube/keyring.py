"""The operator's keys, in a Secret of its own namespace, which it makes itself and no one else needs.

A new leader reads what the last one made. Failure: where the Secret can be neither read nor written, the keys that are
known go on; without any, pods that have keys are not asked, and models are served all the same.
"""

import asyncio
import base64
import logging
from collections.abc import Callable
from typing import Any, Final

from modelward.api import names
from modelward.kube.client import Api, ApiError, ApiUnreachableError
from modelward.kube.resources import SECRETS
from modelward.net import key_rotation
from modelward.net.key_rotation import Ring
from modelward_auth.keys import KeyPair

log = logging.getLogger(__name__)

NAME: Final = "modelward-operator-keys"
"""Of the Secret; in manifests/base/rbac.yaml, too."""

READ_EVERY: Final = 300.0
"""Seconds; also how long a Secret that was deleted goes on to be used."""

RETRY_EVERY: Final = 15.0
"""Seconds between two attempts where one failed."""

_KEY: Final = "keys.json"


class Keyring:
    """`namespace`: the operator's; `clock`: monotonic seconds; `now`: seconds since the epoch."""

    def __init__(self, api: Api, namespace: str, clock: Callable[[], float], now: Callable[[], float]) -> None:
        self._api = api
        self._namespace = namespace
        self._clock = clock
        self._now = now
        self._ring = Ring()
        self._read_again = float("-inf")
        self._reading = asyncio.Lock()

    def signing(self) -> KeyPair | None:
        """What requests are signed with now; None where the operator has no key."""
        return self._ring.signing(self._now())

    async def public(self) -> tuple[str, ...]:
        """What pods are to know. Reads and writes the Secret where that is due. Raises NotLeaderError."""
        async with self._reading:  # who comes meanwhile waits: a model that rests is not looked at again soon
            if self._clock() < self._read_again:
                return self._ring.public()
            self._read_again = self._clock() + RETRY_EVERY
            try:
                await self._read()
                self._read_again = self._clock() + READ_EVERY
            except (ApiError, ApiUnreachableError) as error:
                log.error("the operator's keys (Secret %s/%s) can't be read or kept: %s", self._namespace, NAME, error)
        return self._ring.public()

    async def _read(self) -> None:
        found = await self._api.get(SECRETS, self._namespace, NAME)
        ring = self._loaded(found)
        due = key_rotation.advanced(ring, self._now(), KeyPair.new)
        if due is not ring:
            try:
                await self._write(due, found)
            except ApiError as error:
                if error.status != 409:
                    raise
                due = self._loaded(await self._api.get(SECRETS, self._namespace, NAME))  # another one was faster
            else:
                log.info("the operator has a new key; %d are known to pods", len(due.held))
        self._ring = due

    def _loaded(self, secret: dict[str, Any] | None) -> Ring:
        if secret is None:
            return Ring()
        try:
            return key_rotation.load(base64.b64decode((secret.get("data") or {})[_KEY]).decode(), self._ring.held)
        except (ValueError, KeyError) as error:
            log.error("Secret %s/%s has no keys that can be read, and gets new ones: %s", self._namespace, NAME, error)
            return Ring()

    async def _write(self, ring: Ring, before: dict[str, Any] | None) -> None:
        metadata = {
            "name": NAME, "namespace": self._namespace,
            "labels": {names.LABEL_NAME: "modelward-operator", names.LABEL_PART_OF: "modelward"},
        }  # fmt: skip
        data = {_KEY: base64.b64encode(key_rotation.dump(ring).encode()).decode()}
        secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}
        if before is None:
            await self._api.create(SECRETS, self._namespace, secret)
        else:
            await self._api.replace(SECRETS, {**before, "data": data})
