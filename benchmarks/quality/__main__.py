"""`make bench-quality`: predictions joined with outcomes and evaluated with twenty segments, against pandas and
scikit-learn.

Both are processes of their own, by turns, on the same files and as many cores; memory is the peak of the process. Time
is told by the clock and as that of processors: on a machine that works on something else, too, only the latter holds.
The values are compared: whoever says something else is not measured. Then concept drift in labelled streams, beside
detectors of river (concept.py).
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.markdown import markdown
from benchmarks.quality import concept, data

EXACT = ("accuracy", "precision", "recall", "f1", "logLoss", "brier")


@dataclass(frozen=True)
class Cost:
    """Of a process: seconds by the clock and of processors, and its peak of memory in MB."""

    seconds: float
    cpu: float
    mb: float


def measured(command: list[str], given: str = "") -> tuple[dict[str, Any], Cost]:
    """What a process printed, and what it cost."""
    begun = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(given)
    process.stdin.close()
    text = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} ended with {status}")
    cost = Cost(time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
    return json.loads(text), cost


def differences(ours: dict[str, Any], theirs: dict[str, Any]) -> list[str]:
    """Values that are not the same, within what ours says of itself."""
    wrong = []
    for each in ours["values"]:
        other = theirs[each["segment"]][each["value"]]
        for name, number in other.items():
            mine = each["metrics"][name]
            if abs(mine["value"] - number) > mine["within"] + 1e-9:
                wrong.append(f"{each['segment']}={each['value']} {name}: {mine['value']} and {number}")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--runs", type=int, default=60, help="streams without a change, of each kind")
    parser.add_argument("--changes", type=int, default=20, help="streams with one, of each kind and size")
    parser.add_argument("--only", choices=("evaluation", "concept"), help="else both")
    asked = parser.parse_args()
    said: dict[str, Any] = {}
    if asked.only != "concept":
        table, found = evaluated(asked.rows, asked.rounds)
        print(table)
        said |= found
    if asked.only != "evaluation":
        table, found = concept.measured(asked.runs, asked.changes)
        print(table)
        said |= found
    print(json.dumps(said))
    return 0


def evaluated(rows: int, rounds: int) -> tuple[str, dict[str, Any]]:
    """A table, and the last line's keys. Raises RuntimeError where both say something else."""
    with tempfile.TemporaryDirectory() as folder:
        log, outcomes = data.write(Path(folder), rows)
        spec = {
            "predictions": {"path": str(log)},
            "outcomes": {"path": str(outcomes)},
            "task": {"task": "classes", "label": "output.label", "score": "output.score", "positive": "1"},
            "segments": [{"name": f"s{each}", "column": f"input.s{each}"} for each in range(data.SEGMENTS)],
            "label_window_seconds": 86400,
            "now": (data.START + timedelta(days=data.DAYS + 2)).isoformat(),
            "threads": 1,
        }
        pairs = []
        for _ in range(rounds):
            ours, mine = measured(["modelward_evaluate", "-"], json.dumps(spec))
            theirs, other = measured(["benchmarks.quality.by_pandas", str(log), str(outcomes)])
            wrong = differences(ours, theirs)
            if wrong:
                raise RuntimeError("\n".join(wrong[:20]))
            pairs.append((mine, other))
    sides = zip(("modelward", "pandas and scikit-learn"), zip(*pairs, strict=True), strict=True)
    table = markdown(
        ["evaluation", "seconds", "of processors", "peak MB"], [_row(name, costs) for name, costs in sides]
    )
    return table, {
        "rows": rows,
        "evaluate_vs_pandas_sklearn": _median(other.seconds / mine.seconds for mine, other in pairs),
        "evaluate_vs_pandas_sklearn_cpu": _median(other.cpu / mine.cpu for mine, other in pairs),
        "evaluate_rss_mb": round(max(mine.mb for mine, _ in pairs)),
    }


def _row(name: str, costs: Sequence[Cost]) -> list[str]:
    seconds = statistics.median(each.seconds for each in costs)
    cpu = statistics.median(each.cpu for each in costs)
    return [name, f"{seconds:.1f}", f"{cpu:.1f}", f"{max(each.mb for each in costs):.0f}"]


def _median(ratios: Iterable[float]) -> float:
    return round(statistics.median(ratios), 2)


if __name__ == "__main__":
    sys.exit(main())
