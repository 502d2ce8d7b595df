"""kubectl, by which the cluster is asked: its user's login and rights are those of whoever runs this.

Failure: KubectlError, with what kubectl said and what to do about it.
"""

import json
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from modelward_cli.cluster import MANAGER, Json

TIMEOUT: Final = 60.0
"""Seconds for one question."""

MODELS: Final = "modeldeployments.modelward.io"
POLICIES: Final = "driftpolicies.modelward.io"
RUNS: Final = "retrainingruns.modelward.io"
BATCHES: Final = "batchinferences.modelward.io"
REGISTRIES: Final = "modelregistries.modelward.io"

_LOGGED: Final = re.compile(r"[IWEF][0-9]{4} [0-9:.]+ +[0-9]+ [\w.]+:[0-9]+\] ")
"""A line of klog: level, date, time, process, source."""


class KubectlError(Exception):
    """kubectl is not there, or the cluster did not answer as asked. The message says which, and what to do."""


class NotFoundError(KubectlError):
    """The cluster has no such object."""


class NotAllowedError(KubectlError):
    """The cluster does not know who asks, or does not let him."""


class NoClusterError(KubectlError):
    """Nobody answers, or no cluster is named."""


class ConflictError(KubectlError):
    """Another manager has the field, or the object is another one by now."""


class ExistsError(KubectlError):
    """The name is taken."""


@dataclass(frozen=True)
class Kubectl:
    """`namespace`, `context`, `kubeconfig`: None for kubectl's own."""

    program: str = "kubectl"
    namespace: str | None = None
    context: str | None = None
    kubeconfig: str | None = None

    def listed(self, resource: str, selector: str = "", *, everywhere: bool = False) -> list[Json]:
        """The objects of a kind in the namespace, or in all of them. Raises KubectlError."""
        asked = [
            "get",
            resource,
            "-o",
            "json",
            *(["-l", selector] if selector else []),
            *(["-A"] if everywhere else []),
        ]
        try:
            items = json.loads(self._run(asked))["items"]
        except (ValueError, KeyError, TypeError):
            raise KubectlError(f"kubectl get {resource} gave no list of objects") from None
        return [each for each in items if isinstance(each, dict)]

    def got(self, resource: str, name: str) -> Json:
        """One object of the namespace. Raises NotFoundError, KubectlError."""
        try:
            return _object(self._run(["get", resource, named(name), "-o", "json"]))
        except ValueError:
            raise KubectlError(f"kubectl get {resource} {name} gave no object") from None

    def applied(self, resource: str, body: Json, *, force: bool = False) -> Json:
        """Server-side; the object as it is then. Raises ConflictError, KubectlError."""
        asked = ["apply", "--server-side", f"--field-manager={MANAGER}", "--validate=strict", "-f", "-", "-o", "json"]
        try:
            return _object(self._run([*asked, *(["--force-conflicts"] if force else [])], json.dumps(body)))
        except ValueError:
            raise KubectlError(f"kubectl apply of {resource} gave no object") from None

    def created(self, resource: str, body: Json) -> Json:
        """Raises ExistsError, KubectlError."""
        asked = ["create", f"--field-manager={MANAGER}", "--validate=strict", "-f", "-", "-o", "json"]
        try:
            return _object(self._run(asked, json.dumps(body)))
        except ValueError:
            raise KubectlError(f"kubectl create of {resource} gave no object") from None

    def annotated(self, resource: str, name: str, annotation: str, value: str) -> None:
        """Sets an annotation that is not there yet. Raises NotFoundError, KubectlError."""
        self._run(["annotate", resource, named(name), f"{annotation}={value}"])

    def executed(self, pod: str, container: str, command: Sequence[str]) -> str:
        """What a program in a container writes. Raises KubectlError."""
        return self._run(["exec", pod, "-c", container, "--", *command])

    def logged(self, pod: str, container: str, lines: int, *, previous: bool = False) -> str:
        """The end of a container's log; `previous`: of the one before its last restart. Raises KubectlError."""
        before = ["--previous"] if previous else []
        return self._run(["logs", pod, "-c", container, f"--tail={lines}", "--timestamps", *before])

    def current_context(self) -> str:
        """The context that is asked. Raises KubectlError where there is none, as in a pod."""
        return self.context or self._run(["config", "current-context"]).strip()

    def versions(self) -> str:
        """kubectl's and the cluster's, as JSON. Raises KubectlError."""
        return self._run(["version", "-o", "json"])

    def _run(self, arguments: Sequence[str], told: str = "") -> str:
        """`told`: what it reads from its standard input."""
        named = {"--namespace": self.namespace, "--context": self.context, "--kubeconfig": self.kubeconfig}
        options = [f"{name}={value}" for name, value in named.items() if value]
        try:
            ended = subprocess.run(
                [self.program, *options, *arguments],
                input=told.encode(),
                capture_output=True,
                timeout=TIMEOUT,
                check=False,
            )
        except FileNotFoundError:
            raise KubectlError(f"there is no {self.program}; install kubectl, or name it with --kubectl") from None
        except OSError as error:
            raise KubectlError(f"{self.program} can't be run: {error}") from None
        except subprocess.TimeoutExpired:
            raise NoClusterError(f"kubectl {arguments[0]} had no answer after {TIMEOUT:.0f} s") from None
        if ended.returncode:
            said = _said(ended.stderr, ended.returncode)
            raise _failure(f"kubectl {' '.join(arguments[:2])}: {said}", said)
        return ended.stdout.decode(errors="replace")


def _object(answer: str) -> Json:
    """Raises ValueError."""
    found = json.loads(answer)
    if not isinstance(found, dict) or not isinstance(found.get("metadata"), dict):
        raise ValueError("no object")
    return found


def named(name: str) -> str:
    """The name of an object, and nothing that kubectl takes for an option. Raises NotFoundError."""
    if not re.fullmatch(r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", name):
        raise NotFoundError(f"{name[:80]!r} is no name of an object: lower-case letters, digits, '-' and '.'")
    return name


def _failure(message: str, said: str) -> KubectlError:
    """What kubectl said, as an error of its kind. kubectl has one exit code for everything: its words tell."""
    if re.search(r"\(Forbidden\)|\bis forbidden\b", said):
        return NotAllowedError(f"{message}\nAsk for that right; docs/cli.md lists what each command needs.")
    if re.search(r"\(Unauthorized\)|must be logged in|provide credentials|getting credentials", said):
        return NotAllowedError(
            f"{message}\nLog in to the cluster, or name another login with --context or --kubeconfig."
        )
    if re.search(r"doesn't have a resource type|could not find the requested resource|no matches for kind", said):
        return KubectlError(
            f"{message}\nThe cluster does not know these objects: Modelward is not installed there, or an earlier "
            "release of it. Name another cluster with --context."
        )
    if "(NotFound)" in said:
        return NotFoundError(message)
    if "(AlreadyExists)" in said:
        return ExistsError(message)
    if "(Conflict)" in said or re.search(r"Apply failed with \d+ conflict", said):
        return ConflictError(message)
    if re.search(
        r"was refused|Unable to connect|no such host|i/o timeout|context .* does not exist|no configuration has been",
        said,
    ):
        return NoClusterError(f"{message}\nName a cluster that answers with --context or --kubeconfig.")
    return KubectlError(message)


def _said(stderr: bytes, code: int) -> str:
    """What is for a person. Before it kubectl logs each of its tries, where the cluster can't be reached."""
    lines = stderr.decode(errors="replace").strip().splitlines()
    words = [line for line in lines if not _LOGGED.match(line)]
    return "\n".join(words or lines) or f"it ended with {code}"
