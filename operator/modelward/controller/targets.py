"""From a ModelDeployment, as it is cached, to what a policy sees of it."""

from collections.abc import Mapping
from typing import Any

from modelward.api import conditions
from modelward.cluster.cache import Object
from modelward.domain.facts import ABORTED, PROMOTED, ROLLED_BACK
from modelward.domain.policy import RolloutFacts, TargetFacts
from modelward.domain.runs import Artifact

_AT_REST = (None, PROMOTED, ROLLED_BACK, ABORTED)


def target_facts(body: Object) -> TargetFacts:
    """Raises KeyError for what is no ModelDeployment."""
    metadata, status = body["metadata"], body.get("status") or {}
    generation, observed = int(metadata.get("generation") or 0), int(status.get("observedGeneration", -1))
    stable, rollout = status.get("stable") or {}, status.get("rollout") or {}
    stalled = conditions.by_type(status.get("conditions") or ()).get(conditions.STALLED, {})
    needs_a_person = stalled.get("status") == "True" and stalled.get("reason") not in (ROLLED_BACK, ABORTED)
    return TargetFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        generation=generation,
        observed_generation=observed,
        asked=_artifact(body["spec"]["model"]),
        stable_revision=stable.get("revision"),
        stable=_artifact(stable) if "uri" in stable else None,
        rollout=RolloutFacts(rollout.get("uri", ""), rollout.get("phase", ""), rollout.get("message", ""))
        if rollout
        else None,
        moving="candidate" in status or rollout.get("phase") not in _AT_REST or observed < generation,
        stalled=str(stalled.get("message", "")) if needs_a_person else None,
    )


def _artifact(raw: Mapping[str, Any]) -> Artifact:
    return Artifact(str(raw["uri"]), raw.get("digest"))
