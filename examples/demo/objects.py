"""Objects of the cluster, read in this process: who waits for something asks often, and kubectl takes a quarter of a
second of CPU each time that it starts.
"""

import base64
import functools
import json
import ssl
import tempfile
from typing import Any
from urllib.parse import urlencode

import urllib3

from localcluster import settings
from localcluster.clients import kubectl

GROUPS = {
    "batchinferences": "apis/modelward.io/v1alpha1",
    "configmaps": "api/v1",
    "deployments": "apis/apps/v1",
    "driftpolicies": "apis/modelward.io/v1alpha1",
    "endpointslices": "apis/discovery.k8s.io/v1",
    "events": "api/v1",
    "httproutes": "apis/gateway.networking.k8s.io/v1",
    "jobs": "apis/batch/v1",
    "modeldeployments": "apis/modelward.io/v1alpha1",
    "pods": "api/v1",
    "replicasets": "apis/apps/v1",
    "services": "api/v1",
}
"""Where the API server serves each kind, by its plural."""

PATIENCE = 30.0
"""Seconds for one answer."""


def find(plural: str, namespace: str, name: str) -> dict[str, Any] | None:
    """The object; None where there is none."""
    found: dict[str, Any] | None = _get(f"{_folder(plural, namespace)}/{name}")
    return found


def get(plural: str, namespace: str, name: str) -> dict[str, Any]:
    """The object. Raises LookupError where there is none."""
    found = find(plural, namespace, name)
    if found is None:
        raise LookupError(f"there is no {name} among the {plural} of {namespace}")
    return found


def find_all(plural: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
    """Every object of the kind whose labels fit `selector`; none where the API server does not know the kind."""
    query = urlencode({"labelSelector": selector})
    return list((_get(f"{_folder(plural, namespace)}?{query}") or {"items": ()})["items"])


def names(plural: str, namespace: str, selector: str = "") -> list[str]:
    """The names of those that `find_all` gives."""
    return [each["metadata"]["name"] for each in find_all(plural, namespace, selector)]


def _folder(plural: str, namespace: str) -> str:
    return f"/{GROUPS[plural]}/namespaces/{namespace}/{plural}"


def _get(path: str) -> Any:
    server, pool = _access(settings.kubeconfig_path().read_text())
    answer = pool.request("GET", server + path)
    if answer.status == 404:
        return None
    if answer.status != 200:
        raise RuntimeError(f"the API server answered GET {path} with {answer.status}: {answer.data[:500]!r}")
    return json.loads(answer.data)


@functools.lru_cache(maxsize=1)  # its key is the content
def _access(kubeconfig: str) -> tuple[str, urllib3.PoolManager]:  # noqa: ARG001
    """The address that `kubeconfig` leads to, and connections: others where another cluster has written another one."""
    found = json.loads(kubectl("config", "view", "--raw", "--flatten", "-o", "json"))
    cluster, user = found["clusters"][0]["cluster"], found["users"][0]["user"]
    context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
    if "client-certificate-data" in user:  # kind's
        with tempfile.NamedTemporaryFile() as both:
            both.writelines(base64.b64decode(user[f"client-{part}-data"]) + b"\n" for part in ("certificate", "key"))
            both.flush()
            context.load_cert_chain(both.name)
    headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
    return cluster["server"], urllib3.PoolManager(8, headers=headers, ssl_context=context, timeout=PATIENCE, retries=2)
