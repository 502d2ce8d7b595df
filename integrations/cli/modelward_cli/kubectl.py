"""kubectl, by which the cluster is asked: its user's login and rights are those of whoever runs this.

Failure: KubectlError, with what kubectl said.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

TIMEOUT: Final = 60.0
"""Seconds for one question."""

Json = dict[str, Any]


class KubectlError(Exception):
    """kubectl is not there, or the cluster did not answer as asked. The message says which, and what to do."""


@dataclass(frozen=True)
class Kubectl:
    """`namespace`, `context`, `kubeconfig`: None for kubectl's own."""

    program: str = "kubectl"
    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None

    def listed(self, resource: str, selector: str = "") -> list[Json]:
        """The objects of a kind in the namespace. Raises KubectlError."""
        asked = ["get", resource, "-o", "json", *(["-l", selector] if selector else [])]
        try:
            items = json.loads(self._run(asked))["items"]
        except (ValueError, KeyError, TypeError):
            raise KubectlError(f"kubectl get {resource} gave no list of objects") from None
        return [each for each in items if isinstance(each, dict)]

    def executed(self, pod: str, container: str, command: Sequence[str]) -> str:
        """What a program in a container writes. Raises KubectlError."""
        return self._run(["exec", pod, "-c", container, "--", *command])

    def _run(self, arguments: Sequence[str]) -> str:
        named = {"--namespace": self.namespace, "--context": self.context, "--kubeconfig": self.kubeconfig}
        options = [f"{name}={value}" for name, value in named.items() if value]
        try:
            ended = subprocess.run(
                [self.program, *options, *arguments], capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT,
                check=False,
            )  # fmt: skip
        except FileNotFoundError:
            raise KubectlError(f"there is no {self.program}; install kubectl, or name it with --kubectl") from None
        except OSError as error:
            raise KubectlError(f"{self.program} can't be run: {error}") from None
        except subprocess.TimeoutExpired:
            raise KubectlError(f"kubectl {arguments[0]} had no answer after {TIMEOUT:.0f} s") from None
        if ended.returncode:
            said = ended.stderr.decode(errors="replace").strip() or f"it ended with {ended.returncode}"
            raise KubectlError(f"kubectl {' '.join(arguments[:2])}: {said}")
        return ended.stdout.decode(errors="replace")
