"""`python -m benchmarks.registries`: requests a minute to an MLflow server, by how many ModelDeployments follow it.

The operator's own reconciler of ModelRegistries, poller and client, against a server that answers as MLflow was
recorded to, over HTTP; the API server is memory, and the clock is turned by hand, so that minutes take seconds. Only
the jitter of the polls is chance. The table goes to stdout.
"""

import asyncio
import copy
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from benchmarks.markdown import markdown
from modelward.kube.cache import Cache, Key
from modelward.kube.poller import Poller
from modelward.kube.resources import MODEL_DEPLOYMENTS, MODEL_REGISTRIES, Resource
from modelward.net.guarded import open_guarded_session
from modelward.reconcilers.modelregistry.reconcile import RegistryReconciler
from modelward.registries.access import Access
from modelward.registries.following import Registries
from recorded_mlflow import Recorded

HERE: Final = ("127.0.0.1",)
SETTLED, WATCHED = 5.0, 10.0
"""Minutes until polls are spread, and that are counted after that."""

START: Final = 1.8e9
"""Seconds since the epoch."""


@dataclass(frozen=True)
class Fleet:
    """`deployments` of `models` by their alias, spread evenly over `namespaces`, each with a ModelRegistry."""

    deployments: int
    models: int
    namespaces: int = 1

    def bodies(self) -> Iterator[dict[str, Any]]:
        for number in range(self.deployments):
            name, namespace = f"model-{number}", f"team-{number % self.namespaces}"
            uri = f"models:/m{number // self.namespaces % self.models}@champion"
            metadata = {"name": name, "namespace": namespace, "uid": name, "resourceVersion": "1"}
            yield {"metadata": metadata, "spec": {"model": {"uri": uri}}}


@dataclass(frozen=True)
class Counted:
    """`first`: requests of the first minute, in which every version is new; `minute`: of each minute after that, on
    average; `moved`: what moving the alias of every model costs besides; `busy`: processor seconds of each minute, of
    operator and server together."""

    first: int
    minute: float
    moved: int
    busy: float


class _Api:
    """The API server: it takes each status as it is given."""

    def __init__(self, cache: Cache) -> None:
        self._cache, self._version = cache, 1

    async def apply(self, resource: Resource, manifest: Mapping[str, Any], _subresource: str) -> dict[str, Any]:
        metadata = manifest["metadata"]
        body = copy.deepcopy(dict(self._cache.get(resource, metadata["namespace"], metadata["name"]) or {}))
        self._version += 1
        body["status"], body["metadata"]["resourceVersion"] = manifest["status"], str(self._version)
        return body


class Followed:
    """A fleet that is followed in one server. `now`: seconds since it began; `reconciles`: of its ModelRegistries."""

    def __init__(self, fleet: Fleet, mlflow: Recorded, session: Any, interval: str = "60s") -> None:
        self.now, self.reconciles = 0.0, 0
        self._mlflow = mlflow
        cache = Cache()
        spec = {"mlflow": {"url": mlflow.url}, "pollInterval": interval}
        namespaces = [f"team-{number}" for number in range(fleet.namespaces)]
        for each in namespaces:
            metadata = {"name": "mlflow", "namespace": each, "uid": each, "resourceVersion": "1", "generation": 1}
            cache.upsert(MODEL_REGISTRIES, {"metadata": metadata, "spec": spec})
        for body in fleet.bodies():
            cache.upsert(MODEL_DEPLOYMENTS, body)
        self._due = {Key(each, "mlflow", MODEL_REGISTRIES.kind): 0.0 for each in namespaces}
        clocks = (lambda: self.now, lambda: START + self.now)
        self._poller = Poller(self._wake, clocks[0])
        api: Any = _Api(cache)
        registries = Registries(Access(api, session, HERE, *clocks), self._poller, *clocks)
        self._reconciler = RegistryReconciler(api, cache, registries, lambda: datetime.fromtimestamp(clocks[1](), UTC))

    def _wake(self, key: Key) -> None:
        self._due[key] = self.now

    async def until(self, minutes: float) -> int:
        """Let time go by until then. Returns the requests that were sent meanwhile."""
        asked = len(self._mlflow.asked)
        while (soonest := min(self._due.values())) < 60 * minutes:
            self.now = max(self.now, soonest)
            for key in [key for key, at in self._due.items() if at <= self.now]:
                self._due[key] = float("inf")
                self.reconciles += 1
                again_in = (await self._reconciler.reconcile(key)).again_in
                await self._poller.idle()  # whoever has an answer is due again, and looks at it now
                if again_in is not None:
                    self._due[key] = min(self._due[key], self.now + again_in)
        self.now = 60 * minutes
        return len(self._mlflow.asked) - asked


async def counted(fleet: Fleet, minutes: float = WATCHED, interval: str = "60s") -> Counted:
    models = {f"m{number}" for number in range(fleet.models)}
    async with Recorded(models=models) as mlflow, open_guarded_session(HERE) as session:
        followed = Followed(fleet, mlflow, session, interval)
        first = await followed.until(1.0)
        await followed.until(SETTLED)
        began = time.process_time()
        usual = await followed.until(SETTLED + minutes) / minutes
        busy = (time.process_time() - began) / minutes
        mlflow.aliases["champion"] = "2"
        moved = await followed.until(SETTLED + minutes + 2.0)
    return Counted(first, usual, round(moved - 2 * usual), busy)


FLEETS: Final = (Fleet(20, 20), Fleet(500, 20), Fleet(500, 20, namespaces=5), Fleet(500, 500))


async def main() -> None:
    header = (
        "ModelDeployments",
        "models",
        "namespaces",
        "first minute",
        "a minute then",
        "all aliases move, besides",
        "CPU s a minute",
    )
    rows = []
    for fleet in FLEETS:
        found = await counted(fleet)
        sizes = (fleet.deployments, fleet.models, fleet.namespaces)
        rows.append((*map(str, sizes), str(found.first), f"{found.minute:.1f}", str(found.moved), f"{found.busy:.2f}"))
    print(markdown(header, rows, names=0))


if __name__ == "__main__":
    asyncio.run(main())
