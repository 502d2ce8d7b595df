"""What holds of every decision, and that everything comes to an end."""

from modelward.api.traffic import CANDIDATE
from modelward.domain.facts import PROMOTED, Arm, Observed
from modelward.domain.history import last_promoted
from modelward.domain.rollout import Decision, decide, stable_of
from modelward.domain.stages import stages_of
from modelward.domain.trial import begin, ready_for_traffic

from .rollout_world import ASKING, GOOD, World, receivers, with_manifests


def step(world: World, parts: int | None = None) -> Decision:
    """One reconcile that dies after `parts` of its writes."""
    seen = world.observed()
    decision = decide(seen)
    check(world, seen, decision)
    check_progress(seen, decision)
    world.apply(seen, decision, parts)
    return decision


def check(world: World, seen: Observed, decision: Decision) -> None:
    """What holds of every decision."""
    routes, revisions = decision.routes, seen.revisions
    assert all(0 <= arm.weight <= 100 and 0 <= arm.mirror <= 100 for arm in routes.arms)
    assert routes.stable_weight >= 0
    fed = receivers(routes) - {routes.stable}
    assert all(revisions[name].workload.ready > 0 for name in fed), "traffic for a revision without a ready pod"
    assert set(routes.revisions) <= {*revisions, *decision.replicas}, "a route to what is not there"
    assert set(decision.replicas) <= {*revisions, *with_manifests(seen)}, "nobody knows its manifest"
    assert all(count > 0 for count in decision.replicas.values())
    assert not set(decision.remove) & {*routes.revisions, *decision.replicas}
    sent = {name for router in world.routers for name in receivers(router.routes)}
    assert not sent & set(decision.remove), "a router pod may still send to it"
    before = seen.router.routes.stable if seen.router.routes else None
    if before in revisions and routes.stable != before:
        assert routes.stable == seen.target
        assert all(router.routes.revisions.count(seen.target) for router in world.routers if router.ready)
        assert revisions[seen.target].workload.ready > 0, "the traffic moves to what does not answer"
    if before in revisions and routes.stable == before:
        assert before not in decision.remove
        tried = decision.progress is not None and not decision.progress.rejected
        if seen.target != before and tried:
            assert decision.replicas[before] >= revisions[before].workload.desired, "the stable shrank too early"
    if before in revisions and seen.command not in ASKING:
        assert not world.rejected & receivers(routes), "a rejected revision gets traffic"
    assert None in (decision.step_since, decision.waiting_since)
    assert decision.again_in is None or decision.again_in > 0


def check_progress(seen: Observed, decision: Decision) -> None:
    """A step is passed by evidence or by command, and a candidate gets more only where it answers."""
    progress, begun = decision.progress, begin(seen)
    assert progress is None or progress.phase != PROMOTED or progress.revision == decision.routes.stable
    if progress is None or progress.revision != seen.target or seen.router.routes is None:
        return
    arm, before = decision.routes.arm(CANDIDATE), seen.candidate_arm or Arm(CANDIDATE, seen.target)
    promoted = seen.target == decision.routes.stable != seen.router.routes.stable in seen.revisions
    if promoted or (arm is not None and (arm.weight > before.weight or arm.mirror > before.mirror)):
        assert ready_for_traffic(seen, 1)
    if seen.command is None and seen.target != stable_of(seen):
        passed = 1 if seen.judgement is not None and seen.judgement.passed else 0
        assert progress.step - min(begun.step, len(stages_of(seen.rollout, seen.replicas))) <= passed


def rest(world: World) -> Decision:
    """Everything is ready, the evidence is good, time passes; the last decision."""
    world.verdict = GOOD
    previous = None
    for _ in range(60):
        world.settle()
        decision = step(world)
        if decision == previous and not decision.remove:
            break
        previous = decision
        world.now += decision.again_in or 20.0
    else:
        raise AssertionError(f"no rest: {previous}, then {decision}")
    progress = decision.progress
    assert decision.again_in is None
    assert set(world.revisions) == set(decision.replicas), "something is left over"
    if decision.routes.stable == world.target:
        assert last_promoted(world.observed()) == world.target
        assert progress is None or (progress.revision, progress.phase) == (world.target, "Promoted")
    else:
        assert progress is not None
        assert progress.rejected or progress.phase == "Paused", "neither promoted nor given up nor paused"
    return decision
