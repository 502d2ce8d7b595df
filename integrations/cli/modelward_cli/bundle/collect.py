"""Asks the cluster for what tells of a model: its objects, events, and the ends of logs, the operator's too.

What may not be asked, or is not there, is noted and left out. Secrets are read where that is allowed, for their values
to be recognised in texts; they go nowhere.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any, Final

from modelward_cli.bundle.redact import Json, redacted, scrubbed, secret_names, values_of
from modelward_cli.kubectl import (
    MODELS,
    POLICIES,
    REGISTRIES,
    RUNS,
    Kubectl,
    KubectlError,
    NoClusterError,
    NotFoundError,
)

INSTANCE: Final = "app.kubernetes.io/instance"
TARGET: Final = "modelward.io/target"
OPERATOR: Final = "app.kubernetes.io/name=modelward-operator"

OWNED: Final = (
    "deployments.apps", "replicasets.apps", "controllerrevisions.apps", "services", "configmaps", "pods",
    "poddisruptionbudgets.policy", "networkpolicies.networking.k8s.io", "persistentvolumeclaims",
)  # fmt: skip

AT_A_TIME: Final = 8
MOST_PODS: Final = 20
"""Whose logs are taken; those that are not ready first."""

MOST_TEXT: Final = 2_000_000
"""Characters of one log."""


@dataclass
class Found:
    """`objects`: by the file's name; `logs`: the same; `notes`: what is not in it, and why."""

    objects: dict[str, Json] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    secrets: list[Json] = field(default_factory=list)

    def files(self) -> dict[str, Any]:
        """What may be seen of it: objects without what is secret, and texts."""
        values = values_of(self.secrets, self.objects.values())
        objects = {name: redacted(body, values) for name, body in self.objects.items()}
        return {**objects, **{name: scrubbed(text, values) for name, text in {**self.texts, **self.logs}.items()}}

    def shown_notes(self) -> list[str]:
        values = values_of(self.secrets, self.objects.values())
        return [scrubbed(note, values) for note in self.notes]


def collect(kubectl: Kubectl, name: str, body: Json, operator_namespace: str, lines: int) -> Found:
    """`body`: the ModelDeployment; `lines`: of each log, 0 for none. Raises KubectlError where nobody answers."""
    found = Found()
    found.objects[_file(MODELS, body)] = body
    _objects(kubectl, name, found)
    pods = [each for path, each in found.objects.items() if path.startswith("objects/pods/")]
    elsewhere = replace(kubectl, namespace=operator_namespace)
    operators = _listed(elsewhere, "pods", OPERATOR, found)
    for each in (*(operators or ()), *(_listed(elsewhere, "deployments.apps", OPERATOR, found) or ())):
        found.objects[f"operator/{each['metadata']['name']}.{str(each.get('kind', 'object')).lower()}.json"] = each
    if operators == []:
        found.notes.append(
            f"There is no operator's pod in {operator_namespace}; name its namespace with --operator-namespace."
        )
    _events(kubectl, name, found)
    try:
        found.texts["versions.json"] = kubectl.versions()
    except KubectlError as error:
        found.notes.append(str(error))
    _secrets(kubectl, [each for path, each in found.objects.items() if not path.startswith("operator/")], found)
    _secrets(elsewhere, [each for path, each in found.objects.items() if path.startswith("operator/")], found)
    if lines:
        _logs(kubectl, pods, "logs", lines, found)
        _logs(elsewhere, operators or (), "operator/logs", lines, found)
    return found


def _objects(kubectl: Kubectl, name: str, found: Found) -> None:
    wanted = [(each, f"{INSTANCE}={name}") for each in OWNED]
    for resource, selector in (*wanted, ("jobs.batch", f"{TARGET}={name}"), ("pods", f"{TARGET}={name}")):
        _keep(found, resource, _listed(kubectl, resource, selector, found))
    runs, policies = (_listed(kubectl, each, "", found) or () for each in (RUNS, POLICIES))
    _keep(found, RUNS, [each for each in runs if _path(each, "spec", "target", "name") == name])
    _keep(found, POLICIES, [each for each in policies if _watches(each, name)])
    _keep(found, REGISTRIES, _listed(kubectl, REGISTRIES, "", found))


def _events(kubectl: Kubectl, name: str, found: Found) -> None:
    names = {str(each["metadata"]["name"]) for each in found.objects.values()}
    events = _listed(kubectl, "events", "", found) or ()
    about = [
        each
        for each in events
        if (of := str(_path(each, "involvedObject", "name"))) in names or of.startswith(f"{name}-")
    ]
    found.objects["events.json"] = {"kind": "List", "items": about}


def _secrets(kubectl: Kubectl, objects: Sequence[Json], found: Found) -> None:
    """Those of the namespace that the objects name."""
    unread = []
    for secret in sorted(set(secret_names(objects))):
        try:
            found.secrets.append(kubectl.got("secrets", secret))
        except NotFoundError:
            continue
        except NoClusterError:
            raise
        except KubectlError:
            unread.append(secret)
    if unread:
        found.notes.append(
            f"You may not read the Secrets {', '.join(unread)}, so that their values can't be recognised in logs and "
            "messages; what looks like a credential is left out all the same. Look through the logs before you send "
            "them."
        )


def _logs(kubectl: Kubectl, pods: Sequence[Json], folder: str, lines: int, found: Found) -> None:
    chosen = sorted(pods, key=_is_ready)[:MOST_PODS]
    if len(pods) > len(chosen):
        found.notes.append(
            f"Logs are of {len(chosen)} of {len(pods)} pods in {folder}; those that are not ready came first."
        )
    wanted = [
        (str(pod["metadata"]["name"]), container, previous)
        for pod in chosen
        for container, restarted in _containers(pod)
        for previous in ((False, True) if restarted else (False,))
    ]

    def one(asked: tuple[str, str, bool]) -> tuple[str, str | None, str]:
        pod, container, previous = asked
        path = f"{folder}/{pod}/{container}{'.previous' if previous else ''}.log"
        try:
            return path, kubectl.logged(pod, container, lines, previous=previous), ""
        except KubectlError as error:
            return path, None, str(error)

    with ThreadPoolExecutor(AT_A_TIME) as pool:
        for path, text, problem in pool.map(one, wanted):
            if text is None:
                found.notes.append(f"{path}: {problem}")
            else:
                found.logs[path] = text[-MOST_TEXT:]


def _listed(kubectl: Kubectl, resource: str, selector: str, found: Found) -> list[Json] | None:
    """None: they may not be asked for, or can't be, which is noted."""
    try:
        return list(kubectl.listed(resource, selector))
    except NoClusterError:
        raise
    except KubectlError as error:
        found.notes.append(str(error))
        return None


def _keep(found: Found, resource: str, bodies: Iterable[Json] | None) -> None:
    for body in bodies or ():
        found.objects[_file(resource, body)] = body


def _file(resource: str, body: Json) -> str:
    return f"objects/{resource.partition('.')[0]}/{body['metadata']['name']}.json"


def _watches(policy: Json, name: str) -> bool:
    targets = _path(policy, "status", "targets")
    told = [each.get("name") for each in targets if isinstance(each, dict)] if isinstance(targets, list) else []
    return name in (_path(policy, "spec", "target", "name"), *told)


def _containers(pod: Json) -> list[tuple[str, bool]]:
    """Names, and whether there was one before."""
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    states = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    again = {each.get("name") for each in states if each.get("restartCount")}
    parts = [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]
    return [(str(each["name"]), each["name"] in again) for each in parts if "name" in each]


def _is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in conditions)


def _path(body: Any, *names: str) -> Any:
    for name in names:
        body = body.get(name) if isinstance(body, dict) else None
    return body
