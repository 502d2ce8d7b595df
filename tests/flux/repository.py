"""A Git repository, and what source-controller would do with it: that is not run here, so this stands in for it.

What is pushed is packed as a .tar.gz by `git archive`, served over http, and told in the GitRepository's status with
its revision and digest, in the form that the real CRD asks for.
"""

import hashlib
import os
import subprocess
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from types import TracebackType
from typing import Self

from nodeless.cluster import Cluster
from nodeless.kubelet import MERGE
from threaded import Answers

BRANCH = "main"
_IDENTITY = {
    "GIT_AUTHOR_NAME": "n", "GIT_AUTHOR_EMAIL": "n@example.com", "GIT_COMMITTER_NAME": "n",
    "GIT_COMMITTER_EMAIL": "n@example.com", "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null",
}  # fmt: skip


class Repository:
    """`with Repository(…) as repository:` what is pushed reaches the GitRepository `models` of the namespace.

    `folder`: a person's clone; what a test writes there is in its next commit. `origin`: where it is pushed to.
    """

    def __init__(self, folder: Path, cluster: Cluster, namespace: str) -> None:
        self.folder = folder
        self.origin = folder.with_suffix(".git")
        self.revision = ""
        """As Flux writes it: branch@sha1:commit."""
        self._cluster = cluster
        self._path = f"/apis/source.toolkit.fluxcd.io/v1/namespaces/{namespace}/gitrepositories/models"
        self._packed: dict[str, bytes] = {}
        self._server = Answers(self._handler())
        folder.parent.mkdir(exist_ok=True)
        _run(folder.parent, "git", "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(self.origin))
        _run(folder.parent, "git", "clone", "--quiet", str(self.origin), str(folder))

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.__exit__(kind, error, trace)

    def shell(self, script: str) -> str:
        """Commands of a page, which end with a push, in the clone. Returns the revision."""
        _run(self.folder, "sh", "-e", "-c", script)
        return self._publish()

    def commit(self, message: str) -> str:
        """All that the clone has now. Returns the revision."""
        return self.shell(f"git add --all\ngit commit --quiet --message='{message}'\ngit push --quiet")

    def revert(self) -> str:
        """The newest commit, by another that undoes it. Returns the revision."""
        return self.shell("git revert --no-edit HEAD\ngit push --quiet")

    def _publish(self) -> str:
        commit = _run(self.origin, "git", "rev-parse", BRANCH).decode().strip()
        # Of a commit instead of its tree, it would have a header that is no file.
        packed = _run(self.origin, "git", "archive", "--format=tar.gz", f"{commit}^{{tree}}")
        self._packed[f"/{commit}.tar.gz"] = packed
        self.revision = f"{BRANCH}@sha1:{commit}"
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        artifact = {
            "digest": f"sha256:{hashlib.sha256(packed).hexdigest()}", "lastUpdateTime": now, "path": f"{commit}.tar.gz",
            "revision": self.revision, "size": len(packed), "url": f"http://{self._server.address}/{commit}.tar.gz",
        }  # fmt: skip
        ready = {
            "type": "Ready", "status": "True", "reason": "Succeeded", "lastTransitionTime": now,
            "message": f"stored artifact for revision '{self.revision}'",
        }  # fmt: skip
        told = {"status": {"artifact": artifact, "conditions": [ready], "observedGeneration": 1}}
        assert self._cluster.request("PATCH", f"{self._path}/status", told, MERGE) is not None, "no GitRepository"
        return self.revision

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        packed = self._packed

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = packed.get(self.path)
                self.send_response(404 if body is None else 200)
                self.send_header("Content-Length", str(len(body or b"")))
                self.end_headers()
                self.wfile.write(body or b"")

            def log_message(self, *args: object) -> None:
                """Nothing."""

        return Handler


def _run(folder: Path, *command: str) -> bytes:
    environment = {**os.environ, **_IDENTITY}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
