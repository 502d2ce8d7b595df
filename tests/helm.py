"""Helm against one API server, with folders of its own."""

import os
import subprocess
from pathlib import Path

from localcluster import binaries


class Helm:
    """`helm("list")` is what it prints; `helm.run` where it may fail. `folder`: its home, so that it finds nobody's."""

    def __init__(self, kubeconfig: Path, folder: Path) -> None:
        self._program = binaries.helm()
        self._config = f"--kubeconfig={kubeconfig}"
        self.environment = {**os.environ, "HOME": str(folder), "HELM_CACHE_HOME": str(folder / "cache")}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [self._program, *arguments, self._config],
            env=self.environment,
            text=True,
            capture_output=True,
            check=False,
        )

    def __call__(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout
