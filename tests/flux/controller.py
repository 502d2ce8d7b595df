"""kustomize-controller as a process of a test's own, and the CRDs of Flux."""

from collections.abc import Sequence
from pathlib import Path

from localcluster import binaries, settings
from localcluster.loopback import free_port
from nodeless.cluster import Cluster
from servers import Served

SOURCES = settings.SOURCES / "kustomizecontroller"
START_SECONDS = 120.0

CRDS = {
    "kustomizations.kustomize.toolkit.fluxcd.io": ("github.com/fluxcd/kustomize-controller", SOURCES),
    "gitrepositories.source.toolkit.fluxcd.io": ("github.com/fluxcd/source-controller", SOURCES.parent / "fluxsources"),
    "ocirepositories.source.toolkit.fluxcd.io": ("github.com/fluxcd/source-controller", SOURCES.parent / "fluxsources"),
    "buckets.source.toolkit.fluxcd.io": ("github.com/fluxcd/source-controller", SOURCES.parent / "fluxsources"),
}
"""Those that the controller watches: the Go module that each is in, and the folder whose go.sum pins it."""


def install_crds(cluster: Cluster) -> None:
    for name, (module, folder) in CRDS.items():
        plural, _, group = name.partition(".")
        path = binaries.module(module, folder) / "config/crd/bases" / f"{group}_{plural}.yaml"
        cluster.install(name, "-f", str(path))


class KustomizeController(Served):
    """`with KustomizeController(kubeconfig):` it applies what Kustomizations of this API server name.

    Its CRDs have to be there. Its gate `CancelHealthCheckOnNewRevision` is on, as docs/integrations/flux.md has it.
    """

    def __init__(self, kubeconfig: Path) -> None:
        super().__init__("kustomize-controller", START_SECONDS)
        self._kubeconfig = kubeconfig
        self._health, self._metrics = free_port(), free_port()

    @property
    def log(self) -> str:
        return self._process.log.read_text(errors="replace")

    def _command(self) -> Sequence[str]:
        return [
            "env", f"KUBECONFIG={self._kubeconfig}", f"TMPDIR={self._folder}",
            str(binaries.kustomize_controller()), f"--health-addr=127.0.0.1:{self._health}",
            f"--metrics-addr=127.0.0.1:{self._metrics}", "--feature-gates=CancelHealthCheckOnNewRevision=true",
        ]  # fmt: skip

    def _asked(self) -> str:
        return f"http://127.0.0.1:{self._health}/readyz"
