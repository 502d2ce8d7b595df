"""Objects as an older version of the operator left them, put onto an API server again.

`canary.json`: what a version that named revisions by their pods, and had neither records of platforms nor
`PlatformCurrent`, had written when a canary was half way. It was read from an API server, and freed of what that adds
by itself; the namespace and the owner's uid stand there as names. `specs`: of the owner, one for each generation;
`rest`: what it owns.
"""

import json
from pathlib import Path
from typing import Any

from modelward.api.names import FIELD_MANAGER
from modelward.kube.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, DEPLOYMENTS, MODEL_DEPLOYMENTS, SERVICES
from nodeless.cluster import Cluster

CANARY = Path(__file__).parent / "canary.json"
NAMESPACE, OWNER = "the-namespace", "uid-of-the-owner"
KINDS = {each.kind: each for each in (CONFIG_MAPS, CONTROLLER_REVISIONS, DEPLOYMENTS, SERVICES)}


def missing(before: Any, now: Any, path: str = "status") -> list[str]:
    """Where `now` lacks what `before` has, or has it in another form: what the older version would not find again, were
    it put back. What is in lists is not compared.
    """
    if not isinstance(before, dict):
        return [] if type(before) is type(now) else [path]
    if not isinstance(now, dict):
        return [path]
    return [each for name, value in before.items() for each in missing(value, now.get(name), f"{path}.{name}")]


def restore(cluster: Cluster, namespace: str) -> dict[str, Any]:
    """The ModelDeployment with its status, and all that it owns, written as the operator writes; the former as read."""
    told = json.loads(CANARY.read_text().replace(NAMESPACE, namespace))
    owner = told["owner"]
    status = {"status": owner.pop("status")}
    for spec in told["specs"]:
        cluster.apply({**owner, "spec": spec}, namespace)
    path = MODEL_DEPLOYMENTS.path(namespace, owner["metadata"]["name"])
    uid = cluster.request("GET", path)["metadata"]["uid"]
    for each in json.loads(json.dumps(told["rest"]).replace(OWNER, uid)):
        own = KINDS[each["kind"]].path(namespace, each["metadata"]["name"])
        cluster.request("PATCH", f"{own}?fieldManager={FIELD_MANAGER}&force=true", each, "application/apply-patch+yaml")
    return dict(cluster.request("PATCH", f"{path}/status", status, "application/merge-patch+json"))
