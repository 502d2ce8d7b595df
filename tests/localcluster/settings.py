"""Where things lie, which versions are built, and which addresses the node uses."""

import os
from pathlib import Path

KUBERNETES_VERSION = "v1.34.4"
COREDNS_VERSION = "v1.14.0"
KIND_VERSION = "v0.33.0"
ENVOY_GATEWAY_VERSION = "v1.9.1"
ENVOY_VERSION = "1.39.1"
"""The one that this version of Envoy Gateway expects."""

SOURCES = Path(__file__).resolve().parent
REPOSITORY = SOURCES.parents[1]

CLUSTER_NAME = "modelward"

NODE_NAME = "modelward-node"
NODE_IP = "10.213.0.1"
"""On the loopback interface: an address that pods can reach, and nothing outside this machine."""
API_PORT = 16443
OWN_CIDR = "10.213.0.0/16"
POD_CIDR = "10.213.128.0/17"
"""Of all nodes; each has its half."""
SERVICE_CIDR = "10.213.64.0/18"
API_SERVICE_IP = "10.213.64.1"
DNS_SERVICE_IP = "10.213.64.10"
CLUSTER_DOMAIN = "cluster.local"


def cache_dir() -> Path:
    """What is built lies here, outside of any checkout: MODELWARD_CACHE, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "modelward"
    path = Path(os.environ.get("MODELWARD_CACHE") or default)
    path.mkdir(parents=True, exist_ok=True)
    return path


def bin_dir() -> Path:
    path = cache_dir() / "bin"
    path.mkdir(exist_ok=True)
    return path


def state_dir() -> Path:
    """The running cluster: data, certificates, logs, pids. `down` deletes it."""
    return cache_dir() / "cluster"


def kubeconfig_path() -> Path:
    return state_dir() / "kubeconfig"
