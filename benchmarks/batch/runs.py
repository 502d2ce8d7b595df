"""Runs of `python -m modelward_batch` over folders, one core a pod."""

import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import joblib
import pyarrow.parquet as pq

from benchmarks.batch.data import KEY
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.fetch.run import Request, fetch


def bundle_of(model: Any, folder: Path) -> Path:
    """As a pod's init containers make it, and `m.joblib` beside it."""
    bundle = folder / "bundle"
    bundle.mkdir(parents=True)
    joblib.dump(model, folder / "m.joblib")
    with mock.patch.dict(os.environ, {"PVC_MOUNT": str(folder)}):
        fetch(Request("pvc://claim/m.joblib", "auto", None, "m", bundle, "Auto"))
    return bundle


def on_one_core(command: list[str], **settings: str) -> subprocess.Popen[bytes]:
    cores = sorted(os.sched_getaffinity(0))
    threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}
    return subprocess.Popen(
        ["taskset", "-c", str(cores[-1]), sys.executable, "-m", *command], env={**os.environ, **threads, **settings},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


@dataclass(frozen=True)
class Run:
    """`root`: has the input in `in`."""

    root: Path
    bundle: Path
    name: str
    pods: int = 1

    @property
    def folder(self) -> Path:
        return self.root / "out" / self.name

    def start(self, index: int = 0) -> subprocess.Popen[bytes]:
        asked = {
            "run": self.name, "input": {"uri": f"{self.root}/in/"}, "output": {"uri": f"{self.root}/out/"},
            "keys": [KEY], "maxRejectedShare": 0,
            "model": {"name": "m", "version": "1", "digest": Manifest.read(self.bundle).digest},
        }  # fmt: skip
        return on_one_core(
            ["modelward_batch", "--allow", str(self.root)], BUNDLE_DIR=str(self.bundle),
            MODELWARD_BATCH=json.dumps(asked), MODELWARD_BATCH_PODS=str(self.pods), JOB_COMPLETION_INDEX=str(index),
            MODELWARD_TERMINATION_LOG=str(self.root / f"message-{index}"), LOG_LEVEL="WARNING",
        )  # fmt: skip

    def keys(self) -> list[int]:
        """Of all rows that a reader finds."""
        manifest = json.loads((self.folder / "_manifest.json").read_bytes())
        return [
            key
            for each in manifest["files"]
            for key in pq.read_table(self.folder / each["name"], columns=[KEY])[KEY].to_pylist()
        ]

    def written(self) -> int:
        """Files so far."""
        return sum(1 for _ in self.folder.rglob("*.*"))


def waited(process: subprocess.Popen[bytes]) -> tuple[bytes, float]:
    """What a process printed, which is little, and its peak of memory in MB. Raises RuntimeError.

    The kernel's own account at its end would have the memory of whoever started it, too.
    """
    peak = 0
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        peak = max(peak, int(found[1])) if found and b"python" in _program(process.pid) else peak
        time.sleep(0.01)
    out, error = process.communicate()
    if process.returncode:
        raise RuntimeError(error.decode())
    return out, peak / 1024


def _program(pid: int) -> bytes:
    """Empty where it has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return b""
