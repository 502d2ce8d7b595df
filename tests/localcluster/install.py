"""Installs the operator into the cluster from manifests/base, with images that were built from this checkout."""

from localcluster import images, settings
from localcluster.clients import kubectl, wait_for_crds
from localcluster.commands import locked
from localcluster.progress import step
from manifests.pin import installation

NAMESPACE = "modelward-system"
ROLES = ["operator", "inference", "router", "evaluate"]


def install() -> dict[str, str]:
    """Build, load and install; returns when the operator is ready. Gives the images by role."""
    references = images.ensure(ROLES)
    overlay = settings.state_dir() / "install"
    overlay.mkdir(parents=True, exist_ok=True)
    with locked("install"), step("installing the operator"):
        (overlay / "kustomization.yaml").write_text(installation(overlay, references))
        kubectl("apply", "--server-side", "--force-conflicts", "-k", str(overlay))
        kinds = ("modeldeployments", "driftpolicies", "retrainingruns", "modelregistries", "batchinferences")
        wait_for_crds(*(f"{kind}.modelward.io" for kind in kinds))
        kubectl("rollout", "status", "deployment/modelward-operator", "-n", NAMESPACE, "--timeout=180s")
    return references
