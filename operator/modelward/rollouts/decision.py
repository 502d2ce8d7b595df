"""Which revision gets which traffic, which are kept, which go.

The order that loses no request: the candidate's pods come up; the router learns the candidate's address without
sending it anything; the candidate answers through every router pod; the traffic moves, step by step; every router pod
follows; only then does the old revision go. Each decision looks at facts alone, so it may be repeated after a crash
anywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from modelward.api.rollout import SHADOW
from modelward.api.traffic import CANDIDATE
from modelward.facts import PAUSED, PROMOTED, Arm, Clock, Match, ModelFacts, Observed, Progress, Promotion, RouteTable
from modelward.rollouts import trial
from modelward.rollouts.history import kept, last_promoted, promotion_of
from modelward.rollouts.trial import Trial
from modelward.rollouts.variants import arms_of_variants

STABLE_GONE = "the one before it is gone"
"""Why a revision was promoted that was not measured to its end."""


@dataclass(frozen=True)
class Decision:
    """What should be.

    `replicas`: by revision that is kept; `remove`: revisions whose objects go now; `progress`: of the rollout, None
    where there never was one; `promotion`: the record of the stable, None to leave it as it is; `history`: earlier ones
    that keep running, the latest first; `step_since`, `waiting_since`: of the candidate, seconds since the epoch;
    `again_in`: seconds until time alone changes something.
    """

    routes: RouteTable
    replicas: dict[str, int]
    remove: tuple[str, ...] = ()
    progress: Progress | None = None
    promotion: Promotion | None = None
    history: tuple[str, ...] = ()
    step_since: float | None = None
    waiting_since: float | None = None
    again_in: float | None = None


def decide(observed: Observed, cause: str | None = None) -> Decision:
    """The next step towards serving what spec asks for. `cause`: why the target's pods do not come up."""
    arms = tuple(arms_of_variants(observed))
    stable = stable_of(observed)
    if stable == observed.target:
        return _around(observed, stable, _ended(observed.progress, stable), None, arms)
    begun = trial.begin(observed)
    progress = trial.commanded(begun, observed.command, observed)
    if progress.attempt != begun.attempt:
        observed = replace(observed, clock=Clock(observed.clock.now), judgement=None)
    tried = trial.advance(progress, observed, 100 - sum(arm.weight for arm in arms), cause)
    if tried.promote:
        promoted = replace(tried.progress, phase=PROMOTED, message=_promoted(tried.progress))
        return _around(observed, observed.target, promoted, None, arms)
    return _around(observed, stable, tried.progress, tried, arms)


def stable_of(observed: Observed) -> str:
    """The revision that has the traffic; the target where there is none to lose.

    A target that was rejected, or that waits for a person, never takes the place of one that is gone; nor does an
    earlier revision of the same model, which was made by another version of the operator.
    """
    routes, barred = observed.router.routes, _barred(observed)
    named = (routes.stable if routes else None, observed.last_stable, last_promoted(observed, _barred_model(observed)))
    known = [name for name in named if name is not None and name != barred]
    there = next((name for name in known if name in observed.revisions), None)
    if there is None and known and barred == observed.target:
        return known[0]
    return observed.target if there is None else there


def _barred(observed: Observed) -> str | None:
    """The revision that a gate or a person decided about: it is not to get more than it has until somebody asks."""
    progress, routes = observed.progress, observed.router.routes
    if progress is None or not (progress.rejected or progress.phase == PAUSED):
        return None
    return None if routes is not None and routes.stable == progress.revision else progress.revision


def _barred_model(observed: Observed) -> ModelFacts | None:
    """The model of the revision that is barred."""
    barred = _barred(observed)
    if barred is None or barred == observed.target:
        return None if barred is None else observed.target_model
    return observed.revisions[barred].model if barred in observed.revisions else None


def _promoted(progress: Progress) -> str:
    why = {"PromotedByHand": ", by hand", "WasStable": " again", "StepPassed": ": it passed every step"}
    return f"{progress.revision} is the stable revision now{why.get(progress.reason, '')}"


def _ended(progress: Progress | None, stable: str) -> Progress | None:
    """What stays of the last rollout; nothing of one that ended because spec went back to the stable's."""
    if progress is None or progress.revision != stable:
        return None
    if progress.phase == PROMOTED:
        return progress
    # Somebody took away the revision that it should have been measured against.
    message = f"{stable} is the stable revision now: {STABLE_GONE}"
    return replace(progress, phase=PROMOTED, reason="StableGone", message=message)


def _around(
    observed: Observed, stable: str, progress: Progress | None, tried: Trial | None, variant_arms: tuple[Arm, ...]
) -> Decision:
    """The whole decision around what was decided about the candidate (`tried`: None where there is none)."""
    candidate = observed.target if tried is not None and not tried.progress.rejected else None
    arms = ((tried.arm,) if tried is not None and tried.arm is not None and candidate else ()) + variant_arms
    wanted = dict.fromkeys(
        [stable, *([candidate] if candidate else ()), *(each.revision for each in observed.variants)]
    )
    serving = {*wanted, *(arm.revision for arm in arms)}
    earlier, kept_for = kept(observed, stable)
    history = tuple(name for name in earlier if name not in serving)
    leftover = tuple(sorted(name for name in observed.revisions if name not in serving and name not in history))
    routes = RouteTable(stable, arms, matches=_matches(observed, arms))
    unrouted = {name for name in wanted if name not in routes.revisions}
    gone = leftover if _may_go(observed, routes, leftover) else ()
    attached = tuple(sorted(unrouted | set(history) | (set(leftover) - set(gone))))
    times = [time for time in (tried.again_in if tried else None, kept_for) if time is not None]
    replicas = _replicas(observed, stable, tried if candidate else None)
    return Decision(
        routes=_with_runtimes(_with_versions(replace(routes, attached=attached), observed), observed),
        replicas=replicas | dict.fromkeys(history, observed.replicas),
        remove=gone,
        progress=replace(progress, intent=observed.intent) if progress else None,
        promotion=promotion_of(observed, stable) if stable in replicas and _is_stored(observed, stable) else None,
        history=history,
        step_since=tried.step_since if tried else None,
        waiting_since=tried.waiting_since if tried else None,
        again_in=min(times, default=None),
    )


def _with_versions(routes: RouteTable, observed: Observed) -> RouteTable:
    """A revision's version never changes: who names another one in spec asks for another revision."""
    known = {observed.target: observed.target_model} | {each.revision: each.model for each in observed.variants}
    known |= {name: facts.model for name, facts in observed.revisions.items()}
    found = ((name, known[name].version) for name in routes.revisions if name in known)
    return replace(routes, versions=tuple((name, version) for name, version in found if version))


def _with_runtimes(routes: RouteTable, observed: Observed) -> RouteTable:
    """Of revisions that are there: how another server is spoken to stands in the template of its pods."""
    found = ((name, observed.runtime_of(name)) for name in routes.revisions)
    return replace(routes, runtimes=tuple((name, runtime) for name, runtime in found if runtime is not None))


def _replicas(observed: Observed, stable: str, tried: Trial | None) -> dict[str, int]:
    replicas, facts = {stable: observed.replicas}, observed.revisions.get(stable)
    if facts is None and stable != observed.target:
        # Gone, and nothing tells what it was.
        replicas = {}
    if tried is not None:
        replicas[observed.target] = tried.replicas
        if facts is not None:
            # The stable carries the load until the candidate does: it may grow, but must not shrink before.
            replicas[stable] = max(observed.replicas, facts.workload.desired)
    return replicas | {variant.revision: variant.replicas for variant in observed.variants}


def _is_stored(observed: Observed, stable: str) -> bool:
    """Whether the promotion of `stable` may be recorded: a record must not outlive one that did not come about."""
    return observed.router.routes is None or observed.router.routes.stable == stable


def _may_go(observed: Observed, routes: RouteTable, leftover: Iterable[str]) -> bool:
    """Whether nobody can send anything to `leftover` any more.

    Even a router pod that is not ready yet may hold an older configuration and start to serve with it; and a router of
    the kind that spec asked for before has one until it is gone.
    """
    current = observed.router.routes
    if current is None or not observed.router.settled:
        return False
    used = {current.stable, *(arm.revision for arm in current.arms), *(match.revision for match in current.matches)}
    return current.stable == routes.stable and used.isdisjoint(leftover)


def _matches(observed: Observed, arms: tuple[Arm, ...]) -> tuple[Match, ...]:
    """No client is to see the answers of a shadow, or that no pod is ready."""
    by_name = {
        arm.name: arm.revision
        for arm in arms
        if observed.revisions[arm.revision].workload.ready > 0
        and (arm.name != CANDIDATE or observed.rollout.strategy != SHADOW)
    }
    return tuple(Match(each.header, each.value, by_name[each.to]) for each in observed.matches if each.to in by_name)
