"""Configuration of a node: containerd, CNI, kubelet, and the addresses and rules they need; kube-proxy for all of them.

Nodes share this machine's network and kernel. What tells one from the other is its address, the range of its pods, its
folder with a containerd of its own, and its cgroups.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from localcluster import settings
from localcluster.commands import run, succeeds

PAUSE_IMAGE = "modelward.local/pause:1"
NFT_TABLE = "modelward-local"
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


@dataclass(frozen=True)
class Node:
    """One node. `folder`: where its things lie; `pods`: the addresses of its pods; `cgroups`: the cgroup below which
    those of its pods are, relative to each hierarchy's root."""

    name: str
    ip: str
    folder: Path
    pods: str
    cgroups: str = ""

    @property
    def socket(self) -> Path:
        return self.folder / "containerd.sock"


def first() -> Node:
    """The node that is always there."""
    return Node(settings.NODE_NAME, settings.NODE_IP, settings.state_dir(), "10.213.128.0/18")


def second() -> Node:
    """The one that may come beside it (secondnode.py)."""
    folder = settings.state_dir() / "second"
    return Node(f"{settings.NODE_NAME}-2", "10.213.0.2", folder, "10.213.192.0/18", "modelward-node-2")


def write_configuration(of: Node) -> None:
    """Files for containerd, CNI and the kubelet."""
    (of.folder / "cni").mkdir(parents=True, exist_ok=True)
    (of.folder / "cni" / "10-modelward.conflist").write_text(cni_config(of))
    (of.folder / "containerd.toml").write_text(containerd_config(of))
    (of.folder / "kubelet.json").write_text(kubelet_config(of))
    (of.folder / "resolv.conf").write_text("")


def kubelet_command(of: Node, kubelet: Path) -> list[str]:
    return [
        str(kubelet), f"--config={of.folder / 'kubelet.json'}", f"--root-dir={of.folder / 'kubelet'}",
        f"--kubeconfig={settings.kubeconfig_path()}", f"--hostname-override={of.name}",
        f"--node-ip={of.ip}", f"--cert-dir={of.folder / 'kubelet-pki'}",
    ]  # fmt: skip


def containerd_command(of: Node) -> list[str]:
    return ["containerd", "--config", str(of.folder / "containerd.toml"), "--log-level", "warn"]


def containerd_answers(of: Node) -> bool:
    return succeeds(["ctr", "--address", of.socket, "version"])


def containerd_config(of: Node) -> str:
    """containerd with root, state and socket of its own."""
    return f"""version = 2
root = "{of.folder}/containerd/root"
state = "{of.folder}/containerd/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{of.socket}"
[ttrpc]
  address = "{of.socket}.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Without CAP_SYS_RESOURCE, as in many sandboxes, no pod starts otherwise.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{of.folder}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def cni_config(of: Node) -> str:
    """A point-to-point link for each pod.

    Not a bridge: on one, an answer goes from pod to pod past the host, and a Service's address is not translated back
    unless br_netfilter is loaded.
    """
    ipam = {
        "type": "host-local",
        "dataDir": f"{of.folder}/cni-addresses",
        "ranges": [[{"subnet": of.pods}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [{"type": "ptp", "ipMasq": False, "ipam": ipam}]
    return json.dumps({"cniVersion": "0.4.0", "name": "modelward", "plugins": plugins}, indent=1)


def kubelet_config(of: Node) -> str:
    """JSON is YAML."""
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": of.ip,
            "healthzBindAddress": of.ip,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{of.cgroups}",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [settings.DNS_SERVICE_IP],
            "clusterDomain": settings.CLUSTER_DOMAIN,
            "containerRuntimeEndpoint": f"unix://{of.socket}",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{settings.state_dir()}/certificates/ca.crt"},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "resolvConf": f"{of.folder}/resolv.conf",
            "podLogsDir": f"{of.folder}/pod-logs",
            "volumePluginDir": f"{of.folder}/volume-plugins",
            # A throw-away cluster must not evict because somebody else's disk is nearly full.
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "imageGCHighThresholdPercent": 100,
            "imageMinimumGCAge": "1000h",
            "maxPods": 250,
            # Its chains serve dockershim, and would stay behind.
            "makeIPTablesUtilChains": False,
            "registerNode": True,
            "shutdownGracePeriod": "0s",
            "syncFrequency": "60s",
        },
        indent=1,
    )


def kube_proxy_config(state: Path) -> str:
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clusterCIDR": settings.POD_CIDR,
            "clientConnection": {"kubeconfig": f"{state}/kubeconfig"},
            "hostnameOverride": settings.NODE_NAME,
            "conntrack": {"maxPerCore": 0},
            "healthzBindAddress": "127.0.0.1:10256",
            "metricsBindAddress": "127.0.0.1:10249",
            "nodePortAddresses": ["127.0.0.0/8"],
        },
        indent=1,
    )


def take_address(of: Node) -> None:
    run(["ip", "address", "replace", f"{of.ip}/32", "dev", "lo"])


def give_address_back(of: Node) -> None:
    if f"{of.ip}/" in run(["ip", "address", "show", "dev", "lo"]):
        run(["ip", "address", "delete", f"{of.ip}/32", "dev", "lo"])


def prepare_network() -> None:
    """Forwarding, and masquerading for what pods send outside."""
    IP_FORWARD.write_text("1")
    if not succeeds(["nft", "list", "table", "ip", NFT_TABLE]):
        rule = f"ip saddr {settings.POD_CIDR} ip daddr != {settings.OWN_CIDR} masquerade"
        chain = f"chain post {{\n type nat hook postrouting priority srcnat;\n {rule}\n}}\n"
        run(["nft", "-f", "-"], stdin=f"table ip {NFT_TABLE} {{\n{chain}}}\n")


def remove_network() -> None:
    """Take back what `prepare_network`, kube-proxy and CNI did."""
    for family, table in (("ip", NFT_TABLE), ("ip", "kube-proxy"), ("ip6", "kube-proxy")):
        if succeeds(["nft", "list", "table", family, table]):
            run(["nft", "delete", "table", family, table])
