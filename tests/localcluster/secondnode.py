"""A second node for what one can't show: a kubelet and a containerd of its own beside the first, on the same machine.

Only where the first has no Docker either, and only for as long as somebody needs it: pods that others make meanwhile
may land on it, and find no image there but those that it was given.
"""

import shutil
from collections.abc import Sequence

from localcluster import binaries, containers, images, node
from localcluster.clients import kubectl, node_is_ready
from localcluster.processes import Process
from localcluster.progress import step, wait_for

PROCESSES = ("containerd", "kubelet")
DRAIN_SECONDS = 60


def process(name: str) -> Process:
    return Process(name, node.second().folder)


def up(roles: Sequence[str]) -> str:
    """Start it beside a cluster that is up, with the images of `roles`; its name, once it is ready."""
    of = node.second()
    with step("starting a second node"):
        node.write_configuration(of)
        node.take_address(of)
        containers.make_cgroups(of)
        process("containerd").start(node.containerd_command(of))
        wait_for("containerd's start", lambda: node.containerd_answers(of), deadline=30)
        images.import_scratch(node.PAUSE_IMAGE, binaries.pause(), "/pause", of=of)
        images.bring(roles, of)
        process("kubelet").start(node.kubelet_command(of, binaries.kubernetes() / "kubelet"))

        def ready() -> bool:
            for name in PROCESSES:
                process(name).check()
            return node_is_ready(of.name)

        wait_for("the second node to become ready", ready, deadline=120)
    return of.name


def leave() -> None:
    """Take it away from a cluster that goes on: its pods go first, budgets or not."""
    of = node.second()
    kubectl(
        "drain", of.name, "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--disable-eviction",
        "--grace-period=1", f"--timeout={DRAIN_SECONDS}s", check=False,
    )  # fmt: skip
    process("kubelet").stop()
    kubectl("delete", "node", of.name, "--ignore-not-found")
    down()


def down() -> None:
    """End whatever of it is there."""
    of = node.second()
    if not of.folder.exists():
        return
    process("kubelet").stop()
    containers.end(of)
    process("containerd").stop()
    containers.unmount(of.folder)
    node.give_address_back(of)
    shutil.rmtree(of.folder)
