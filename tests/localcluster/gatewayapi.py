"""The Gateway API with a real implementation in the cluster: Envoy Gateway and its Envoy, both in one pod.

Envoy Gateway runs in its host mode, where Envoy is a child process instead of pods of its own: one image, no pull.
"""

import shutil
from pathlib import Path

from localcluster import binaries, images, settings
from localcluster.clients import kubectl, wait_for_crds
from localcluster.commands import locked, replacing, run
from localcluster.digest import digest_of
from localcluster.progress import step

GROUP = "gateway.networking.k8s.io"
NAMESPACE = "modelward-gateway"
GATEWAY = "public"
"""The Gateway, which takes routes of every namespace, and the Service by which it is reached."""

_MANIFEST = settings.SOURCES / "gatewayapi.yaml"
_SOURCES = settings.SOURCES / "envoygateway"
_API_CRDS = Path("config/crd/standard")
_OWN_CRDS = Path("charts/gateway-helm/charts/crds/crds/generated")


def api_crds() -> Path:
    """A folder with the CRDs of the Gateway API's standard channel."""
    return _crds() / "api"


def up() -> None:
    """Install both, and wait until they run. Nothing happens where they do."""
    reference = images.ensure(["gateway"])["gateway"]
    with step("installing Envoy Gateway"):
        kubectl("apply", "--server-side", "--force-conflicts", "-f", str(api_crds()), "-f", str(_crds() / "own"))
        wait_for_crds(*(f"{plural}.{GROUP}" for plural in ("gatewayclasses", "gateways", "httproutes")))
        manifest = _MANIFEST.read_text().replace("docker.io/modelward/gateway:dev", reference)
        kubectl("apply", "-f", "-", stdin=manifest.replace("ENVOY_VERSION", settings.ENVOY_VERSION))
        kubectl("rollout", "status", "deployment/envoy-gateway", "-n", NAMESPACE, "--timeout=120s")
        kubectl("wait", f"gateway/{GATEWAY}", "-n", NAMESPACE, "--for=condition=Accepted", "--timeout=60s")


def down() -> None:
    """Take it away. The CRDs stay, and with them everybody's routes."""
    with step("removing Envoy Gateway"):
        # While its controller runs: the class has a finalizer.
        kubectl("delete", "gateway", GATEWAY, "-n", NAMESPACE, "--ignore-not-found")
        kubectl("delete", "gatewayclass", NAMESPACE, "--ignore-not-found")
        kubectl("delete", "clusterrolebinding", NAMESPACE, "--ignore-not-found")
        kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found")


def _crds() -> Path:
    """CRDs by who made them, from the Go modules that the binary is built from."""
    target = settings.cache_dir() / f"gateway-crds-{digest_of([_SOURCES / 'go.sum'])}"
    with locked("gateway-crds"):
        if not target.is_dir():
            for old in settings.cache_dir().glob("gateway-crds-*"):
                shutil.rmtree(old)
            with replacing(target) as folder:
                shutil.copytree(binaries.module("sigs.k8s.io/gateway-api", _SOURCES) / _API_CRDS, folder / "api")
                shutil.copytree(binaries.module("github.com/envoyproxy/gateway", _SOURCES) / _OWN_CRDS, folder / "own")
                # Go's module cache is read-only, and so would be the copy.
                run(["chmod", "-R", "u+w", folder])
    return target
