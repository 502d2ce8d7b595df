"""What a ModelDeployment has its registry told: which facts there are, and what status says of them. Pure.

A version is stable when it has the traffic and answers, so after its gates; an alias moves then, and never before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelward.api.conditions import WRITTEN_BACK, Condition, by_type
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.modelregistry import ModelRegistry, WriteBack
from modelward.facts import Observed
from modelward.models import write_back
from modelward.models.following import Following, Trouble
from modelward.models.write_back import Named, Registered, Rejected, Step, Written
from modelward.retraining.effective import Effective
from modelward.rollouts.decision import Decision
from modelward.rollouts.trial import AT_ONCE


@dataclass(frozen=True)
class Told:
    """What status says of it: `record` is `status.writeBack`, `condition` WrittenBack. None: neither. `again_in`:
    seconds until it should be looked at again."""

    record: Mapping[str, Any] | None = None
    condition: Condition | None = None
    again_in: float | None = None


@dataclass(frozen=True)
class Due:
    """What is to be written. `done`: as it is recorded; `wanted`: as it should be; `problem`: why not all that spec
    asks for is in it."""

    registry: ModelRegistry
    how: WriteBack
    done: Written
    wanted: Written
    steps: tuple[Step, ...]
    problem: Trouble | None = None
    last: Condition | None = None
    """What an operator before this one told of a failure, of the same spec: it holds until there is an answer."""

    @property
    def first(self) -> Written | None:
        """What has to be recorded before."""
        return write_back.begin(self.done, self.wanted) if self.steps else None


def due(
    owner: ModelDeployment,
    registry: ModelRegistry,
    observed: Observed,
    decision: Decision,
    following: Following | None,
    effective: Effective,
) -> Due | None:
    """None where the registry is not to be written to. `registry`: the one that is followed, or was before."""
    how = registry.spec.write_back
    if how is None:
        return None
    done = write_back.recorded(owner.status, registry.name, registry.address)
    target = _target(observed, following, effective, registry)
    stable, named, problem = done.stable, None, None
    has_taken_over = _has_taken_over(observed, decision)
    if has_taken_over:
        stable = target
    if not how.tags:
        stable = None
    alias = owner.spec.rollout.promoted_alias
    if alias is not None:
        named, problem = _named(alias, following, how, done, target if has_taken_over else None)
    rejected = done.rejected if how.tags else None
    progress = decision.progress
    if how.tags and target is not None and progress is not None and progress.rejected:
        if progress.revision == observed.target and stable != target:
            rejected = Rejected(target, progress.message)
    elif rejected is not None and stable == rejected.of:
        rejected = None
    wanted = Written(stable, rejected, named)
    steps = write_back.steps(done, wanted, how, (owner.namespace, owner.name))
    return Due(registry, how, done, wanted, steps, problem, _failed(owner))


def told(found: Due, progress: Trouble | None, *, done: bool, again_in: float | None = None) -> Told:
    """`progress`: why the last attempt failed, where it did; `done`: every step is."""
    name, address = found.registry.name, found.registry.address
    if found.first is not None:
        record = write_back.show(found.first, name, address)
        return Told(record, _waiting(name), AT_ONCE)
    if not done:
        condition = found.last or _waiting(name)
        if progress is not None:
            message = f"{progress.message}. What is served does not hang on it"
            condition = Condition(WRITTEN_BACK, False, progress.reason, message)
        return Told(write_back.show(found.done, name, address), condition, again_in)
    record = write_back.show(found.wanted, name, address)
    if found.problem is not None:
        return Told(record, Condition(WRITTEN_BACK, False, found.problem.reason, found.problem.message))
    return Told(record, Condition(WRITTEN_BACK, True, *_said(found, name)))


def _target(
    observed: Observed, following: Following | None, effective: Effective, registry: ModelRegistry
) -> Registered | None:
    """The version that spec asks for, where this registry has it registered."""
    if following is None or observed.unresolved:
        return None
    resolution = following.resolution if effective.by is None else effective.by.resolution(registry)
    if resolution is None:
        return None
    if (resolution.registry, resolution.address) != (registry.name, registry.address):
        return None
    if (observed.target_model.uri, observed.target_model.version) != (
        resolution.resolved.uri, resolution.resolved.version,
    ):  # fmt: skip
        return None
    return write_back.registered(resolution)


def _has_taken_over(observed: Observed, decision: Decision) -> bool:
    """Whether the target has the traffic, and answers."""
    routes, facts_of = observed.router.routes, observed.revisions.get(observed.target)
    return (
        decision.routes.stable == observed.target
        and routes is not None
        and routes.stable == observed.target
        and not observed.unresolved
        and facts_of is not None
        and facts_of.workload.ready > 0
        and observed.router.answers(observed.target)
    )


def _named(
    alias: str, following: Following | None, how: WriteBack, done: Written, target: Registered | None
) -> tuple[Named | None, Trouble | None]:
    """The alias as it should be, and why not."""
    resolution = None if following is None else following.resolution
    followed = None if resolution is None else write_back.followed_alias(resolution.reference)
    if followed is not None and followed.lower() == alias.lower():
        return None, Trouble(
            "AliasFollowed",
            f"spec.rollout.promotedAlias is {alias}, which spec.model.uri follows: the operator does not move what it "
            f"follows itself. Follow another alias, such as models:/NAME@challenger",
        )
    if alias not in how.aliases:
        return None, Trouble(
            "AliasNotAllowed",
            f"The ModelRegistry does not let the alias {alias} be moved. Have it named in spec.writeBack.aliases, or "
            "remove spec.rollout.promotedAlias",
        )
    if target is None:
        return (done.named if done.named is not None and done.named.alias == alias else None), None
    return Named(alias, target), None


def _failed(owner: ModelDeployment) -> Condition | None:
    told = by_type(owner.status.get("conditions") or ()).get(WRITTEN_BACK)
    if told is None or told["status"] != "False" or told["observedGeneration"] != owner.generation:
        return None
    return Condition(WRITTEN_BACK, False, told["reason"], told["message"])


def _waiting(name: str) -> Condition:
    return Condition(WRITTEN_BACK, None, "Writing", f"ModelRegistry {name} is being told")


def _said(found: Due, name: str) -> tuple[str, str]:
    """Reason and message of what is written."""
    stable, rejected, named = found.wanted.stable, found.wanted.rejected, found.wanted.named
    parts = [
        *([f"version {stable.version} of {stable.model} is stable"] if stable else ()),
        *([f"version {rejected.of.version} of {rejected.of.model} was rolled back"] if rejected else ()),
        *([f"the alias {named.alias} is version {named.of.version}"] if named else ()),
    ]
    if not parts:
        return "NothingToWrite", f"There is nothing to tell ModelRegistry {name} of yet"
    return "Written", f"ModelRegistry {name} was told that {', '.join(parts)}"
