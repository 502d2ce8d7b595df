"""From a ModelDeployment, as it is cached, to what a policy sees of it."""

from collections.abc import Iterable

from modelward.api import conditions
from modelward.facts import ABORTED, PROMOTED, ROLLED_BACK
from modelward.kube.cache import Object
from modelward.retraining.effective import effective_model
from modelward.retraining.persistence.run_object import read_artifact
from modelward.retraining.target import RolloutFacts, TargetFacts

_AT_REST = (None, PROMOTED, ROLLED_BACK, ABORTED)


def target_facts(body: Object, runs: Iterable[Object] = ()) -> TargetFacts:
    """`runs`: the RetrainingRuns for it. Raises KeyError for what is no ModelDeployment."""
    metadata, status = body["metadata"], body.get("status") or {}
    generation, observed = int(metadata.get("generation") or 0), int(status.get("observedGeneration", -1))
    stable, rollout = status.get("stable") or {}, status.get("rollout") or {}
    stalled = conditions.by_type(status.get("conditions") or ()).get(conditions.STALLED, {})
    needs_a_person = stalled.get("status") == "True" and stalled.get("reason") not in (ROLLED_BACK, ABORTED)
    asked, effective = read_artifact(body["spec"]["model"]), effective_model(body, runs)
    # Without it the status is by an operator of an earlier version, which served what spec asks for.
    told = status.get("model")
    behind = observed < generation or effective.model != (read_artifact(told) if told else asked)
    return TargetFacts(
        name=metadata["name"],
        uid=metadata["uid"],
        generation=generation,
        observed_generation=observed,
        asked=asked,
        stable_revision=stable.get("revision"),
        stable=read_artifact(stable) if "uri" in stable else None,
        rollout=RolloutFacts(rollout.get("uri", ""), rollout.get("phase", ""), rollout.get("message", ""))
        if rollout
        else None,
        moving="candidate" in status or rollout.get("phase") not in _AT_REST or behind,
        stalled=str(stalled.get("message", "")) if needs_a_person else None,
        effective=effective.model,
        effective_run=effective.by.run if effective.by else None,
        accepted_at=effective.by.at if effective.by else None,
        behind=behind,
        version=effective.resolution.resolved.version if effective.resolution and not effective.by else None,
    )
