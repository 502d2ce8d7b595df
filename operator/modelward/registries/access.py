"""How registries are reached, by whoever asks or writes: with which login, at what cost, and what a failure is called.

Failure: RegistryError and what `FAILURES` has besides, which `trouble` puts in words; API failures are raised as they
are.
"""

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import aiohttp

from modelward.api.modelregistry import ModelRegistry
from modelward.kube.client import Api
from modelward.models.following import Trouble
from modelward.registries.budgets import Budgets
from modelward.registries.client import Client
from modelward.registries.login import Logins
from modelward.registries.mlflow import MlflowRegistry
from modelward.registries.registry import Login, Registry, RegistryError
from modelward.registries.roles import NOBODY, Lending, Roles
from modelward.registries.sagemaker import SageMakerRegistry
from modelward.registries.sigv4 import Keys

log = logging.getLogger(__name__)

LONGEST_LOOK: Final = 45.0
"""Seconds, of all requests of a look."""

RETRY, BACKOFF_MAX = 10.0, 300.0
"""Seconds between two looks at what fails: at first, doubled each time, and at most, unless the interval is longer."""

LEFT_OUT: Final = 5.0
"""Seconds after which a look that the namespace had no budget for is tried again."""

FAILURES: Final = (RegistryError, TimeoutError, AttributeError, LookupError, TypeError, ValueError)
"""Of a look: a refusal, too long a wait, and answers of another form."""


class Access:
    """`hosts`: that the installation lets be called; `clock`: monotonic seconds; `now`: seconds since the epoch;
    `lending`: for which roles the operator lends its own identity."""

    def __init__(
        self,
        api: Api,
        session: aiohttp.ClientSession,
        hosts: Sequence[str],
        clock: Callable[[], float],
        now: Callable[[], float],
        lending: Lending = NOBODY,
    ) -> None:
        self._session = session
        self._hosts = hosts
        self._now = now
        self.logins = Logins(api, clock)
        self.budgets = Budgets(clock)
        self._roles = Roles(lending, now)

    async def opened(self, registry: ModelRegistry, count: Callable[[int], None]) -> Registry:
        """`count`: see Client. Raises RegistryError, ApiError, ApiUnreachableError."""
        login = await self.logins.of(registry)
        client, own = (Client(self._session, self._hosts, each, count) for each in (login, Login()))
        return opened(registry, login, client, self._now, lambda base: self._roles.keys(registry, base, client, own))

    def trouble(self, registry: ModelRegistry, error: Exception, about: str) -> Trouble:
        """What went wrong, one of FAILURES. `about`: what was asked, for the log."""
        match error:
            case RegistryError():
                # With what it is asked may be what is wrong.
                self.logins.forget(registry.uid)
                self._roles.forget(registry.uid)
                return Trouble(error.reason, str(error), error.answered)
            case TimeoutError():
                return Trouble("TimedOut", f"The registry takes longer than {LONGEST_LOOK:g} s to answer. See its log")
        log.warning("%s: %r", about, error, exc_info=error)
        return Trouble("BadAnswer", "The registry's answer has another form than such a registry's has")


def backoff(failures: int, longest: float = BACKOFF_MAX) -> float:
    """Seconds until another look after so many that failed, one at least."""
    return min(RETRY * 2.0 ** min(failures - 1, 16), longest)


def opened(
    registry: ModelRegistry,
    login: Login,
    client: Client,
    now: Callable[[], float],
    assumed: Callable[[Keys | None], Awaitable[Keys]] | None = None,
) -> Registry:
    """The registry of the kind that its spec names. `assumed`: see SageMakerRegistry. Raises RegistryError where the
    login is of no use."""
    secret = registry.spec.credentials_secret
    name = secret.name if secret else None
    if registry.spec.mlflow is not None:
        return MlflowRegistry(client, registry.spec.mlflow, login, name)
    assert registry.spec.sage_maker is not None
    return SageMakerRegistry(client, registry.spec.sage_maker, login, name, now, assumed)
