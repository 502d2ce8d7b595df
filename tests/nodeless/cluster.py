"""A real etcd and kube-apiserver, without a kubelet: pods never run here."""

import json
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import urllib3

from localcluster import binaries
from localcluster.apiserver import ApiServer
from modelward.kube.resources import Resource

REPOSITORY = Path(__file__).parents[2]

FOLDERS = {
    "BatchInference": ("apis/modelward.io/v1alpha1", "batchinferences"),
    "ConfigMap": ("api/v1", "configmaps"),
    "Deployment": ("apis/apps/v1", "deployments"),
    "DriftPolicy": ("apis/modelward.io/v1alpha1", "driftpolicies"),
    "Job": ("apis/batch/v1", "jobs"),
    "Lease": ("apis/coordination.k8s.io/v1", "leases"),
    "ModelDeployment": ("apis/modelward.io/v1alpha1", "modeldeployments"),
    "ModelRegistry": ("apis/modelward.io/v1alpha1", "modelregistries"),
    "PersistentVolumeClaim": ("api/v1", "persistentvolumeclaims"),
    "Role": ("apis/rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": ("apis/rbac.authorization.k8s.io/v1", "rolebindings"),
    "Secret": ("api/v1", "secrets"),
    "Workflow": ("apis/argoproj.io/v1", "workflows"),  # a version that no operator looks for
}
"""Where the API server keeps the kinds that tests write."""

FIELD_MANAGER = "kubectl"


class Cluster:
    """The API server of the tests: plain requests, but for what is of kubectl itself: it takes a quarter of a second
    of CPU each time that it starts.
    """

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.repository = REPOSITORY
        self._command = [str(binaries.kubectl()), f"--kubeconfig={server.kubeconfig}"]
        context = ssl.create_default_context(cafile=str(server.certificate_authority))
        self._http = urllib3.PoolManager(ssl_context=context, retries=False, timeout=10.0)
        self._headers = {"Authorization": f"Bearer {server.token}"}

    def run(self, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*self._command, *arguments], input=stdin, text=True, capture_output=True, check=False)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def install(self, crd: str, *source: str) -> None:
        """Apply a CRD, and return when it is served."""
        self.kubectl("apply", "--server-side", *source)
        end = time.monotonic() + 30.0
        # kubectl's `wait` fails on one that is too new to have a status.
        while self.run("wait", "--for=condition=Established", f"crd/{crd}", "--timeout=10s").returncode != 0:
            assert time.monotonic() < end, f"{crd} is not served"
            time.sleep(0.1)

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def request(self, method: str, path: str, body: Any = None, content_type: str = "application/json") -> Any:
        """The answer of the API server, or None where there is no such object (any more)."""
        answer = self._http.request(
            method, self.server.url + path, body=None if body is None else json.dumps(body),
            headers={**self._headers, "Content-Type": content_type},
        )  # fmt: skip
        if answer.status == 404:
            return None
        assert answer.status < 300, answer.data
        return answer.json()

    def create(self, body: Any, namespace: str, *, user: str = "", dry_run: bool = False) -> tuple[bool, str]:
        """Whether the API server takes it as kubectl would send it (no unknown fields), and what it says else."""
        return self._write("POST", self._folder(body, namespace), body, user, dry_run, "application/json")

    def takes(self, body: Any, namespace: str) -> bool:
        """Whether it would take it from a client that has unknown fields dropped instead of refused."""
        path = f"{self._folder(body, namespace)}?{urlencode({'dryRun': 'All', 'fieldValidation': 'Ignore'})}"
        answer = self._http.request("POST", self.server.url + path, json=body, headers=self._headers)
        assert answer.status in (201, 422), answer.data
        return answer.status == 201

    def apply(self, body: Any, namespace: str) -> None:
        """Server-side, with force."""
        taken, said = self.applied_by("", body, namespace)
        assert taken, said

    def applied_by(self, user: str, body: Any, namespace: str) -> tuple[bool, str]:
        """The same by somebody: whether the API server takes it, and what it says else."""
        path = f"{self._folder(body, namespace)}/{body['metadata']['name']}"
        return self._write("PATCH", path, body, user, False, "application/apply-patch+yaml")

    def _folder(self, body: Any, namespace: str) -> str:
        group, plural = FOLDERS[body["kind"]]
        return f"/{group}/namespaces/{namespace}/{plural}"

    def _write(
        self, method: str, path: str, body: Any, user: str, dry_run: bool, content_type: str
    ) -> tuple[bool, str]:
        query = {"fieldValidation": "Strict", "fieldManager": FIELD_MANAGER}
        query |= {"dryRun": "All"} if dry_run else {}
        query |= {"force": "true"} if method == "PATCH" else {}
        headers = {**self._headers, "Content-Type": content_type} | ({"Impersonate-User": user} if user else {})
        answer = self._http.request(
            method, f"{self.server.url}{path}?{urlencode(query)}", body=json.dumps(body), headers=headers
        )
        return answer.status < 300, "" if answer.status < 300 else str(answer.json()["message"])

    def create_namespace(self, name: str) -> None:
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})

    def take_away(self, kind: Resource) -> None:
        """Every object of a kind, in all namespaces, whoever still wanted to finish something about it."""
        for each in self.request("GET", kind.path())["items"]:
            path = kind.path(each["metadata"]["namespace"], each["metadata"]["name"])
            if each["metadata"].get("finalizers"):
                self.request("PATCH", path, {"metadata": {"finalizers": None}}, "application/merge-patch+json")
            self.request("DELETE", path)

    def writes(self) -> list[dict[str, Any]]:
        """Every write so far, by the audit log."""
        lines = self.server.audit_log.read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["verb"] not in ("get", "list", "watch")]

    def close(self) -> None:
        self._http.clear()
