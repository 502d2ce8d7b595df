"""Kernel settings that forwarding and the kubelet change: kept before, given back after."""

import json
from pathlib import Path

NAMES = (
    "net/ipv4/ip_forward", "vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes",
)  # fmt: skip
"""The kubelet sets all but the first, at every start."""


def save(state: Path) -> None:
    """Keep the values of before the first start."""
    kept = state / "sysctls.json"
    if not kept.exists():
        values = {name: _path(name).read_text().strip() for name in NAMES if _path(name).exists()}
        kept.write_text(json.dumps(values))


def restore(state: Path) -> None:
    kept = state / "sysctls.json"
    if kept.exists():
        for name, value in json.loads(kept.read_text()).items():
            _path(name).write_text(value)


def _path(name: str) -> Path:
    return Path("/proc/sys") / name
