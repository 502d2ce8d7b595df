"""Tells of an object, in its own status, that it does not fit this operator: CRD and operator differ in version."""

import logging
from datetime import datetime
from typing import Final

from modelward.api import conditions
from modelward.api.conditions import Condition
from modelward.kube.cache import Cache, Object
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import MODEL_DEPLOYMENTS, Resource

log = logging.getLogger(__name__)

REASON: Final = "ObjectUnreadable"
CURE: Final = "Install the CRDs of the operator's own version, or correct the object"


async def tell_unreadable(
    api: Api,
    cache: Cache,
    resource: Resource,
    body: Object,
    error: Exception,
    now: datetime,
    *,
    reason: str = REASON,
    cure: str = CURE,
) -> None:
    """Ready False and Stalled True with the cause; whatever else status holds stays: it is not known to be wrong.

    Raises ApiUnreachableError, and ApiError but for an object that is gone, or whose status is refused as it is.
    """
    metadata, old = body["metadata"], body.get("status") or {}
    name, generation = f"{metadata['namespace']}/{metadata['name']}", int(metadata.get("generation") or 0)
    log.error("%s %s: %s", resource.kind, name, error)
    message = f"{error}. {cure}; what runs is left as it is"
    told = (
        Condition(conditions.READY, False, reason, message),
        Condition(conditions.RECONCILING, False, reason, "Waiting for the cause of Stalled to go"),
        Condition(conditions.STALLED, True, reason, message),
    )
    stored = old.get("conditions") or ()
    shown = conditions.render(told, stored, generation, now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    others = [each for each in stored if each["type"] not in {condition.type for condition in told}]
    status = {**old, "observedGeneration": generation, "conditions": [*shown, *others]}
    if resource is MODEL_DEPLOYMENTS:
        status["phase"] = "Failed"
    if status == old:
        return
    about = {"namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
    manifest = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": about, "status": status}
    try:
        cache.upsert_answer(resource, await api.apply(resource, manifest, "status"))
    except ApiError as refused:
        if not (refused.is_refusal or refused.status == 409):
            raise
        log.warning("%s %s: its status could not be written: %s", resource.kind, name, refused)
