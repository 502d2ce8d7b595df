"""Writes the status of what is reconciled."""

import logging
from collections.abc import Mapping
from typing import Any

from modelward.api.batchinference import BatchInference
from modelward.api.driftpolicy import DriftPolicy
from modelward.api.modeldeployment import ModelDeployment
from modelward.api.modelregistry import ModelRegistry
from modelward.kube.cache import Cache
from modelward.kube.client import Api, ApiError
from modelward.kube.resources import Resource

log = logging.getLogger(__name__)


async def write_status(
    api: Api,
    cache: Cache,
    resource: Resource,
    about: ModelDeployment | DriftPolicy | ModelRegistry | BatchInference,
    status: Mapping[str, Any],
) -> bool:
    """False: the object was deleted, or deleted and made anew, while we worked; the watch will tell."""
    manifest = {
        "apiVersion": resource.api_version,
        "kind": resource.kind,
        "metadata": {"namespace": about.namespace, "name": about.name, "uid": about.uid},
        "status": status,
    }
    try:
        cache.upsert_answer(resource, await api.apply(resource, manifest, "status"))
    except ApiError as error:
        if error.status not in (404, 409):
            raise
        log.info("%s/%s: gone before its status could be written", about.namespace, about.name)
        return False
    return True
