"""Which revision answered a request: every pod with a monitor is asked whether it remembers the id.

The question is a program that is run in the monitor's container (`kubectl exec`), so that the cluster's own
authorisation decides who may ask; a monitor's HTTP is for nobody but the operator.
"""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from modelward_cli.kubectl import Kubectl, KubectlError
from modelward_cli.lineage.origin import LABEL_INSTANCE, LABEL_REVISION, SERVERS, Json
from modelward_cli.times import shown

MONITOR: Final = "monitor"
PROGRAM: Final = ("/opt/venv/bin/python3", "-m", "modelward_inference", "answered", "--")
AT_A_TIME: Final = 8
MAX_ID: Final = 128

SHADOW: Final = "shadow"
"""The arm of a copy, whose answer nobody saw."""


@dataclass(frozen=True)
class Answer:
    """`time`: RFC 3339, to the second; `arm`: direct (the router said none), stable, candidate, variant or shadow."""

    model: str
    revision: str
    pod: str
    time: str | None
    arm: str


@dataclass(frozen=True)
class Asked:
    """One pod. `since`: what it remembers begins then, None: it remembers nothing; `problem`: why it did not say."""

    model: str
    revision: str
    pod: str
    since: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Search:
    """`without`: models none of whose pods has a monitor."""

    answers: tuple[Answer, ...]
    pods: tuple[Asked, ...]
    without: tuple[str, ...] = ()


def search(kubectl: Kubectl, request_id: str, model: str | None = None) -> Search:
    """`model`: None for all of the namespace. Raises KubectlError."""
    selector = SERVERS + (f",{LABEL_INSTANCE}={model}" if model else "")
    pods = [each for each in kubectl.listed("pods", selector) if _lives(each)]
    watched = [each for each in pods if _has_monitor(each)]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        told = list(pool.map(lambda pod: _ask(kubectl, pod, request_id), watched))
    models = {_label(each, LABEL_INSTANCE) for each in pods} - {_label(each, LABEL_INSTANCE) for each in watched}
    answers = [answer for found, _ in told for answer in found]
    # A copy last: it is not what the client got.
    answers.sort(key=lambda each: (each.arm == SHADOW, each.time or "", each.pod))
    return Search(tuple(answers), tuple(asked for _, asked in told), tuple(sorted(models)))


def _ask(kubectl: Kubectl, pod: Json, request_id: str) -> tuple[Sequence[Answer], Asked]:
    name = str(pod["metadata"]["name"])
    about = (_label(pod, LABEL_INSTANCE), _label(pod, LABEL_REVISION), name)
    try:
        said = json.loads(kubectl.executed(name, MONITOR, [*PROGRAM, request_id]))
        since = said["since"]
        answers = [Answer(*about, shown(each["time"]), str(each["arm"])) for each in said["answers"]]
        return answers, Asked(*about, None if since is None else shown(since))
    except KubectlError as error:
        return (), Asked(*about, problem=_cause(str(error)))
    except (ValueError, KeyError, TypeError):
        return (), Asked(*about, problem="what its monitor says can't be read; is its image of an earlier release?")


def _cause(said: str) -> str:
    if "invalid choice" in said:
        return "its image is of an earlier release, which remembers no requests"
    return " ".join(said.split())[:300]


def _has_monitor(pod: Json) -> bool:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    parts: list[Any] = [*(spec.get("initContainers") or ()), *(status.get("initContainerStatuses") or ())]
    return any(isinstance(each, Mapping) and each.get("name") == MONITOR for each in parts)


def _lives(pod: Json) -> bool:
    return (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed")


def _label(pod: Json, name: str) -> str:
    return str((pod["metadata"].get("labels") or {}).get(name, ""))
