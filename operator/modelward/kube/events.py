"""Posts Kubernetes Events. A repeated post of the same transition is refused by its name and does no harm."""

import logging
from datetime import UTC, datetime

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


async def post(api: Api, about: ModelDeployment | DriftPolicy, transition: Transition, identity: str) -> None:
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
