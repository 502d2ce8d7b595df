"""Debian packages that the cluster without Docker is made of."""

import os
import shutil
from pathlib import Path

from localcluster.commands import locked, run
from localcluster.progress import SetupError, say, step

CLUSTER_PACKAGES = {
    "conntrack": "conntrack",
    "containerd": "containerd",
    "debootstrap": "debootstrap",
    "buildah": "buildah",
    "etcd": "etcd-server",
    "ip": "iproute2",
    "mount": "mount",
    "nft": "nftables",
    "openssl": "openssl",
    "runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
}
"""Package by a program of it."""

POLICY_PACKAGES = {"ip": "iproute2", "ipset": "ipset", "iptables": "iptables", "nsenter": "util-linux"}

APISERVER_PACKAGES = {name: CLUSTER_PACKAGES[name] for name in ("etcd", "openssl")}


def _present(program: str) -> bool:
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None


def ensure(packages: dict[str, str]) -> None:
    """Install what is missing. Raises SetupError where that can't be done."""
    missing = sorted(package for program, package in packages.items() if not _present(program))
    if not missing:
        return
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SetupError(
            f"{', '.join(missing)} missing. Run as root on Debian, so that they can be installed, or start a Docker "
            "engine, so that kind can be used instead"
        )
    # Packages must not start services of their own: we run the programs ourselves.
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    with locked("apt"), step(f"installing {', '.join(missing)}"):
        if ours:
            policy.write_text("#!/bin/sh\nexit 101\n")
            policy.chmod(0o755)
        try:
            quiet = {"DEBIAN_FRONTEND": "noninteractive"}
            run(["apt-get", "update"], env=quiet)
            run(["apt-get", "install", "--yes", "--no-install-recommends", *missing], env=quiet)
        finally:
            if ours:
                policy.unlink()
    say("Debian packages are there")
