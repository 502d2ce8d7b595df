"""What all triggers of pipelines have in common: how their failures become outcomes, by whom a model is told, and how
long to look before one starts what may have been started.

A pipeline is started under the run's name or key. Where the system itself refuses a second one (Airflow, Prefect), the
start may be repeated at any time. Where it does not (GitHub Actions, Jenkins, Kubeflow), it is started only after
it has been looked for, and not found, for longer than a request of anybody's may be under way.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol, TypeVar

from modelward.api.driftpolicy import Retrain
from modelward.api.triggers import BY_REGISTRY, Pipeline
from modelward.net.untrusted import decoded
from modelward.retraining.lifecycle.report import EXAMPLE, ReportError, parse_report
from modelward.retraining.lifecycle.run import BROKE, SUCCEEDED, WAITS, WORKING, Outcome, Report
from modelward.retraining.triggers.logins import Logins
from modelward.retraining.triggers.outgoing import NeverError, NotNowError, Outgoing
from modelward.retraining.triggers.trigger import Order

SETTLE: Final = 15.0
"""Seconds that a system without keys is looked at before something is started there: longer than a request (10 s), so
that the one of an operator that has just died has come out, whether its answer did or not."""

LONGEST: Final = 48_000
"""Characters of a briefing: GitHub takes 65535 for all inputs, and names of features are in every alphabet."""

KEPT: Final = 1000
"""Runs that are remembered."""

Asked = TypeVar("Asked", bound=Pipeline)

_GONE = frozenset({404, 410})


class TellsModel(Protocol):
    """Which model a run made, by what the registry has."""

    async def report(self, order: Order) -> Report:
        """Raises NotNowError, NeverError, ReportError."""
        ...


class PipelineTrigger(ABC):
    """`registry`: asked where spec says that it tells of the model."""

    def __init__(self, registry: TellsModel) -> None:
        self._registry = registry

    async def start(self, order: Order) -> Outcome:
        if order.target is None:
            return Outcome(BROKE, "The ModelDeployment is gone")
        try:
            return await self._start(order)
        except NotNowError as error:
            return Outcome(WAITS, str(error), delay=error.reason, stuck=error.stuck)
        except NeverError as error:
            return Outcome(BROKE, str(error))

    async def poll(self, order: Order) -> Outcome:
        try:
            return await self._poll(order)
        except NotNowError as error:
            return Outcome(WORKING, str(error), delay=error.reason, stuck=error.stuck)
        except NeverError as error:
            if error.status in _GONE:
                return Outcome(BROKE, f"{order.run.name} is gone there: somebody deleted it, or moved it. {error}")
            return Outcome(BROKE, str(error))

    async def cancel(self, order: Order) -> Outcome:
        try:
            await self._cancel(order)
        except NotNowError as error:
            return Outcome(WAITS, str(error))
        except NeverError as error:
            return Outcome(SUCCEEDED) if error.status in _GONE else Outcome(BROKE, str(error))
        return Outcome(SUCCEEDED)

    @abstractmethod
    async def _start(self, order: Order) -> Outcome:
        """Raises NotNowError, NeverError, ApiError, ApiUnreachableError, as all three do."""

    @abstractmethod
    async def _poll(self, order: Order) -> Outcome: ...

    @abstractmethod
    async def _cancel(self, order: Order) -> None:
        """Return when there is nothing to stop any more, or the system has been told to."""

    async def _succeeded(self, order: Order, source: str, told: Callable[[], Awaitable[Any]]) -> Outcome:
        """The end of a run that ended well. `told`: what it says itself."""
        try:
            if source == BY_REGISTRY:
                return Outcome(SUCCEEDED, report=await self._registry.report(order))
            return Outcome(SUCCEEDED, report=read(await told()))
        except ReportError as error:
            return Outcome(BROKE, f"{order.run.name} ended well, but {error}")


def still_asked(order: Order, read: Callable[[Retrain], Asked | None], field: str) -> Asked:
    """What `read` finds in spec.retrain, of which `field` is the name. Raises NeverError where it is not there."""
    retrain = order.policy.spec.retrain
    found = None if retrain is None else read(retrain)
    if found is None:
        raise NeverError(f"{field} was taken away while the run was under way")
    return found


class Looking:
    """Since when runs have been looked for that nobody refuses a second start of. `now`: seconds since the epoch."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since: dict[str, float] = {}

    def long_enough(self, key: str) -> bool:
        """Whether nothing that was sent before can still come out."""
        since = self._since.setdefault(key, self._now())
        while len(self._since) > KEPT:
            del self._since[next(iter(self._since))]
        return not 0 <= self._now() - since < SETTLE

    def again(self, key: str) -> None:
        """Something is sent now."""
        self._since[key] = self._now()


class LookedForTrigger(PipelineTrigger):
    """Of a system that takes a second start for another run: it is looked for first. `now`: seconds since the epoch."""

    def __init__(self, outgoing: Outgoing, logins: Logins, registry: TellsModel, now: Callable[[], float]) -> None:
        super().__init__(registry)
        self._outgoing = outgoing
        self._logins = logins
        self._looking = Looking(now)


def in_text(told: Mapping[str, Any]) -> str:
    """A briefing as JSON for a system that takes it as a text: without the evidence where that makes it too long.

    Names of features are whoever's that made the model. `{{` begins an expression for Argo, also in what it is given;
    in JSON it stands in texts alone, where it may be written otherwise.
    """
    text = _plain(told)
    return text if len(text) <= LONGEST else _plain({**told, "evidence": {"leftOut": True}})


def _plain(told: Mapping[str, Any]) -> str:
    return json.dumps(told, sort_keys=True).replace("{{", "\\u007b\\u007b")


def read(value: Any) -> Report:
    """What a pipeline tells: a JSON object, or one in a text. Raises ReportError."""
    try:
        for _ in range(2):
            value = decoded(value) if isinstance(value, str) else value
    except ValueError:
        raise ReportError(f"what it tells is no JSON; write such as {EXAMPLE}") from None
    return parse_report(value)
