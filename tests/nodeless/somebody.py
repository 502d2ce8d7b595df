"""Users with the rights that a test gives them, one of whom has the operator's account, and what they may write."""

import json
import secrets
import time
from collections.abc import Callable

from .authored import Object
from .cluster import Cluster

Rule = tuple[str, str, str, str]
"""API group, resource, verb, and the name of the one object it is for ('': of all)."""

CREATES: tuple[Rule, ...] = tuple(
    ("modelward.io", kind, verb, "")
    for kind in ("modeldeployments", "driftpolicies", "modelregistries", "batchinferences")
    for verb in (("create", "update") if kind == "modelregistries" else ("get", "create", "update"))
)
BATCHES: tuple[Rule, ...] = tuple(rule for rule in CREATES if rule[1] == "batchinferences")
PATCHES: Rule = ("modelward.io", "modeldeployments", "patch", "")
JOBS: Rule = ("batch", "jobs", "create", "")
DEPLOYMENTS: Rule = ("apps", "deployments", "create", "")
LEASES: tuple[Rule, ...] = tuple(("coordination.k8s.io", "leases", verb, "") for verb in ("get", "create", "patch"))
WRITES: tuple[Rule, ...] = tuple(
    (group, resource, verb, "")
    for group, resource in (("", "configmaps"), ("", "services"), ("apps", "deployments"), ("batch", "jobs"))
    for verb in ("get", "create", "patch", "update", "delete")
)


class Somebody:
    """A user of a namespace of his own, with the rights that a test gives him."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.name = f"u-{secrets.token_hex(4)}"

    def may(self, *rules: Rule, own: tuple[Rule, ...] = CREATES) -> "Somebody":
        """`own`: what everybody may who writes objects of ours."""
        given = [
            {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
            | ({"resourceNames": [name]} if name else {})
            for group, resource, verb, name in (*own, *rules)
        ]
        role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": self.name}}
        self._apply({**role, "rules": given})
        self._apply(
            {
                **role, "kind": "RoleBinding",
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": self.name},
                "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": self.name}],
            }
        )  # fmt: skip
        return self

    def _apply(self, body: Object) -> None:
        self.cluster.apply(body, self.namespace)

    def writes(self, body: Object, *, dry_run: bool = False, apply: bool = False) -> tuple[bool, str]:
        """Whether the API server takes it, and what it says. Rights take a moment until they are known."""
        metadata = {"name": "fraud", "namespace": self.namespace}
        whole = {"apiVersion": "modelward.io/v1alpha1", "metadata": metadata, **body}
        end = time.monotonic() + 20.0
        while True:
            if apply:
                taken, said = self.cluster.applied_by(self.name, whole, self.namespace)
            else:
                taken, said = self.cluster.create(whole, self.namespace, user=self.name, dry_run=dry_run)
            if taken or "cannot " not in said or time.monotonic() > end:
                return taken, said
            time.sleep(0.05)


class Operator(Somebody):
    """Somebody who has the operator's account."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        super().__init__(cluster, namespace)
        self.name = "system:serviceaccount:modelward-system:modelward-operator"

    def creates(self, body: Object) -> tuple[bool, str]:
        """Whether it could: nothing is made."""
        return self._does(lambda: self.cluster.create(body, self.namespace, user=self.name, dry_run=True))

    def does(self, verb: str, body: Object, *options: str) -> tuple[bool, str]:
        """By kubectl."""
        words = [f"--as={self.name}", verb, "-n", self.namespace, "-f", "-", *options]

        def run() -> tuple[bool, str]:
            done = self.cluster.run(*words, stdin=json.dumps(body))
            return done.returncode == 0, done.stderr

        return self._does(run)

    def _does(self, attempt: Callable[[], tuple[bool, str]]) -> tuple[bool, str]:
        end = time.monotonic() + 20.0
        while True:
            taken, said = attempt()
            if taken or "cannot " not in said or time.monotonic() > end:
                return taken, said
            time.sleep(0.05)
