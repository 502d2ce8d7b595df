"""Installs the operator into the cluster from manifests/base, with images that were built from this checkout."""

import os
from pathlib import Path

from localcluster import images, settings
from localcluster.clients import kubectl, wait_for_crds
from localcluster.progress import step

NAMESPACE = "modelward-system"
ROLES = ["operator", "inference", "router"]


def install() -> dict[str, str]:
    """Build, load and install; returns when the operator is ready. Gives the images by role."""
    references = images.ensure(ROLES)
    overlay = settings.state_dir() / "install"
    overlay.mkdir(parents=True, exist_ok=True)
    (overlay / "kustomization.yaml").write_text(kustomization(overlay, references))
    with step("installing the operator"):
        kubectl("apply", "--server-side", "--force-conflicts", "-k", str(overlay))
        wait_for_crds("modeldeployments.modelward.io", "driftpolicies.modelward.io")
        kubectl("rollout", "status", "deployment/modelward-operator", "-n", NAMESPACE, "--timeout=180s")
    return references


def kustomization(overlay: Path, references: dict[str, str]) -> str:
    """An overlay as users write it: the base, and other images."""
    base = os.path.relpath(settings.REPOSITORY / "manifests" / "base", overlay)
    name, _, tag = references["operator"].rpartition(":")
    return f"""apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {NAMESPACE}
resources:
- {base}
images:
- name: docker.io/modelward/operator
  newName: {name}
  newTag: {tag}
configMapGenerator:
- name: modelward-settings
  behavior: merge
  literals:
  - MODELWARD_SERVER_IMAGE={references["inference"]}
  - MODELWARD_ROUTER_IMAGE={references["router"]}
"""
