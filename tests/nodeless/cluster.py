"""A real etcd and kube-apiserver, without a kubelet: pods never run here."""

import json
import ssl
import subprocess
import time
from pathlib import Path
from typing import Any

import urllib3

from localcluster import binaries
from localcluster.apiserver import ApiServer

REPOSITORY = Path(__file__).parents[2]


class Cluster:
    """The API server of the tests: kubectl for what a user does, plain requests for what has to be quick."""

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

    def writes(self) -> list[dict[str, Any]]:
        """Every write so far, by the audit log."""
        lines = self.server.audit_log.read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if entry["verb"] not in ("get", "list", "watch")]

    def close(self) -> None:
        self._http.clear()
