"""Whose a namespace is, where installations overlap."""

from dataclasses import replace

import pytest

from modelward.kube.claim_rules import Claim, claim_on, refusal

A = Claim("2026-11-29T10:00:00Z", "u1", "team", "modelward-claim", "modelward-a")
B = replace(A, uid="u2", namespace="other", holder="modelward-b")
ALL = Claim("2026-11-29T09:00:00Z", "u3", "modelward-w", "modelward-claim-all", "modelward-w", of_all=True)
LATER = replace(ALL, since="2026-11-29T11:00:00Z", uid="u0", namespace="modelward-x", holder="modelward-x")


@pytest.mark.parametrize(
    ("namespace", "claims", "counts"),
    [
        ("team", [], None),
        ("team", [B], None),
        ("team", [B, A], A),
        # By name before every one, whichever came first.
        ("team", [ALL, A], A),
        ("team", [LATER, ALL], ALL),
        ("team", [LATER, replace(ALL, since=LATER.since)], LATER),
        # Of every one only from where its installation lies: anybody may have Leases of his own namespace.
        ("team", [replace(ALL, namespace="tenant"), LATER], LATER),
    ],
)
def test_the_claim_that_counts(namespace: str, claims: list[Claim], counts: Claim | None) -> None:
    assert claim_on(namespace, claims) == counts
    assert claim_on(namespace, reversed(claims)) == counts


@pytest.mark.parametrize(
    ("claim", "words"),
    [
        (None, "namespace team is not claimed yet"),
        (A, "the installation in namespace modelward-a has claimed it, since 2026-11-29T10:00:00Z"),
        (A, "kubectl delete lease modelward-claim -n team"),
        (ALL, "the installation in namespace modelward-w has claimed every namespace"),
        (ALL, "kubectl delete lease modelward-claim-all -n modelward-w"),
        (replace(A, holder=""), "the installation in namespace (none) has claimed it"),
    ],
)
def test_why_a_namespace_is_left_alone(claim: Claim | None, words: str) -> None:
    assert words in (refusal("team", claim, "modelward-c") or "")


def test_what_is_ones_own_is_worked_on() -> None:
    assert refusal("team", A, "modelward-a") is None
    assert refusal("team", ALL, "modelward-w") is None
