"""What a retraining run is told: what it is for, and the evidence."""

import json
from typing import Any

from modelward.api.driftpolicy import DriftPolicy
from modelward.retraining.lifecycle.progress import deadline_of
from modelward.retraining.lifecycle.run import Run
from modelward.retraining.target import TargetFacts
from modelward.values.times import show_time


def briefing(policy: DriftPolicy, facts: TargetFacts, run: Run) -> dict[str, Any]:
    """By name, in camel case; what there is nothing of is left out. All but `evidence` are texts.

    The reference lies in the bundle of the model that is served, so both have one address.
    """
    stable, window = facts.stable, run.window
    told = {
        "run": run.name,
        "key": run.key,
        "policy": policy.name,
        "namespace": policy.namespace,
        "model": facts.name,
        "modelUri": stable.uri if stable else None,
        "modelDigest": stable.digest if stable else None,
        "modelRevision": run.revision,
        "trigger": run.trigger,
        "reason": run.reason,
        "evidence": {"drifted": list(run.drifted), "features": [dict(each) for each in run.features]},
        "windowStart": show_time(window.start) if window else None,
        "windowEnd": show_time(window.end) if window else None,
        "referenceUri": stable.uri if stable else None,
        "referenceDigest": window.reference if window else None,
        "deadline": show_time(round(run.started_at + deadline_of(policy))),
    }
    return {name: value for name, value in told.items() if value is not None}


def environment(told: dict[str, Any]) -> dict[str, str]:
    """The same as environment variables: MODELWARD_MODEL_URI for modelUri."""
    return {
        "MODELWARD_" + "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in name): (
            value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        )
        for name, value in told.items()
    }
