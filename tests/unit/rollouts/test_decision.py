"""Which revision gets the traffic, without trying it first (the strategy Immediate): a table of situations."""

from dataclasses import replace

import pytest

from builders import MODEL, observed, pod, revision, router, workload
from modelward.api.traffic import HeaderMatch
from modelward.facts import (
    Arm,
    ModelFacts,
    Progress,
    Promotion,
    RevisionFacts,
    RouterFacts,
    RouterPodFacts,
    RouteTable,
    VariantFacts,
    WorkloadFacts,
)
from modelward.rollouts.decision import Decision, decide
from modelward.routing.stored import dump_routes, load_routes

A, B, C = "fraud-a", "fraud-b", "fraud-c"
ONLY_A = frozenset({A})


def behind(*reachable: str) -> tuple[RouterPodFacts, ...]:
    """A router pod that still follows an older configuration."""
    return (RouterPodFacts(pod("router"), "v0", frozenset(reachable)),)


def outcome(decision: Decision) -> tuple[RouteTable, dict[str, int], tuple[str, ...]]:
    return decision.routes, decision.replicas, decision.remove


def routes(stable: str, *attached: str) -> RouteTable:
    return RouteTable(stable, (), attached)


SITUATIONS = {
    "the first rollout goes straight to stable": (observed(A), (routes(A), {A: 1}, ())),
    "nothing to do": (observed(A, revision(A), router=router(A)), (routes(A), {A: 1}, ())),
    "a new revision is attached, but gets nothing yet": (
        observed(B, revision(A), router=router(A)),
        (routes(A, B), {B: 1, A: 1}, ()),
    ),
    "a candidate whose pods are not ready gets nothing": (
        observed(B, revision(A), revision(B, ready=0), router=router(A, B)),
        (routes(A, B), {B: 1, A: 1}, ()),
    ),
    "a candidate with pods of an older manifest gets nothing": (
        observed(B, revision(A), revision(B, settled=False), router=router(A, B)),
        (routes(A, B), {B: 1, A: 1}, ()),
    ),
    "a candidate that a router pod does not reach gets nothing": (
        observed(B, revision(A), revision(B), router=router(A, B, pods=(RouterPodFacts(pod("router"), "v1", ONLY_A),))),
        (routes(A, B), {B: 1, A: 1}, ()),
    ),
    "a candidate gets nothing while a router pod follows an older configuration": (
        observed(B, revision(A), revision(B), router=router(A, B, pods=behind(A, B))),
        (routes(A, B), {B: 1, A: 1}, ()),
    ),
    "a candidate gets nothing while no router pod is ready": (
        observed(B, revision(A), revision(B), router=router(A, B, pods=())),
        (routes(A, B), {B: 1, A: 1}, ()),
    ),
    "the traffic moves, and the old revision stays attached": (
        observed(B, revision(A), revision(B), router=router(A, B)),
        (routes(B, A), {B: 1}, ()),
    ),
    "the old revision stays until every router pod follows": (
        observed(B, revision(A), revision(B), router=router(B, A, pods=behind(A, B))),
        (routes(B, A), {B: 1}, ()),
    ),
    "the old revision stays while a router pod that is not ready may hold the older configuration": (
        observed(
            B,
            revision(A),
            revision(B),
            router=router(
                B,
                A,
                pods=(
                    RouterPodFacts(pod("one"), "v1", frozenset({A, B})),
                    RouterPodFacts(pod("two", ready=False), None, frozenset()),
                ),
            ),
        ),
        (routes(B, A), {B: 1}, ()),
    ),
    "the old revision goes once every router pod follows": (
        observed(B, revision(A), revision(B), router=router(B, A)),
        (routes(B), {B: 1}, (A,)),
    ),
    "a candidate that spec does not ask for any more is removed": (
        observed(C, revision(A), revision(B), router=router(A, B)),
        (routes(A, C), {C: 1, A: 1}, (B,)),
    ),
    "going back to the stable's spec ends the rollout": (
        observed(A, revision(A), revision(B, ready=0), router=router(A, B)),
        (routes(A), {A: 1}, (B,)),
    ),
    "the stable never shrinks before the candidate carries the load": (
        observed(B, revision(A, desired=5), revision(B, ready=0), router=router(A, B), replicas=2),
        (routes(A, B), {B: 2, A: 5}, ()),
    ),
    "the stable grows with spec.replicas also while a candidate does not come up": (
        observed(B, revision(A, desired=1), revision(B, ready=0), router=router(A, B), replicas=3),
        (routes(A, B), {B: 3, A: 3}, ()),
    ),
    "somebody removed the stable revision": (
        observed(B, revision(B, ready=0), router=router(A, B)),
        (routes(B), {B: 1}, ()),
    ),
    "somebody removed the router's ConfigMap: status still knows the stable": (
        observed(B, revision(A), revision(B), router=RouterFacts(), last_stable=A),
        (routes(A, B), {B: 1, A: 1}, ()),
    ),
    "status is gone, too: the records on the Deployments know the stable": (
        observed(C, revision(A, promoted=1), revision(B, promoted=2), router=RouterFacts()),
        (routes(B, A, C), {C: 1, B: 1}, ()),
    ),
    "as many earlier stable revisions as spec says keep running": (
        observed(
            C, revision(A, promoted=1), revision(B, promoted=2), revision(C, promoted=3), router=router(C, A, B),
            history_limit=1, replicas=2,
        ),
        (routes(C, B), {C: 2, B: 2}, (A,)),
    ),
    "a variant is attached, and then gets its weight": (
        observed(
            A, revision(A), revision(B), router=router(A, B), variants=(VariantFacts("b", B, MODEL, weight=20),)
        ),
        (RouteTable(A, (Arm("b", B, 20),)), {A: 1, B: 1}, ()),
    ),
    "a variant without a ready pod gets nothing": (
        observed(
            A, revision(A), revision(B, ready=0), router=router(A, arms=(Arm("b", B, 20, 5),)),
            variants=(VariantFacts("b", B, MODEL, weight=20, mirror=5),),
        ),
        (RouteTable(A, (Arm("b", B),)), {A: 1, B: 1}, ()),
    ),
    "a header does not lead to a variant without a ready pod": (
        observed(
            A, revision(A), revision(B, ready=0), router=router(A, arms=(Arm("b", B, 20),)),
            variants=(VariantFacts("b", B, MODEL, weight=20),), matches=(HeaderMatch("x-b", "1", "b"),),
        ),
        (RouteTable(A, (Arm("b", B),)), {A: 1, B: 1}, ()),
    ),
    "a variant keeps its old revision until the new one answers": (
        observed(
            A, revision(A), revision(B), revision(C, ready=0), router=router(A, C, arms=(Arm("b", B, 20),)),
            variants=(VariantFacts("b", C, MODEL, weight=20),),
        ),
        (RouteTable(A, (Arm("b", B, 20),), (C,)), {A: 1, C: 1}, ()),
    ),
    "a variant that spec no longer has goes": (
        observed(A, revision(A), revision(B), router=router(A, arms=(Arm("b", B, 20),))),
        (routes(A, B), {A: 1}, ()),
    ),
}  # fmt: skip


@pytest.mark.parametrize("situation", SITUATIONS)
def test_decision(situation: str) -> None:
    facts, expected = SITUATIONS[situation]
    assert outcome(decide(facts)) == expected


def test_a_rollout_is_over_when_there_is_nothing_else_to_serve() -> None:
    decision = decide(observed(B, revision(B), router=router(A, B, progress=Progress(B, 1))))
    assert decision.progress is not None
    assert (decision.routes.stable, decision.progress.phase, decision.progress.reason) == (B, "Promoted", "StableGone")


@pytest.mark.parametrize("phase", ["Paused", "RolledBack", "Aborted"])
@pytest.mark.parametrize("earlier", [None, 1])
def test_what_was_rejected_or_waits_for_a_person_never_takes_the_place_of_a_stable_that_is_gone(
    phase: str, earlier: int | None
) -> None:
    facts = observed(B, revision(B, promoted=earlier), router=router(A, B, progress=Progress(B, 1, phase)))
    for seen in (facts, replace(facts, router=RouterFacts(), last_stable=A, last_progress=Progress(B, 1, phase))):
        decision = decide(seen)
        assert decision.progress is not None
        assert (decision.routes.stable, decision.progress.phase) == (A, phase)
        assert A not in decision.replicas, "nobody knows what it was"
        assert decide(replace(seen, command="retry" if phase != "Paused" else "promote")).progress != decision.progress


def test_an_earlier_stable_takes_the_place_of_one_that_is_gone_while_the_target_is_rejected() -> None:
    rejected = Progress(B, 1, "RolledBack")
    former = replace(revision(C, promoted=1), model=ModelFacts("s3://models/c.onnx", "auto"))
    facts = observed(B, former, revision(B), router=router(A, progress=rejected), history_limit=1)
    assert decide(facts).routes.stable == C


def test_an_earlier_stable_of_the_model_that_was_rejected_takes_no_place() -> None:
    """Made by another version of the operator: its name is another, and the model the same."""
    rejected = Progress(B, 1, "Aborted")
    facts = observed(B, revision(C, promoted=2), revision(B), router=router(A, progress=rejected), history_limit=2)
    assert decide(facts).routes.stable == A
    assert decide(replace(facts, router=router(C, progress=rejected))).routes.stable == C, "it has the traffic already"
    other = replace(revision("fraud-d", promoted=1), model=ModelFacts("s3://models/d.onnx", "auto"))
    assert decide(replace(facts, revisions={**facts.revisions, other.name: other})).routes.stable == other.name


def test_a_stable_of_which_only_the_record_is_left_is_made_again() -> None:
    record = replace(revision(A, promoted=1), workload=WorkloadFacts(0), deployed=False)
    for phase in ("Progressing", "Paused", "RolledBack", "Aborted"):
        facts = observed(B, record, revision(B, ready=0), router=router(A, B, progress=Progress(B, 1, phase)))
        decision = decide(facts)
        assert decision.routes.stable == A
        assert decision.replicas[A] == 1


def test_each_promotion_is_recorded_once_its_routes_are_stored_with_a_higher_number() -> None:
    assert decide(observed(A)).promotion == Promotion(1, 0.0)
    switching = observed(B, revision(A, promoted=4), revision(B), router=router(A, B))
    decision = decide(switching)
    assert (decision.routes.stable, decision.promotion) == (B, None), "it may still come to nothing"
    assert decide(replace(switching, router=router(B, A))).promotion == Promotion(5, 0.0)
    back = observed(A, revision(A, promoted=4), revision(B, promoted=5), router=router(A, B))
    assert decide(back).promotion == Promotion(6, 0.0)
    assert decide(observed(B, revision(A, promoted=4), revision(B, ready=0), router=router(A, B))).promotion == (
        Promotion(4, 0.0)
    )


def test_no_revision_goes_while_a_router_pod_that_serves_is_not_seen() -> None:
    seen = observed(B, revision(A, promoted=1), revision(B), router=router(B, A))
    assert decide(seen).remove == (A,)
    hidden = replace(seen.router, workload=workload(2))
    assert hidden.unseen == 1
    assert decide(replace(seen, router=hidden)).remove == ()


def test_routes_know_the_version_of_each_revision_that_a_registry_named() -> None:
    def of(name: str, version: str | None) -> RevisionFacts:
        return replace(revision(name, 1), model=replace(MODEL, version=version))

    there = observed("c", of("a", "1"), of("b", None), router=router("a", "b"))
    routes = decide(replace(there, target_model=replace(MODEL, version="3"))).routes
    assert (routes.stable, dict(routes.versions)) == ("a", {"a": "1", "c": "3"})
    assert load_routes(dump_routes(routes, "v1")) == (routes, "v1", None)
