"""Pods that are made anew because somebody asked for it, as `kubectl rollout restart` does: the same pods, no rollout.

A value of ANNOTATION_RESTART is taken up once: it is in the pod template of the Deployment that it restarted, and in
status, so that it restarts no later revision. What is in a template stays there, since its going would be one more
restart; so does what kubectl writes there for itself.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from modelward.api.modeldeployment import ModelDeployment
from modelward.api.names import ANNOTATION_RESTART


def marked(template: Mapping[str, Any], value: str) -> dict[str, Any]:
    """`template` as pods have it that were made for `value`."""
    metadata = template["metadata"]
    return {
        **template,
        "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), ANNOTATION_RESTART: value}},
    }


def mark_of(deployment: Mapping[str, Any] | None) -> str | None:
    """The value that the Deployment's pods were made anew for; None where there was none."""
    template = ((deployment or {}).get("spec") or {}).get("template") or {}
    value = ((template.get("metadata") or {}).get("annotations") or {}).get(ANNOTATION_RESTART)
    return None if value is None else str(value)


def is_asked(owner: ModelDeployment, deployments: Iterable[Mapping[str, Any]]) -> bool:
    """Whether there is a value that nothing was done for yet. `deployments`: all of `owner`'s revisions."""
    value = owner.restart
    if value is None or not owner.status.get("stable"):
        # With the first pods there is nothing to restart.
        return False
    return owner.status.get("restart") != value and all(mark_of(body) != value for body in deployments)
