"""Takes webhooks of registries: all that one does is that its registry is asked now, and not at its next poll.

Nothing of its body is believed or read beyond the signature. A body, the secrets that are read and how often a registry
is asked are bounded, whoever sends. Failure: an answer that says why; the registry is polled all the same.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from math import ceil
from typing import Final, Protocol

from aiohttp import web

from modelward import telemetry
from modelward.api import modelregistry
from modelward.api.invalid import InvalidObjectError
from modelward.api.modelregistry import ModelRegistry
from modelward.kube.cache import Cache, Key
from modelward.kube.client import ApiError, ApiUnreachableError
from modelward.kube.resources import MODEL_REGISTRIES
from modelward.net.listening import listen
from modelward.registries.registry import RegistryError
from modelward.registries.webhook import refusal

log = logging.getLogger(__name__)

PATH: Final = "/v1/registries/{namespace}/{name}"

MAX_BODY: Final = 256 << 10
"""Bytes. MLflow's own are some hundred."""

EVERY: Final = 10.0
"""Seconds between two that are obeyed: a poll that is asked for anew begins anew. Those in between are told to come
again, which MLflow does."""

KEPT: Final = 30.0
"""Seconds that a secret is remembered, also that there is none: whoever sends makes the API server no work."""

REMEMBERED: Final = 4096
"""Registries."""


class Secrets(Protocol):
    async def entry(self, namespace: str, name: str, key: str, field: str) -> str:
        """Raises RegistryError, ApiError, ApiUnreachableError."""
        ...


@dataclass(frozen=True)
class _Known:
    about: tuple[str, str]
    secret: str | None
    until: float


class Webhooks:
    """`poke`: has a registry asked now; `is_leader`: whether this operator asks registries; `clock`: monotonic seconds;
    `now`: seconds since the epoch."""

    def __init__(
        self,
        cache: Cache,
        secrets: Secrets,
        poke: Callable[[Key], None],
        is_leader: Callable[[], bool],
        clock: Callable[[], float],
        now: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._secrets = secrets
        self._poke = poke
        self._is_leader = is_leader
        self._clock = clock
        self._now = now
        self._known: dict[str, _Known] = {}
        self._obeyed: dict[str, float] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """POST to PATH."""
        status, said, wait = await self._answer(request)
        telemetry.REGISTRY_WEBHOOKS.labels("ok" if status == 202 else "refused").inc()
        headers = {} if wait is None else {"Retry-After": str(ceil(wait))}
        if status == 503:
            # The next try may reach the operator that works.
            headers["Connection"] = "close"
        return web.json_response({"message": said}, status=status, headers=headers)

    async def _answer(self, request: web.Request) -> tuple[int, str, float | None]:
        """The status, what is to be said, and seconds until another try."""
        if not self._is_leader():
            return 503, "another operator works now; try again", 1.0
        registry = self._registry(request.match_info["namespace"], request.match_info["name"])
        # Nobody learns from the answer which registries there are.
        unknown = 404, "there is no ModelRegistry here with spec.mlflow.webhookSecret", None
        if registry is None:
            return unknown
        secret = await self._secret(registry)
        if secret is None:
            return unknown
        why = refusal(secret, request.headers, await request.read(), self._now())
        if why is not None:
            log.info("a webhook of %s/%s is not obeyed: %s", registry.namespace, registry.name, why)
            return 401, why, None
        left = self._obeyed.get(registry.uid, float("-inf")) + EVERY - self._clock()
        if left > 0:
            return 429, f"the registry was asked less than {EVERY:g} s ago", left
        if len(self._obeyed) >= REMEMBERED:
            self._obeyed.clear()
        self._obeyed[registry.uid] = self._clock()
        self._poke(Key(registry.namespace, registry.name, MODEL_REGISTRIES.kind))
        return 202, "the registry is asked now", None

    def _registry(self, namespace: str, name: str) -> ModelRegistry | None:
        body = self._cache.get(MODEL_REGISTRIES, namespace, name)
        try:
            registry = None if body is None else modelregistry.parse(body)
        except InvalidObjectError:
            return None
        if registry is None or registry.deleting or registry.spec.mlflow is None:
            return None
        return registry if registry.spec.mlflow.webhook_secret is not None else None

    async def _secret(self, registry: ModelRegistry) -> str | None:
        assert registry.spec.mlflow is not None
        named = registry.spec.mlflow.webhook_secret
        assert named is not None
        about = (named.name, named.key)
        known = self._known.get(registry.uid)
        if known is not None and known.about == about and self._clock() < known.until:
            return known.secret
        secret = None
        try:
            secret = await self._secrets.entry(registry.namespace, *about, "spec.mlflow.webhookSecret")
        except (ApiError, ApiUnreachableError, RegistryError) as error:
            log.warning("webhooks of %s/%s can't be obeyed: %s", registry.namespace, registry.name, error)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[registry.uid] = _Known(about, secret, self._clock() + KEPT)
        return secret


async def serve(port: int, handle: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> web.AppRunner:
    """On a port of its own, which other namespaces may reach than those that scrape. Call `cleanup()` at the end."""
    application = web.Application(client_max_size=MAX_BODY)
    application.router.add_post(PATH, handle)
    return await listen(application, port)
