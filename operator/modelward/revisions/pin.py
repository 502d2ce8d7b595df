"""The digest of what the first pod of a revision fetched: a ConfigMap that the fetch of every later pod reads.

By reference, so that it may come after the Deployment and restarts no pod. An artifact that was overwritten under its
address then fails its fetch, and no pod of the revision serves another model than the others did.
"""

from collections.abc import Mapping
from typing import Any

from modelward.api import names
from modelward.api.modeldeployment import ModelDeployment
from modelward.kube import manifests as common
from modelward.revisions.deployment import PIN_KEY, pin_name


def pin(owner: ModelDeployment, revision: str, digest: str) -> dict[str, Any]:
    """The ConfigMap. Nobody can change it; who deletes it gets it again."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": common.metadata(owner, pin_name(revision), names.COMPONENT_SERVER, revision),
        "immutable": True,
        "data": {PIN_KEY: digest},
    }


def pinned(body: Mapping[str, Any] | None) -> str | None:
    """The digest in it; None where there is none."""
    digest = ((body or {}).get("data") or {}).get(PIN_KEY)
    return None if digest is None else str(digest)
