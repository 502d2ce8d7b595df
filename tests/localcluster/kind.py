"""kind: the cluster where a Docker engine answers."""

import functools

from localcluster import binaries, settings
from localcluster.commands import locked, run, succeeds
from localcluster.progress import say, step

CONFIG = settings.REPOSITORY / "kind-config.yaml"


@functools.cache
def is_chosen() -> bool:
    """Whether a Docker engine answers."""
    return succeeds(["docker", "info"])


def _kind(*arguments: str) -> str:
    return run([binaries.kind(), *arguments, "--name", settings.CLUSTER_NAME])


def exists() -> bool:
    return settings.CLUSTER_NAME in run([binaries.kind(), "get", "clusters"]).split()


def up() -> None:
    """Create the cluster unless it is there; its kubeconfig is a file of its own."""
    settings.state_dir().mkdir(parents=True, exist_ok=True)
    with locked("cluster"):
        if exists():
            say("the cluster is up already")
        else:
            with step("creating the kind cluster"):
                _kind("create", "cluster", "--config", str(CONFIG), "--kubeconfig", _kubeconfig(), "--wait", "180s")
        run([binaries.kind(), "export", "kubeconfig", "--name", settings.CLUSTER_NAME, "--kubeconfig", _kubeconfig()])


def down() -> None:
    with locked("cluster"), step("deleting the kind cluster"):
        _kind("delete", "cluster", "--kubeconfig", _kubeconfig())


def status() -> dict[str, object]:
    ready = exists() and succeeds([binaries.kubectl(), f"--kubeconfig={_kubeconfig()}", "get", "--raw", "/readyz"])
    return {"kind": "kind", "node_ready": ready, "dns_ready": ready, "kubeconfig": _kubeconfig()}


def node_images() -> set[str]:
    node = f"{settings.CLUSTER_NAME}-control-plane"
    return set(run(["docker", "exec", node, "ctr", "-n", "k8s.io", "images", "list", "--quiet"]).split())


def load(reference: str) -> None:
    _kind("load", "docker-image", reference)


def _kubeconfig() -> str:
    return str(settings.kubeconfig_path())
