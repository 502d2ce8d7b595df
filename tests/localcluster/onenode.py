"""A real one-node Kubernetes without Docker: start, stop and look at it.

Every step may be repeated: `up` starts what does not run and leaves the rest alone; `down` takes away what it finds.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from localcluster import (
    addons,
    baseimage,
    binaries,
    containers,
    debian,
    images,
    leftovers,
    node,
    pki,
    secondnode,
    settings,
    sysctls,
)
from localcluster.apiserver import is_ready
from localcluster.clients import node_images, node_is_ready
from localcluster.commands import locked
from localcluster.controlplane import ControlPlane
from localcluster.processes import Process
from localcluster.progress import SetupError, say, step, wait_for

ETCD_PORT, ETCD_PEER_PORT = 16379, 16380

PROCESSES = (
    "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "containerd", "kubelet", "kube-proxy",
)  # fmt: skip
"""In the order of their start."""

POLICIES = "networkpolicies"
"""The process that enforces NetworkPolicies, where that was asked for (policies.py)."""

METRICS = "metrics-server"
"""The process that measures pods, where that was asked for (metricsserver.py)."""

CLIENTS = {"kubelet-client": "/O=system:masters/CN=kube-apiserver-kubelet-client"}


def plane() -> ControlPlane:
    return ControlPlane(
        settings.state_dir(), settings.NODE_IP, settings.API_PORT, ETCD_PORT, ETCD_PEER_PORT, settings.SERVICE_CIDR
    )


def process(name: str) -> Process:
    return Process(name, settings.state_dir())


def prepare() -> None:
    """Everything that is made once and kept. What waits for the network runs beside what needs the processor."""
    debian.ensure(debian.CLUSTER_PACKAGES)
    with ThreadPoolExecutor() as pool:
        base = pool.submit(baseimage.rootfs)
        binaries.kubernetes()
        binaries.coredns()
        binaries.pause()
        binaries.s3_gateway()
        base.result()


def up() -> None:
    """Bring the cluster up, or what is missing of it."""
    if os.geteuid() != 0:
        raise SetupError("a cluster without Docker needs root; become root, or start a Docker engine")
    prepare()
    state = settings.state_dir()
    state.mkdir(parents=True, exist_ok=True)
    with locked("cluster"):
        if is_up():
            say("the cluster is up already")
            return
        _write_configuration(state)
        sysctls.save(state)
        leftovers.note(state)
        node.take_address(node.first())
        node.prepare_network()
        with step("starting the control plane"):
            _start_control_plane(state)
        with step("starting the node"):
            _start_node(state)
        with step("starting CoreDNS"):
            addons.install_coredns()


def _write_configuration(state: Path) -> None:
    names = [
        f"IP:{settings.NODE_IP}", f"IP:{settings.API_SERVICE_IP}", "DNS:kubernetes", "DNS:kubernetes.default",
        "DNS:kubernetes.default.svc", f"DNS:kubernetes.default.svc.{settings.CLUSTER_DOMAIN}",
    ]  # fmt: skip
    keys = state / "certificates"
    pki.create(keys, names, CLIENTS)
    settings.kubeconfig_path().write_text(pki.kubeconfig(keys, plane().server, settings.CLUSTER_NAME))
    settings.kubeconfig_path().chmod(0o600)
    node.write_configuration(node.first())
    (state / "kube-proxy.json").write_text(node.kube_proxy_config(state))


def _start_control_plane(state: Path) -> None:
    links = binaries.kubernetes()
    keys = state / "certificates"
    kubeconfig = f"--kubeconfig={settings.kubeconfig_path()}"
    process("etcd").start(plane().etcd_command(binaries.etcd()))
    process("kube-apiserver").start(plane().apiserver_command(links / "kube-apiserver"))

    def ready() -> bool:
        process("etcd").check()
        process("kube-apiserver").check()
        return is_ready(plane())

    wait_for("the API server's start", ready, deadline=120)
    process("kube-controller-manager").start(
        [
            str(links / "kube-controller-manager"), kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1",
            f"--service-account-private-key-file={keys / 'sa.key'}", f"--root-ca-file={keys / 'ca.crt'}",
            "--use-service-account-credentials=true", f"--service-cluster-ip-range={settings.SERVICE_CIDR}",
            # A pod of a node that is gone should be replaced within a test's patience.
            "--node-monitor-grace-period=20s", "--profiling=false",
        ]
    )  # fmt: skip
    process("kube-scheduler").start(
        [str(links / "kube-scheduler"), kubeconfig, "--leader-elect=false", "--bind-address=127.0.0.1"]
    )


def _start_node(state: Path) -> None:
    links = binaries.kubernetes()
    process("containerd").start(node.containerd_command(node.first()))
    wait_for("containerd's start", lambda: node.containerd_answers(node.first()), deadline=30)
    if node.PAUSE_IMAGE not in node_images():
        images.import_scratch(node.PAUSE_IMAGE, binaries.pause(), "/pause")
    process("kubelet").start(node.kubelet_command(node.first(), links / "kubelet"))
    process("kube-proxy").start([str(links / "kube-proxy"), f"--config={state / 'kube-proxy.json'}"])

    def ready() -> bool:
        for name in PROCESSES:
            process(name).check()
        return node_is_ready()

    wait_for("the node to become ready", ready, deadline=120)


def is_up() -> bool:
    """Whether every process lives, the node is ready and CoreDNS answers."""
    return (
        all(process(name).pid for name in PROCESSES)
        and is_ready(plane())
        and node_is_ready()
        and addons.coredns_is_available()
    )


def status() -> dict[str, object]:
    """What runs, for people and scripts."""
    running = {name: process(name).pid for name in PROCESSES}
    reachable = running["kube-apiserver"] is not None and is_ready(plane())
    return {
        "kind": "one node without Docker",
        "processes": running,
        "node_ready": reachable and node_is_ready(),
        "dns_ready": reachable and addons.coredns_is_available(),
        "kubeconfig": str(settings.kubeconfig_path()),
    }


def down() -> None:
    """Stop everything and take away every trace but what the cache keeps."""
    state = settings.state_dir()
    with locked("cluster"), step("taking the cluster down"):
        secondnode.down()
        # First those that would start things anew.
        for name in (POLICIES, METRICS, "kubelet", "kube-proxy", "kube-controller-manager", "kube-scheduler"):
            process(name).stop()
        containers.end(node.first())
        for name in ("containerd", "kube-apiserver", "etcd"):
            process(name).stop()
        containers.unmount(state)
        node.remove_network()
        node.give_address_back(node.first())
        sysctls.restore(state)
        leftovers.remove(state)
        shutil.rmtree(state, ignore_errors=True)
        if state.exists():
            raise SetupError(f"{state} could not be removed; look for mounts below it with `mount`")
