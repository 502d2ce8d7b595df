"""kubectl and containerd's command line, pointed at our cluster and never at anybody else's."""

from pathlib import Path

from localcluster import binaries, node, settings
from localcluster.commands import run
from localcluster.progress import wait_for


def kubectl(*arguments: str, stdin: str | None = None, check: bool = True) -> str:
    return run([binaries.kubectl(), f"--kubeconfig={settings.kubeconfig_path()}", *arguments], stdin=stdin, check=check)


def wait_for_crds(*names: str) -> None:
    """Return when the API server serves them. `kubectl wait` alone fails on one that is too new to have a status."""
    command = ("wait", "--for=condition=Established", "--timeout=10s", *(f"crd/{name}" for name in names))
    wait_for(f"{', '.join(names)}", lambda: kubectl(*command, check=False).count("met") == len(names), deadline=60)


def ctr(*arguments: str | Path, of: node.Node | None = None, check: bool = True) -> str:
    """containerd's own command line, in the namespace that the kubelet uses. `of`: of which node, the first."""
    address = (of or node.first()).socket
    return run(["ctr", "--address", address, "--namespace", "k8s.io", *arguments], check=check)


def node_images(of: node.Node | None = None) -> set[str]:
    """References of the images that a node has, the first one."""
    return set(ctr("images", "list", "--quiet", of=of).split())


def node_is_ready(name: str = settings.NODE_NAME) -> bool:
    path = "{.status.conditions[?(@.type=='Ready')].status}"
    return kubectl("get", "node", name, "-o", f"jsonpath={path}", check=False) == "True"
