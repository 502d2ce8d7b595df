"""Pods killed at random while they write, and what their run then lacks or has twice."""

import random
import signal
import time
from collections import Counter
from pathlib import Path

from benchmarks.batch import data
from benchmarks.batch.runs import Run

KILLS, PODS = 20, 3
UNITS, GROUP = 150, 50
DEADLINE = 600.0


def lost_and_doubled(root: Path, bundle: Path) -> tuple[int, int]:
    """Rows, after KILLS kills of a run by PODS pods."""
    (root / "in").mkdir(parents=True)
    rows = UNITS * GROUP
    data.write(root / "in/a.parquet", rows, GROUP)
    run = Run(root, bundle, "kills", PODS)
    chance = random.Random(7)  # noqa: S311
    end = time.monotonic() + DEADLINE
    pods = [run.start(index) for index in range(PODS)]
    for _ in range(KILLS):
        wanted = run.written() + chance.randrange(1, 8)
        while run.written() < wanted and time.monotonic() < end:
            time.sleep(0.001)
        index = chance.choice([index for index, pod in enumerate(pods) if pod.poll() is None])
        pods[index].send_signal(signal.SIGKILL)
        if pods[index].wait() != -signal.SIGKILL:
            raise RuntimeError("a pod had ended before it was killed; give the run more units")
        pods[index] = run.start(index)
    if any(pod.wait(DEADLINE) for pod in pods):
        raise RuntimeError("a pod failed: see its message")
    seen = Counter(run.keys())
    return sum(key not in seen for key in range(rows)), sum(count - 1 for count in seen.values())
