"""Long-lived arms beside the stable: each moves to a new revision of its own when that answers."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelward.facts import Arm, Observed, RouteTable, VariantFacts
from modelward.revisions.health.diagnosis import SERVER_MEMORY_FIELD, diagnose


def arms_of_variants(observed: Observed) -> Iterator[Arm]:
    """What the router should give the variants. One without a pod that is ready gets nothing: the stable does."""
    for variant in observed.variants:
        revision = _serving(observed, variant)
        if revision is not None:
            ready = observed.revisions[revision].workload.ready > 0
            yield Arm(variant.name, revision, variant.weight if ready else 0, variant.mirror if ready else 0)


def _serving(observed: Observed, variant: VariantFacts) -> str | None:
    """The revision that the variant is now: the newest once it answers through every router pod, else the last."""
    routes, router = observed.router.routes, observed.router
    if routes is None:
        return None
    current = routes.arm(variant.name)
    if current is not None and current.revision == variant.revision and variant.revision in observed.revisions:
        return variant.revision
    facts = observed.revisions.get(variant.revision)
    attached = variant.revision in routes.revisions and router.follows(router.version)
    if facts is not None and facts.workload.complete and attached and router.reaches(variant.revision):
        return variant.revision
    return current.revision if current is not None and current.revision in observed.revisions else None


def variants_status(
    stored: Sequence[Mapping[str, Any]],
    observed: Observed,
    routes: RouteTable,
    replicas: Mapping[str, int],
    comparisons: Mapping[str, Sequence[Mapping[str, Any]]],
    outcomes: Mapping[str, Mapping[str, Any]] | None,
) -> list[dict[str, Any]]:
    """`status.variants`. `comparisons`, `outcomes`: of the variants that were looked at; the others keep what is
    `stored`. `outcomes`: None: nobody asks for them."""
    known = {each["name"]: each for each in stored}
    if outcomes is None:
        known = {name: {key: value for key, value in each.items() if key != "quality"} for name, each in known.items()}
        outcomes = {}
    return [
        _shown(
            variant, observed, routes, replicas, comparisons.get(variant.name), outcomes.get(variant.name),
            known.get(variant.name, {}),
        )
        for variant in observed.variants
    ]  # fmt: skip


def _shown(
    variant: VariantFacts,
    observed: Observed,
    routes: RouteTable,
    replicas: Mapping[str, int],
    compared: Sequence[Mapping[str, Any]] | None,
    quality: Mapping[str, Any] | None,
    stored: Mapping[str, Any],
) -> dict[str, Any]:
    arm = routes.arm(variant.name)
    revision = arm.revision if arm else variant.revision
    facts = observed.revisions.get(revision)
    if (stored.get("revision"), stored.get("against")) == (revision, routes.stable):
        compared = stored.get("comparisons") if compared is None else compared
        quality = stored.get("quality") if quality is None else quality
    shown: dict[str, Any] = {
        "name": variant.name,
        "revision": revision,
        "against": routes.stable,
        "uri": facts.model.uri if facts else variant.model.uri,
        "weight": arm.weight if arm else 0,
        "mirrorPercent": arm.mirror if arm else 0,
        "replicas": replicas.get(revision),
        "readyReplicas": facts.workload.ready if facts else 0,
        "message": _why_not(variant, observed, arm, facts is not None and facts.workload.ready > 0),
        "comparisons": list(compared) if compared else None,
        "quality": dict(quality) if quality else None,
    }
    return {key: value for key, value in shown.items() if value is not None}


def _why_not(variant: VariantFacts, observed: Observed, arm: Arm | None, ready: bool) -> str | None:
    """Why it is not what spec asks for, where that is so."""
    wanted = observed.revisions.get(variant.revision)
    problem = diagnose(wanted.workload, SERVER_MEMORY_FIELD) if wanted else None
    why = f". {problem.message}" if problem else ""
    if arm is None:
        return f"{variant.revision} is being prepared{why}"
    if arm.revision != variant.revision:
        return f"{variant.revision} is being prepared, and takes over when it answers{why}"
    if not ready:
        return f"No pod of {arm.revision} is ready; the stable gets its requests{why}"
    return None
