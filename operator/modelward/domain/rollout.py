"""Which revision gets the traffic, which are kept, which go.

The order that loses no request: the candidate's pods come up; the router learns the candidate's address without
sending it anything; the candidate answers through every router pod; the traffic moves; every router pod follows;
only then does the old revision go. Each step looks at facts alone, so it may be repeated after a crash anywhere.
"""

from dataclasses import dataclass

from modelward.domain.facts import Observed, RouteTable


@dataclass(frozen=True)
class Decision:
    """What should be. `replicas`: by revision that is kept; `remove`: revisions whose objects go now."""

    routes: RouteTable
    replicas: dict[str, int]
    remove: tuple[str, ...] = ()


def decide(observed: Observed) -> Decision:
    """The next step towards serving `observed.target` and nothing else."""
    stable = _stable(observed)
    attached, remove = _others(observed, stable)
    replicas = {observed.target: observed.replicas}
    if stable != observed.target:
        # The stable carries the load until the candidate does: it may grow, but must not shrink before.
        replicas[stable] = max(observed.replicas, observed.revisions[stable].workload.desired)
    return Decision(RouteTable(stable, attached), replicas, remove)


def _stable(observed: Observed) -> str:
    current = observed.router.routes.stable if observed.router.routes else observed.last_stable
    if current is None or current not in observed.revisions:
        # The first rollout, or somebody removed the stable revision: there is nothing to lose.
        return observed.target
    if current != observed.target and ready_for_traffic(observed):
        return observed.target
    return current


def ready_for_traffic(observed: Observed) -> bool:
    """Whether the target is complete and answers through every router pod under the newest configuration."""
    target = observed.revisions.get(observed.target)
    router = observed.router
    return (
        target is not None
        and target.workload.complete
        and router.routes is not None
        and observed.target in router.routes.revisions
        and router.follows(router.version)
        and router.reaches(observed.target)
    )


def _others(observed: Observed, stable: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The revisions that stay attached, and those to remove, both in a fixed order."""
    router = observed.router
    # Even a router pod that is not ready yet may hold an older configuration and start to serve with it.
    settled = (
        router.routes is not None
        and router.routes.stable == stable
        and router.follows(router.version)
        and all(pod.config_version == router.version for pod in router.pods)
    )
    leftover = sorted(name for name in observed.revisions if name not in (stable, observed.target))
    candidate = () if stable == observed.target else (observed.target,)
    if settled:
        return candidate, tuple(leftover)
    return tuple(sorted((*candidate, *leftover))), ()
