"""The commands of manifests/argocd/README.md on a real API server."""

import json
import re
import shlex
from pathlib import Path

import yaml

from nodeless.cluster import Cluster

ARGOCD = Path(__file__).parents[2] / "manifests" / "argocd"
README = (ARGOCD / "README.md").read_text()


def command(beginning: str, namespace: str) -> list[str]:
    """The README's kubectl command, for the test's namespace instead of argocd."""
    (found,) = re.findall(rf"^kubectl {beginning}.*$", README, re.MULTILINE)
    words = [namespace if word == "argocd" else word for word in shlex.split(found)[1:]]
    return [str(ARGOCD.parents[1] / word) if word.startswith("manifests/") else word for word in words]


def test_the_patch_adds_to_what_is_there(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl(
        "create", "configmap", "argocd-cm", "-n", namespace, "--from-literal=url=https://argocd.example.com"
    )
    patch = command("patch configmap", namespace)
    cluster.kubectl(*patch)
    added = yaml.safe_load((ARGOCD / "argocd-cm-patch.yaml").read_text())["data"]
    assert cluster.get("configmap", "argocd-cm", "-n", namespace)["data"] == {
        **added,
        "url": "https://argocd.example.com",
    }
    assert "(no change)" in cluster.kubectl(*patch)


def test_kustomize_takes_the_patch(cluster: Cluster, tmp_path: Path) -> None:
    there = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "argocd-cm"}, "data": {"a": "b"}}
    (tmp_path / "argocd-cm.yaml").write_text(json.dumps(there))
    (tmp_path / "patch.yaml").write_text((ARGOCD / "argocd-cm-patch.yaml").read_text())
    kustomization = {"namespace": "argocd", "resources": ["argocd-cm.yaml"], "patches": [{"path": "patch.yaml"}]}
    (tmp_path / "kustomization.yaml").write_text(json.dumps(kustomization))
    built = yaml.safe_load(cluster.kubectl("kustomize", str(tmp_path)))
    assert {"a", "resource.customizations.health.modelward.io_ModelDeployment"} < set(built["data"])
