"""What holds of every decision, and that everything comes to an end.

Told from the world itself, not by the functions that decide.
"""

from dataclasses import replace

from modelward.api.traffic import CANDIDATE
from modelward.facts import PAUSED, PROGRESSING, PROMOTED, Arm, Observed, Progress
from modelward.rollouts.decision import Decision, decide, stable_of
from modelward.rollouts.history import last_promoted
from modelward.rollouts.strategies import keep_seconds, stages_of
from modelward.rollouts.trial import begin

from .rollout_world import ASKING, GOOD, World, model_of, receivers, with_manifests


def step(world: World, parts: int | None = None) -> Decision:
    """One reconcile that dies after `parts` of its writes."""
    seen = world.observed()
    decision = decide(seen)
    check_traffic(world, seen, decision)
    check_objects(world, seen, decision)
    check_stable(world, seen, decision)
    if seen.target != stable_of(seen):
        begun, progress = begin(seen), decision.progress
        assert progress is not None
        assert progress.revision == seen.target
        check_steps(seen, decision, begun, progress)
        check_command(seen, begun, progress)
    world.apply(seen, decision, parts)
    if parts is None:
        check_whole(world, decision)
    return decision


def check_whole(world: World, decision: Decision) -> None:
    """What foreign hands did to a revision that is kept is taken back by one reconcile, whatever spec asks for."""
    for name, replicas in decision.replicas.items():
        pods = world.revisions[name]
        assert (pods.desired, pods.edited, pods.hidden) == (replicas, False, False)
        assert name in world.services
        assert name in world.records


def check_traffic(world: World, seen: Observed, decision: Decision) -> None:
    """Nobody gets requests who may not have them or can't answer them."""
    routes, revisions = decision.routes, seen.revisions
    assert all(0 <= arm.weight <= 100 and 0 <= arm.mirror <= 100 for arm in routes.arms)
    assert routes.stable_weight >= 0
    fed = receivers(routes) - {routes.stable}
    assert all(revisions[name].workload.ready > 0 for name in fed), "traffic for a revision without a ready pod"
    for arm in routes.arms:
        before = (seen.router.routes.arm(arm.name) if seen.router.routes else None) or Arm(arm.name, "")
        if arm.name == CANDIDATE and (arm.weight > before.weight or arm.mirror > before.mirror):
            assert world.is_reached(arm.revision), "more traffic for a candidate that not every router pod reaches"
        if arm.revision != before.revision and (arm.weight or arm.mirror):
            assert world.is_reached(arm.revision), "traffic for an arm that not every router pod reaches"
    if seen.command not in ASKING:
        tried = {model_of(name) for name in receivers(routes) - {world.stable}}
        assert not world.rejected & tried, "a rejected model gets traffic"
    progress, before = seen.progress, seen.candidate_arm
    if progress is not None and progress.phase == PAUSED and progress.revision == seen.target and not seen.command:
        arm = routes.arm(CANDIDATE)
        assert routes.stable != seen.target or (seen.router.routes and seen.router.routes.stable == seen.target)
        assert arm is None or (before is not None and arm.weight <= before.weight), "paused, and gets more"


def check_objects(world: World, seen: Observed, decision: Decision) -> None:
    """What is needed is there, and what goes is needed by nobody."""
    routes = decision.routes
    gone = set(routes.revisions) - {*seen.revisions, *decision.replicas}
    if gone:
        assert gone == {routes.stable}, "a route to what is not there"
        assert decision.progress is not None
        assert decision.progress.revision == seen.target, "another revision could have been promoted"
        assert world.stable == routes.stable
    assert set(decision.replicas) <= {*seen.revisions, *with_manifests(seen)}, "nobody knows its manifest"
    assert all(count > 0 for count in decision.replicas.values())
    assert not set(decision.remove) & {*routes.revisions, *decision.replicas}
    sent = {name for router in world.routers for name in receivers(router.routes)}
    assert not sent & set(decision.remove), "a router pod may still send to it"
    assert len(decision.history) <= max(seen.history_limit, 1 if keep_seconds(seen.rollout) else 0)
    assert decision.again_in is None or decision.again_in > 0


def check_stable(world: World, seen: Observed, decision: Decision) -> None:
    """The stable changes to nothing but the target, when that can take over, and is not touched before."""
    stable, before = decision.routes.stable, world.stable
    assert decision.progress is None or decision.progress.phase != PROMOTED or decision.progress.revision == stable
    if before not in seen.revisions or (seen.router.routes is None and seen.last_stable not in (None, before)):
        return
    if seen.router.routes is None and seen.last_stable is None and last_promoted(seen) != before:
        return  # everything that knew it is lost
    if stable != before:
        assert stable == seen.target
        assert world.is_reached(stable), "the traffic moves to what not every router pod reaches"
        assert seen.revisions[stable].workload.ready >= seen.replicas, "the traffic moves before there is full size"
        return
    assert before not in decision.remove
    if seen.target != before and decision.progress is not None and not decision.progress.rejected:
        desired = seen.revisions[before].workload.desired
        assert decision.replicas[before] >= desired, "the stable shrank too early"


def check_steps(seen: Observed, decision: Decision, begun: Progress, progress: Progress) -> None:
    """A step is passed by evidence or by command, and lasts from when it is live."""
    stages = stages_of(seen.rollout, seen.replicas)
    arm = decision.routes.arm(CANDIDATE)
    assert None in (decision.step_since, decision.waiting_since)
    if decision.step_since is not None:
        assert arm == seen.candidate_arm, "its clock runs before the router was told"
    if arm is not None and arm.weight > (seen.candidate_arm or arm).weight:
        assert seen.revisions[seen.target].workload.ready >= stages[progress.step].replicas, (
            "too few pods for its share"
        )
    if seen.command is None:
        passed = 1 if seen.judgement is not None and seen.judgement.passed else 0
        assert progress.step - min(begun.step, len(stages)) <= passed
        assert begun.reason != "PromotedByHand" or progress.reason != "GateFailed"


def check_command(seen: Observed, begun: Progress, progress: Progress) -> None:
    """Whoever commands gets it, whatever the evidence says; and what makes no sense changes nothing."""
    match seen.command:
        case "pause" if not begun.rejected:
            assert progress.phase == PAUSED
        case "resume" if begun.phase == PAUSED:
            assert (progress.phase, progress.attempt) in (
                (PROGRESSING, begun.attempt + 1),
                (PROMOTED, begun.attempt + 1),
            )
        case "abort" if begun.rejected:
            # Status tells of no intent; with the next write it is stored again.
            assert replace(progress, intent=begun.intent) == begun
        case "abort":
            assert progress.rejected
        case "retry" if begun.rejected:
            # At once, where its pods have not gone yet and no step is asked for.
            assert progress.phase in (PROGRESSING, PROMOTED)
            assert progress.attempt == begun.attempt + 1
        case "promote":
            again = (begun.phase, begun.reason) == (PROGRESSING, "PromotedByHand")
            assert progress.rejected or progress.step == len(stages_of(seen.rollout, seen.replicas))
            assert progress.attempt == begun.attempt + (0 if again else 1)
        case _:
            assert progress.attempt == begun.attempt


def rest(world: World) -> Decision:
    """Everything is ready, the evidence is good, time passes; the last decision."""
    world.verdict = GOOD
    previous = None
    for _ in range(120):
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
    # Nothing tells of an object without pods that somebody took every name and label of; it goes with its owner.
    nameless = {name for name, pods in world.revisions.items() if pods.hidden and not pods.desired}
    assert set(world.revisions) - nameless == set(decision.replicas), "something is left over"
    if decision.routes.stable == world.target:
        assert last_promoted(world.observed()) == world.target
        assert progress is None or (progress.revision, progress.phase) == (world.target, PROMOTED)
    else:
        assert progress is not None
        assert progress.rejected or progress.phase == PAUSED, "neither promoted nor given up nor paused"
    return decision
