"""A real etcd and kube-apiserver, without a kubelet: pods never run here."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcluster import binaries
from localcluster.apiserver import ApiServer

REPOSITORY = Path(__file__).parents[2]


class Cluster:
    """kubectl against the API server of the tests."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.repository = REPOSITORY
        self._command = [str(binaries.kubectl()), f"--kubeconfig={server.kubeconfig}"]

    def run(self, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([*self._command, *arguments], input=stdin, text=True, capture_output=True, check=False)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        result = self.run(*arguments, stdin=stdin)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def get(self, *arguments: str) -> Any:
        return json.loads(self.kubectl("get", *arguments, "-o", "json"))

    def writes(self) -> list[dict[str, Any]]:
        """Every write so far, by the audit log."""
        lines = self.server.audit_log.read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["verb"] not in ("get", "list", "watch")]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with ApiServer() as server:
        made = Cluster(server)
        made.kubectl("apply", "-k", str(REPOSITORY / "crds"))
        made.kubectl("wait", "--for=condition=Established", "crd/modeldeployments.modelward.io", "--timeout=30s")
        yield made


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """A namespace of the test's own."""
    digits = abs(hash(request.node.nodeid)) % 10**8
    name = f"t-{digits}"
    cluster.kubectl("create", "namespace", name)
    return name
