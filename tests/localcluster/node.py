"""Configuration of the one node: containerd, CNI, kubelet, kube-proxy, and the addresses and rules they need."""

import json
from pathlib import Path

from localcluster import settings
from localcluster.commands import run, succeeds

NFT_TABLE = "modelward-local"
IP_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def containerd_config(state: Path, pause_image: str) -> str:
    """containerd with root, state and socket of its own."""
    return f"""version = 2
root = "{state}/containerd/root"
state = "{state}/containerd/state"
disabled_plugins = ["io.containerd.internal.v1.opt", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.devmapper"]
[grpc]
  address = "{socket(state)}"
[ttrpc]
  address = "{socket(state)}.ttrpc"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause_image}"
  # Without CAP_SYS_RESOURCE, as in many sandboxes, no pod starts otherwise.
  restrict_oom_score_adj = true
  netns_mounts_under_state_dir = true
  stream_server_address = "127.0.0.1"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "{state}/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false
"""


def socket(state: Path) -> Path:
    return state / "containerd.sock"


def cni_config(state: Path) -> str:
    """A point-to-point link for each pod.

    Not a bridge: on one, an answer goes from pod to pod past the host, and a Service's address is not translated back
    unless br_netfilter is loaded.
    """
    ipam = {
        "type": "host-local",
        "dataDir": f"{state}/cni-addresses",
        "ranges": [[{"subnet": settings.POD_CIDR}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    }
    plugins = [{"type": "ptp", "ipMasq": False, "ipam": ipam}]
    return json.dumps({"cniVersion": "0.4.0", "name": "modelward", "plugins": plugins}, indent=1)


def kubelet_config(state: Path) -> str:
    """JSON is YAML."""
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": settings.NODE_IP,
            "cgroupDriver": "cgroupfs",
            "failCgroupV1": False,
            "failSwapOn": False,
            "clusterDNS": [settings.DNS_SERVICE_IP],
            "clusterDomain": settings.CLUSTER_DOMAIN,
            "containerRuntimeEndpoint": f"unix://{socket(state)}",
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": f"{state}/certificates/ca.crt"},
            },
            "authorization": {"mode": "AlwaysAllow"},
            "resolvConf": f"{state}/resolv.conf",
            "podLogsDir": f"{state}/pod-logs",
            "volumePluginDir": f"{state}/volume-plugins",
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


def prepare_network() -> None:
    """The node's address, forwarding, and masquerading for what pods send outside."""
    run(["ip", "address", "replace", f"{settings.NODE_IP}/32", "dev", "lo"])
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
    if settings.NODE_IP in run(["ip", "address", "show", "dev", "lo"]):
        run(["ip", "address", "delete", f"{settings.NODE_IP}/32", "dev", "lo"])
