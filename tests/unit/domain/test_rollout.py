"""Which revision gets the traffic: a table of situations."""

import pytest

from builders import observed, pod, revision, router
from modelward.domain.facts import RouterFacts, RouterPodFacts, RouteTable
from modelward.domain.rollout import Decision, decide

A, B, C = "fraud-a", "fraud-b", "fraud-c"
ONLY_A = frozenset({A})


def behind(*reachable: str) -> tuple[RouterPodFacts, ...]:
    """A router pod that still follows an older configuration."""
    return (RouterPodFacts(pod("router"), "v0", frozenset(reachable)),)


SITUATIONS = {
    "the first rollout goes straight to stable": (observed(A), Decision(RouteTable(A), {A: 1})),
    "nothing to do": (observed(A, revision(A), router=router(A)), Decision(RouteTable(A), {A: 1})),
    "a new revision is attached, but gets nothing yet": (
        observed(B, revision(A), router=router(A)),
        Decision(RouteTable(A, (B,)), {B: 1, A: 1}),
    ),
    "a candidate whose pods are not ready gets nothing": (
        observed(B, revision(A), revision(B, ready=0), router=router(A, B)),
        Decision(RouteTable(A, (B,)), {B: 1, A: 1}),
    ),
    "a candidate with pods of an older manifest gets nothing": (
        observed(B, revision(A), revision(B, settled=False), router=router(A, B)),
        Decision(RouteTable(A, (B,)), {B: 1, A: 1}),
    ),
    "a candidate that a router pod does not reach gets nothing": (
        observed(B, revision(A), revision(B), router=router(A, B, pods=(RouterPodFacts(pod("router"), "v1", ONLY_A),))),
        Decision(RouteTable(A, (B,)), {B: 1, A: 1}),
    ),
    "a candidate gets nothing while a router pod follows an older configuration": (
        observed(B, revision(A), revision(B), router=router(A, B, pods=behind(A, B))),
        Decision(RouteTable(A, (B,)), {B: 1, A: 1}),
    ),
    "a candidate gets nothing while no router pod is ready": (
        observed(B, revision(A), revision(B), router=router(A, B, pods=())),
        Decision(RouteTable(A, (B,)), {B: 1, A: 1}),
    ),
    "the traffic moves, and the old revision stays attached": (
        observed(B, revision(A), revision(B), router=router(A, B)),
        Decision(RouteTable(B, (A,)), {B: 1}),
    ),
    "the old revision stays until every router pod follows": (
        observed(B, revision(A), revision(B), router=router(B, A, pods=behind(A, B))),
        Decision(RouteTable(B, (A,)), {B: 1}),
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
        Decision(RouteTable(B, (A,)), {B: 1}),
    ),
    "the old revision goes once every router pod follows": (
        observed(B, revision(A), revision(B), router=router(B, A)),
        Decision(RouteTable(B), {B: 1}, remove=(A,)),
    ),
    "a candidate that spec does not ask for any more is removed": (
        observed(C, revision(A), revision(B), router=router(A, B)),
        Decision(RouteTable(A, (C,)), {C: 1, A: 1}, remove=(B,)),
    ),
    "going back to the stable's spec ends the rollout": (
        observed(A, revision(A), revision(B, ready=0), router=router(A, B)),
        Decision(RouteTable(A), {A: 1}, remove=(B,)),
    ),
    "the stable never shrinks before the candidate carries the load": (
        observed(B, revision(A, desired=5), revision(B, ready=0), router=router(A, B), replicas=2),
        Decision(RouteTable(A, (B,)), {B: 2, A: 5}),
    ),
    "the stable grows with spec.replicas also while a candidate does not come up": (
        observed(B, revision(A, desired=1), revision(B, ready=0), router=router(A, B), replicas=3),
        Decision(RouteTable(A, (B,)), {B: 3, A: 3}),
    ),
    "somebody removed the stable revision": (
        observed(B, revision(B, ready=0), router=router(A, B)),
        Decision(RouteTable(B), {B: 1}),
    ),
    "somebody removed the router's ConfigMap: status still knows the stable": (
        observed(B, revision(A), revision(B), router=RouterFacts(), last_stable=A),
        Decision(RouteTable(A, (B,)), {B: 1, A: 1}),
    ),
}


@pytest.mark.parametrize("situation", SITUATIONS)
def test_decision(situation: str) -> None:
    facts, expected = SITUATIONS[situation]
    assert decide(facts) == expected
