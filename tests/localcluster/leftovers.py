"""What kubelet, containerd and CNI leave outside of the state folder, in places that can't be chosen."""

import contextlib
import json
import shutil
from pathlib import Path

SHARED = (
    "/etc/cni/net.d/cni.lock", "/etc/cni/net.d", "/etc/cni", "/run/containerd/runc/k8s.io", "/run/containerd/runc",
    "/run/containerd/s", "/run/containerd", "/usr/libexec/kubernetes/kubelet-plugins/volume/exec",
    "/usr/libexec/kubernetes/kubelet-plugins/volume", "/usr/libexec/kubernetes/kubelet-plugins",
    "/usr/libexec/kubernetes", "/var/lib/cni/results", "/var/lib/cni", "/var/lib/kubelet/device-plugins",
    "/var/lib/kubelet", "/var/log/containers",
)  # fmt: skip
"""Others may use them too: they go only where they were not there before, or are empty."""


def note(state: Path) -> None:
    """Remember which of them were there before the first start."""
    kept = state / "before.json"
    if not kept.exists():
        kept.write_text(json.dumps([path for path in SHARED if Path(path).exists()]))


def remove(state: Path) -> None:
    """Take away what was not there before."""
    kept = state / "before.json"
    before = set(json.loads(kept.read_text())) if kept.exists() else set(SHARED)
    for path in map(Path, SHARED):
        if str(path) in before:
            continue
        with contextlib.suppress(OSError):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
