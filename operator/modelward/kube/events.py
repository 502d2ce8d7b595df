"""Kubernetes Events: posts the operator's own, and asks what others say of an object.

A repeated post of the same transition is refused by its name and does no harm.
"""

import logging
from datetime import UTC, datetime
from typing import Any

from modelward.api.batchinference import BatchInference
from modelward.api.driftpolicy import DriftPolicy
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.names import API_VERSION
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import EVENTS
from modelward.values.transition import Transition

log = logging.getLogger(__name__)

COMPONENT = "modelward-operator"
MAX_MESSAGE = 1024
"""Bytes; the API server refuses more."""

LISTED = 50
"""Events of one object that are looked at."""


async def post(
    api: Api, about: ModelDeployment | DriftPolicy | BatchInference, transition: Transition, identity: str
) -> None:
    """Tell users of a transition. What the API server refuses is logged: an Event never holds up anything."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    name = transition.name(about.name, about.uid)
    manifest = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": name, "namespace": about.namespace},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": about.kind,
            "name": about.name,
            "namespace": about.namespace,
            "uid": about.uid,
        },
        "type": transition.kind,
        "reason": transition.reason,
        "message": transition.message.encode()[:MAX_MESSAGE].decode(errors="ignore"),
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": identity,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }
    try:
        await api.create(EVENTS, about.namespace, manifest)
    except ApiError as error:
        if error.status != 409:
            log.warning("%s/%s: the event %s was not posted: %s", about.namespace, about.name, transition.reason, error)


async def warning_about(api: Api, namespace: str, uid: str, reason: str | None = None, since: str = "") -> str | None:
    """The latest Warning that anybody posted of the object with this uid, of any reason or of `reason`.

    `since`: RFC 3339, UTC: none that was told by then. None where there is none, or this account may not see them.
    Raises ApiError and ApiUnreachableError.
    """
    selector = f"involvedObject.uid={uid},type=Warning" + (f",reason={reason}" if reason else "")
    query = {"fieldSelector": selector, "limit": str(LISTED)}
    try:
        answer = await api.request("GET", EVENTS, EVENTS.path(namespace), query=query, verb="list")
    except ApiError as error:
        if error.status != 403:
            raise
        return None
    told = max((each for each in answer["items"] if _told_at(each) > since), key=_told_at, default=None)
    return None if told is None else str(told.get("message") or told.get("reason") or "") or None


def _told_at(event: dict[str, Any]) -> str:
    """RFC 3339, UTC: of one length but for fractions, so that the texts have the order of the times."""
    series = event.get("series") or {}
    times = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    return max((str(each) for each in times if each), default="")
