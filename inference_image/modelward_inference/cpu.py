"""How many cores this container may use: the cgroup's CPU limit, which os.cpu_count() knows nothing of."""

import math
import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")

WITHOUT_LIMIT = 8
"""Cores that a server, or a pod of a batch, takes at most where its pod names no CPU limit: it shares the node with
others, and libraries take as many threads for each of as many predictions at a time, 4,096 of them on a node of 64
cores."""


def limit(cgroup: Path = CGROUP, most: int | None = None) -> int:
    """Whole cores, at least 1: the CPU limit rounded up, else the cores that the scheduler lets us on, `most` of them
    (None: all)."""
    # Where models are trained there may be no Linux.
    available = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota(cgroup)
    if quota is None:
        return available if most is None else min(available, most)
    return max(1, min(available, math.ceil(quota)))


def _quota(cgroup: Path) -> float | None:
    """The limit in cores, or None where there is none; cgroup v2 first, then v1."""
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        pass
    try:
        quota_us = int((cgroup / "cpu/cpu.cfs_quota_us").read_text())
        period_us = int((cgroup / "cpu/cpu.cfs_period_us").read_text())
        return quota_us / period_us if quota_us > 0 else None
    except (OSError, ValueError):
        return None


def limit_library_threads(most: int | None = None) -> int:
    """Tell BLAS and OpenMP the limit; has to run before numpy is imported. Returns the limit. `most`: as of `limit`."""
    cores = limit(most=most)
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, str(cores))
    return cores
