"""The Kustomization of examples/flux/flux.yaml in a namespace of a test's own, as a person would look at it."""

import shutil
from pathlib import Path
from typing import Any

from flux.repository import Repository
from nodeless.cluster import REPOSITORY, Cluster
from nodeless.kubelet import MERGE
from unit.pipelines.pages import blocks

PAGE = "docs/integrations/flux.md"
EXAMPLE = REPOSITORY / "examples/flux"
ASKED = "reconcile.fluxcd.io/requestedAt"


class Models:
    """What the example applies, with its namespace changed alone; `repository`: that of its GitRepository."""

    def __init__(self, cluster: Cluster, namespace: str, folder: Path) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.account = f"system:serviceaccount:{namespace}:flux-models"
        self._path = f"/apis/kustomize.toolkit.fluxcd.io/v1/namespaces/{namespace}/kustomizations/models"
        text = (EXAMPLE / "flux.yaml").read_text()
        for word in ("namespace", "targetNamespace"):
            text = text.replace(f"{word}: ml", f"{word}: {namespace}")
        cluster.kubectl("apply", "-f", "-", stdin=text)
        self.repository = Repository(folder, cluster, namespace)
        # The page's commands find this repository's examples beside them, and nobody commits those.
        shutil.copytree(EXAMPLE, folder / "examples/flux")
        (folder / ".git/info/exclude").write_text("/examples\n")
        self._requests = 0

    def begin(self) -> str:
        """The first commit, by the page's own commands. Returns the revision."""
        return self.repository.shell(blocks(PAGE, "sh")[0])

    def get(self) -> Any:
        return self.cluster.request("GET", self._path)

    def condition(self, kind: str) -> Any:
        found = (each for each in self.get().get("status", {}).get("conditions", ()) if each["type"] == kind)
        return next(found, {"status": "", "reason": "", "message": ""})

    def is_ready(self) -> bool:
        """Whether the newest commit is applied, and healthy."""
        body = self.get()
        return bool(
            self.condition("Ready")["status"] == "True"
            and body["status"].get("lastAppliedRevision") == self.repository.revision
        )

    def ask(self) -> str:
        """What `flux reconcile kustomization models` does. Returns what `has_looked` takes."""
        self._requests += 1
        asked = {"metadata": {"annotations": {ASKED: str(self._requests)}}}
        self.cluster.request("PATCH", self._path, asked, MERGE)
        return str(self._requests)

    def has_looked(self, asked: str) -> bool:
        """Whether it has, and is done with it: this is told last."""
        return bool(self.get()["status"].get("lastHandledReconcileAt") == asked)

    def writes(self) -> list[tuple[str, str, str]]:
        """Verb, kind and name of what Flux's account wrote into the namespace; its dry runs are none."""
        return [
            (entry["verb"], entry["objectRef"]["resource"], entry["objectRef"]["name"])
            for entry in self.cluster.writes()
            if entry.get("impersonatedUser", {}).get("username") == self.account
            and "dryRun=All" not in entry["requestURI"]
            and entry["responseStatus"]["code"] < 300
        ]

    def let_go(self) -> None:
        """Of the Kustomization, and of nothing that it applied; its controller must have ended."""
        self.cluster.request("PATCH", self._path, {"metadata": {"finalizers": None}}, MERGE)
        self.cluster.request("DELETE", self._path)
