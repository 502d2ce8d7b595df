"""The rollout of a candidate, decision by decision: a table of situations."""

from dataclasses import replace
from typing import Any

import pytest

from builders import MODEL, observed, pod, revision, router, shared_router
from modelward.api.rollout import (
    BLUE_GREEN,
    CANARY,
    PAUSE,
    REPORT,
    SHADOW,
    BlueGreen,
    Disagreement,
    Gates,
    Rollout,
    Shadow,
    Step,
)
from modelward.api.traffic import HeaderMatch
from modelward.facts import (
    Arm,
    Clock,
    Judgement,
    Match,
    Observed,
    Progress,
    RevisionFacts,
    RouterFacts,
    RouterPodFacts,
    VariantFacts,
)
from modelward.rollouts.decision import Decision, decide

A, B, C = "fraud-a", "fraud-b", "fraud-c"
STEPS = (Step(10, "60s"), Step(50, "60s"))
CANARIES = Rollout(CANARY, STEPS)
GOOD, BAD = Judgement(passed=True, compared=500), Judgement(failed="errorRate: 9 of 90 errors", passed=False)
UNDECIDED = Judgement(passed=False, waits_for="errorRate: 3 of 100 requests", compared=3)


def canary(weight: int, mirror: int = 0) -> tuple[Arm, ...]:
    return (Arm("candidate", B, weight, mirror),)


def rolling(weight: int | None = None, step: int = 0, **facts: Any) -> Observed:
    """A rollout from A to B whose candidate has `weight`; None: it is attached, and has nothing yet."""
    progress = facts.pop("progress", Progress(B, step))
    mirror = facts.pop("mirror", 0)
    arms = () if weight is None else canary(weight, mirror)
    attached = (B,) if weight is None else ()
    candidate = facts.pop("candidate", revision(B, desired=10))
    routers = facts.pop("router", None) or router(A, *attached, arms=arms, progress=progress)
    return observed(
        B, revision(A, desired=10), candidate, router=routers,
        **{"rollout": CANARIES, "replicas": 10, "clock": Clock(1000.0), **facts},
    )  # fmt: skip


def brief(decision: Decision) -> tuple[str, int | None, str, int]:
    """Stable, the candidate's weight (None: no arm), phase, step."""
    arm = decision.routes.arm("candidate")
    assert decision.progress is not None
    return decision.routes.stable, None if arm is None else arm.weight, decision.progress.phase, decision.progress.step


LIVE = {"clock": Clock(1000.0, step=900.0)}
EARLY = {"clock": Clock(1000.0, step=990.0)}
SICK = revision(B, desired=10, ready=0)
BEHIND = router(A, arms=canary(10), pods=(RouterPodFacts(pod("r"), "v0", frozenset({A, B})),), progress=Progress(B))

SITUATIONS: dict[str, tuple[Observed, tuple[str, int | None, str, int]]] = {
    "pods are not ready": (rolling(candidate=SICK), (A, None, "Progressing", 0)),
    "ready: the first step": (rolling(), (A, 10, "Progressing", 0)),
    "the step is not live before every router follows": (rolling(10, router=BEHIND, **LIVE), (A, 10, "Progressing", 0)),
    "the step holds": (rolling(10, judgement=GOOD, **EARLY), (A, 10, "Progressing", 0)),
    "the step is over": (rolling(10, judgement=GOOD, **LIVE), (A, 50, "Progressing", 1)),
    "the step is over, but the next one needs more pods": (
        rolling(10, judgement=GOOD, candidate=revision(B), **LIVE), (A, 10, "Progressing", 1),
    ),
    "the step waits for its gates": (rolling(10, judgement=UNDECIDED, **LIVE), (A, 10, "Progressing", 0)),
    "nobody has looked yet": (rolling(10, **LIVE), (A, 10, "Progressing", 0)),
    "the next step's weight": (rolling(10, step=1), (A, 50, "Progressing", 1)),
    "the last step is over: full size first": (
        rolling(50, step=1, judgement=GOOD, candidate=revision(B, desired=5), **LIVE), (A, 50, "Progressing", 2),
    ),
    "promoted": (rolling(50, step=2), (B, None, "Promoted", 2)),
    "not promoted before it has its full size": (
        rolling(50, step=2, candidate=revision(B, desired=5)), (A, 50, "Progressing", 2),
    ),
    "a gate fails": (rolling(10, judgement=BAD, **EARLY), (A, None, "RolledBack", 0)),
    "a gate fails before the step is live": (rolling(10, judgement=BAD, router=BEHIND), (A, None, "RolledBack", 0)),
    "a gate fails while the next step is prepared": (
        rolling(10, step=1, judgement=BAD, candidate=revision(B, desired=10, ready=3)), (A, None, "RolledBack", 1),
    ),
    "a gate fails, and a person is to decide": (
        rolling(10, judgement=BAD, rollout=replace(CANARIES, on_failure=PAUSE), **EARLY), (A, 10, "Paused", 0),
    ),
    "a gate fails while full size is prepared": (
        rolling(50, step=2, judgement=BAD, candidate=revision(B, desired=5)), (A, None, "RolledBack", 2),
    ),
    "the next step gives it the same, but has not been looked at": (
        rolling(10, judgement=GOOD, rollout=Rollout(CANARY, (Step(10, "0s"), Step(10, "0s"))), **LIVE),
        (A, 10, "Progressing", 1),
    ),
    "all pods of the candidate are gone": (rolling(10, candidate=SICK, **LIVE), (A, None, "Progressing", 0)),
    "one pod of the candidate is being replaced": (
        rolling(10, candidate=revision(B, desired=10, ready=9), judgement=GOOD, **LIVE), (A, 10, "Progressing", 0),
    ),
    "not ready in time": (
        rolling(candidate=SICK, clock=Clock(1000.0, waiting=99.0)), (A, None, "RolledBack", 0),
    ),
    "not ready, but in time": (
        rolling(candidate=SICK, clock=Clock(1000.0, waiting=101.0)), (A, None, "Progressing", 0),
    ),
    "a clock that was set back": (
        rolling(10, judgement=GOOD, clock=Clock(1000.0, step=5000.0)), (A, 10, "Progressing", 0),
    ),
    "rolled back stays rolled back": (
        rolling(progress=Progress(B, 0, "RolledBack", "GateFailed")), (A, None, "RolledBack", 0),
    ),
    "another spec is another rollout": (
        rolling(progress=Progress(C, 1, "RolledBack", "GateFailed")), (A, 10, "Progressing", 0),
    ),
    "fewer steps than before": (rolling(50, step=7), (B, None, "Promoted", 2)),
    "a revision that was stable before is promoted at once": (
        rolling(candidate=revision(B, promoted=1, desired=10), progress=None), (B, None, "Promoted", 2),
    ),
    "paused by hand": (rolling(10, judgement=GOOD, command="pause", **LIVE), (A, 10, "Paused", 0)),
    "paused: nothing moves": (
        rolling(10, judgement=BAD, progress=Progress(B, 0, "Paused", "PausedByHand"), **LIVE), (A, 10, "Paused", 0),
    ),
    "resumed by hand": (
        rolling(10, progress=Progress(B, 0, "Paused", "PausedByHand"), command="resume"), (A, 10, "Progressing", 0),
    ),
    "resumed by hand, in spite of the gate that failed": (
        rolling(10, progress=Progress(B, 0, "Paused", "GateFailed"), command="resume", judgement=BAD,
                rollout=replace(CANARIES, on_failure=PAUSE)),
        (A, 10, "Progressing", 0),
    ),
    "aborted by hand": (rolling(50, step=1, command="abort"), (A, None, "Aborted", 1)),
    "promoted by hand, in spite of its gates": (
        rolling(10, judgement=BAD, command="promote", **EARLY), (B, None, "Promoted", 2),
    ),
    "promoted by hand, in spite of its gates, once it has its full size": (
        rolling(10, judgement=BAD, candidate=revision(B, desired=5),
                progress=Progress(B, 2, "Progressing", "PromotedByHand")),
        (A, 10, "Progressing", 2),
    ),
    "somebody took away what had been promoted, and an earlier revision serves": (
        rolling(candidate=SICK, progress=Progress(B, 2, "Promoted", "StepPassed")), (A, None, "Progressing", 2),
    ),
    "promoted by hand, and then there are more steps": (
        rolling(10, judgement=BAD, candidate=revision(B, desired=5),
                progress=Progress(B, 1, "Progressing", "PromotedByHand")),
        (A, 10, "Progressing", 2),
    ),
    "promoted by hand before it is ready": (rolling(candidate=SICK, command="promote"), (A, None, "Progressing", 2)),
    "tried once more": (
        rolling(progress=Progress(B, 1, "RolledBack", "GateFailed"), command="retry"), (A, 10, "Progressing", 0),
    ),
    "nothing to resume": (rolling(10, command="resume", **EARLY), (A, 10, "Progressing", 0)),
    "an unknown command changes nothing": (rolling(10, command="explode", **EARLY), (A, 10, "Progressing", 0)),
    "a variant's share is not the candidate's": (
        rolling(
            50, step=1, router=router(A, arms=(*canary(10), Arm("b", C, 60)), progress=Progress(B, 1)),
            variants=(VariantFacts("b", C, MODEL, weight=60),),
        ),
        (A, 50, "Progressing", 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_decision(situation: str) -> None:
    facts, expected = SITUATIONS[situation]
    assert brief(decide(facts)) == expected


def test_variants_leave_less_for_the_candidate() -> None:
    facts = observed(
        B, revision(A), revision(B), revision(C), rollout=CANARIES, variants=(VariantFacts("b", C, MODEL, weight=60),),
        router=router(A, arms=(*canary(10), Arm("b", C, 60)), progress=Progress(B, 1)),
    )  # fmt: skip
    assert decide(facts).routes.arms == (Arm("candidate", B, 40), Arm("b", C, 60))


@pytest.mark.parametrize("phase", ["Progressing", "Paused"])
@pytest.mark.parametrize("candidate", [revision(B), SICK, revision(B, desired=10, ready=1)])
def test_variants_that_grow_take_it_from_the_candidate_in_any_case(phase: str, candidate: RevisionFacts) -> None:
    facts = rolling(
        candidate=candidate, progress=Progress(B, 1, phase), variants=(VariantFacts("b", C, MODEL, weight=60),),
        router=router(A, arms=(*canary(50), Arm("b", C, 5)), progress=Progress(B, 1, phase)),
    )  # fmt: skip
    facts = replace(facts, revisions={**facts.revisions, C: revision(C)})
    routes = decide(facts).routes
    assert routes.stable_weight >= 0
    assert routes.arm("b") == Arm("b", C, 60)


@pytest.mark.parametrize(("step", "replicas"), [(0, 1), (1, 5), (2, 10)])
def test_a_candidate_has_its_share_of_the_pods_and_full_size_at_the_end(step: int, replicas: int) -> None:
    assert decide(rolling(10, step=step, candidate=SICK)).replicas == {B: replicas, A: 10}


def test_a_step_says_how_many_pods() -> None:
    assert decide(rolling(rollout=Rollout(CANARY, (Step(10, replicas=7),)))).replicas[B] == 7


def test_a_rejected_candidate_is_removed_once_nobody_can_send_to_it() -> None:
    rejected = Progress(B, 0, "RolledBack", "GateFailed")
    first = decide(rolling(10, judgement=BAD))
    assert (first.remove, first.routes.attached, B in first.replicas) == ((), (B,), False)
    behind = router(A, B, pods=(RouterPodFacts(pod("r"), "v0", frozenset()),), progress=rejected)
    assert decide(rolling(router=behind)).remove == ()
    assert decide(rolling(progress=rejected)).remove == (B,)


@pytest.mark.parametrize("phase", ["RolledBack", "Aborted", "Paused"])
def test_what_was_decided_outlives_the_configuration(phase: str) -> None:
    facts = rolling(router=RouterFacts(), last_stable=A, last_progress=Progress(B, 1, phase, "", "as told", 2))
    decision = decide(facts)
    assert (decision.routes.stable, decision.routes.arms) == (A, ())
    assert decision.progress == Progress(B, 1, phase, "", "as told", 2)


def test_the_reason_of_a_rollback_is_kept() -> None:
    decision = decide(rolling(10, judgement=BAD))
    assert decision.progress == Progress(B, 0, "RolledBack", "GateFailed", "errorRate: 9 of 90 errors")
    late = decide(rolling(candidate=SICK, clock=Clock(1000.0, waiting=0.0)), cause="the file is not there")
    assert late.progress is not None
    assert late.progress.message == "Not ready within 15m (spec.rollout.startDeadline): the file is not there"


def test_the_clock_of_a_step_starts_when_the_router_follows() -> None:
    assert decide(rolling()).step_since is None
    assert decide(rolling(10, router=BEHIND)).step_since is None
    assert decide(rolling(10)).step_since == 1000.0
    assert decide(rolling(10, **EARLY)).step_since == 990.0
    assert decide(rolling(10, clock=Clock(1000.0, step=5000.0))).step_since == 1000.0


def test_it_comes_again_when_the_hold_is_over() -> None:
    assert decide(rolling(10, judgement=GOOD, **EARLY)).again_in == 50.0
    assert decide(rolling(candidate=SICK, clock=Clock(1000.0, waiting=400.0))).again_in == 300.0


def test_evidence_begins_anew_for_who_goes_on_in_spite_of_a_gate() -> None:
    paused = Progress(B, 1, "Paused", "GateFailed", attempt=1)
    resumed = decide(rolling(50, progress=paused, command="resume")).progress
    assert resumed is not None
    assert (resumed.step, resumed.attempt) == (1, 2)
    again = decide(rolling(50, progress=resumed, command="resume")).progress
    assert again == resumed, "a command that is seen twice changes nothing"


def green(hold: str, mirror: int = 0) -> Rollout:
    return Rollout(BLUE_GREEN, blue_green=BlueGreen(hold, "10m", mirror))


def test_blue_green_waits_at_full_size_switches_and_keeps_the_old_one_for_a_while() -> None:
    first = decide(rolling(rollout=green("5m")))
    assert (brief(first), first.replicas) == ((A, 0, "Progressing", 0), {B: 10, A: 10})
    switched = decide(rolling(0, step=1, rollout=green("5m")))
    assert switched.routes.stable == B
    after = observed(
        B, revision(A, promoted=1), revision(B, promoted=2),
        rollout=green("5m"), router=router(B, A), clock=Clock(599.0),
    )  # fmt: skip
    assert (decide(after).history, decide(after).routes.attached, decide(after).again_in) == ((A,), (A,), 1.0)
    assert decide(replace(after, clock=Clock(601.0))).remove == (A,)
    back = decide(replace(after, target=A))
    assert (back.routes.stable, back.routes.attached) == (A, (B,)), "going back is a switch"


def test_a_shadow_is_compared_for_a_number_of_requests_or_a_time() -> None:
    shadow = Rollout(SHADOW, shadow=Shadow(50, requests=1000, duration="10m"))
    assert decide(rolling(rollout=shadow)).routes.arms == canary(0, 50)
    few, many = replace(GOOD, compared=999), replace(GOOD, compared=1000)
    live = {"rollout": shadow, "mirror": 50}
    assert brief(decide(rolling(0, judgement=few, **live, **EARLY)))[3] == 0
    assert brief(decide(rolling(0, judgement=many, **live, **EARLY)))[3] == 1
    assert brief(decide(rolling(0, judgement=few, **live, clock=Clock(1000.0, step=400.0))))[3] == 1
    endless = {**live, "rollout": Rollout(SHADOW, shadow=Shadow(50, requests=1000))}
    assert brief(decide(rolling(0, judgement=few, **endless, clock=Clock(1e9, step=400.0))))[3] == 0


def test_a_shadow_that_only_reports_waits_for_a_person_and_gets_no_more_copies() -> None:
    shadow = Rollout(SHADOW, shadow=Shadow(100, requests=10, then=REPORT))
    reported = decide(rolling(0, mirror=100, rollout=shadow, judgement=GOOD, **LIVE))
    assert brief(reported) == (A, 0, "Paused", 0)
    after = decide(rolling(0, mirror=100, rollout=shadow, progress=reported.progress))
    assert after.routes.arms == canary(0, 0)
    promoted = decide(rolling(0, rollout=shadow, progress=reported.progress, command="promote"))
    assert promoted.routes.stable == B


def test_a_canary_whose_answers_are_compared_gets_copies_too() -> None:
    gates = Gates(disagreement=Disagreement("5%", mirror_percent=20))
    assert decide(rolling(rollout=Rollout(CANARY, STEPS, gates=gates))).routes.arms == canary(10, 20)


def test_a_header_leads_to_the_candidate_but_never_to_a_shadow() -> None:
    matches = (HeaderMatch("x-beta", "1"), HeaderMatch("x-b", "1", "nobody"))
    assert decide(rolling(10, matches=matches, **EARLY)).routes.matches == (Match("x-beta", "1", B),)
    assert decide(rolling(candidate=SICK, matches=matches)).routes.matches == ()
    assert decide(rolling(rollout=Rollout(SHADOW), matches=matches)).routes.matches == ()


def shared(weight: int | None = None, step: int = 0, **facts: Any) -> RouterFacts:
    """As `rolling` has it, behind a Gateway."""
    arms, attached = ((), (B,)) if weight is None else (canary(weight), ())
    return shared_router(A, *attached, arms=arms, progress=Progress(B, step), **facts)


@pytest.mark.parametrize("situation", [(None, 0, {}), (10, 0, {}), (10, 0, LIVE), (50, 1, LIVE | {"judgement": GOOD})])
def test_a_rollout_behind_a_gateway_is_the_same(situation: tuple[int | None, int, dict[str, Any]]) -> None:
    weight, step, facts = situation
    assert decide(rolling(router=shared(weight, step), **facts)) == decide(rolling(weight, step, **facts))


@pytest.mark.parametrize("behind", [{"live": None}, {"reachable": frozenset()}])
def test_a_candidate_gets_nothing_before_the_gateways_follow_and_know_its_pods(behind: dict[str, Any]) -> None:
    assert brief(decide(rolling(router=shared(**behind)))) == (A, None, "Progressing", 0)
    late = decide(rolling(router=shared(10, **behind), judgement=GOOD))
    assert (brief(late), late.step_since) == ((A, 10, "Progressing", 0), None)


def test_nothing_goes_before_gateways_follow_or_while_the_former_router_is_there() -> None:
    rejected = Progress(B, 0, "RolledBack", "GateFailed")
    for facts, gone in (({}, (B,)), ({"live": None}, ()), ({"former": True}, ())):
        routers = shared_router(A, B, progress=rejected, **facts)
        assert decide(rolling(router=routers)).remove == gone


def test_a_step_is_a_share_of_the_load_whatever_an_autoscaler_makes_of_the_stable() -> None:
    """The canary relieves the stable, an autoscaler halves spec.replicas, and the stable may not shrink meanwhile."""
    halved = rolling(50, step=1, candidate=revision(B, desired=5), replicas=4)
    assert decide(halved).replicas == {A: 10, B: 5}
