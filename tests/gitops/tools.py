"""Argo CD's health and actions by its Lua engine, and Flux's status by kstatus: a small Go program asks both."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from localcluster import binaries

HERE = Path(__file__).parent
PATCH = HERE.parents[1] / "manifests" / "argocd" / "argocd-cm-patch.yaml"
KIND = "modelward.io_ModelDeployment"
KINDS = ("ModelDeployment", "DriftPolicy", "RetrainingRun")

Object = dict[str, Any]


class RefusedError(Exception):
    """The tool itself would refuse: a script that fails, or an answer that it does not know."""


@dataclass(frozen=True)
class Verdict:
    """One word and a sentence, as the tool shows them."""

    status: str
    message: str = ""


class Judge:
    """Builds the program where the cache lacks it. Raises SetupError where that can't be done."""

    def __init__(self) -> None:
        self._program = binaries.program("what Argo CD and Flux make of an object", HERE / "judge")

    def ask(self, about: str, body: Object, script: str = "") -> Any:
        """The program's answer. Raises RefusedError with its words."""
        question = json.dumps({"ask": about, "script": script, "object": body})
        result = subprocess.run([self._program], input=question, text=True, capture_output=True, check=False)
        if result.returncode != 0:
            raise RefusedError(result.stderr.strip())
        return json.loads(result.stdout)

    def kstatus(self, body: Object) -> Verdict:
        """Current, InProgress, Failed or Terminating: what Flux, and everything else that uses kstatus, waits for."""
        return Verdict(**self.ask("kstatus", body))


class ArgoCd:
    """Argo CD as `manifests/argocd/argocd-cm-patch.yaml` configures it."""

    def __init__(self, judge: Judge) -> None:
        data = yaml.safe_load(PATCH.read_text())["data"]
        actions = yaml.safe_load(data[f"resource.customizations.actions.{KIND}"])
        self._judge = judge
        self._health = {kind: data[f"resource.customizations.health.modelward.io_{kind}"] for kind in KINDS}
        self._discovery: str = actions["discovery.lua"]
        self.scripts: dict[str, str] = {each["name"]: each["action.lua"] for each in actions["definitions"]}

    def health(self, body: Object) -> Verdict:
        """Healthy, Progressing, Degraded or Suspended."""
        return Verdict(**self._judge.ask("health", body, self._health[body["kind"]]))

    def actions(self, body: Object) -> dict[str, bool]:
        """By name of the action, whether it can be chosen now."""
        found = self._judge.ask("actions", body, self._discovery)
        return {name: not (action and action.get("disabled")) for name, action in found.items()}

    def run(self, action: str, body: Object) -> Object:
        """The object as the action leaves it."""
        changed: Object = self._judge.ask("action", body, self.scripts[action])
        return changed
