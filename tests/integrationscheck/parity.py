"""`modelward parity-check` on an example: features as a pipeline says them, and a log of what a model was asked.

Prints how many columns are unequal as its last line. Exit code 0: none of those that are right, and the one that is
made wrong on purpose is found.
"""

import json
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
from pyarrow import parquet

from unit.evaluate.lakes import START, Lake, prediction

NAME: Final = "features: modelward parity-check"
USERS, DAYS = 50, 4
DAY: Final = timedelta(days=1)


def unequal(folder: Path, skew: float = 0.0) -> int:
    """Columns that the command names as unequal, of two. `skew`: of what was logged, above what the pipeline says."""
    lake = Lake(folder)
    rows, features = [], []
    for day in range(DAYS):
        for user in range(USERS):
            now: dict[str, Any] = {"input.amount": user * day + skew, "input.city": "Rome"}
            number = day * USERS + user
            rows.append(prediction(number, time=START + day * DAY + DAY / 2, key=f"u{user}", **now))
            features.append(
                {"user": f"u{user}", "since": START + day * DAY, "amount": float(user * day), "city": "Rome"}
            )
    lake.predict(rows)
    (folder / "features").mkdir()
    parquet.write_table(pa.Table.from_pylist(features), folder / "features/f.parquet")
    spec = folder / "spec.json"
    where = {"path": str(folder / "features"), "key": "user", "time": "since"}
    spec.write_text(json.dumps({"predictions": {"path": str(lake.log)}, "features": where}))
    command = [sys.executable, "-m", "modelward_inference", "parity-check", str(spec)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit(done.stderr)
    found = json.loads(done.stdout)
    assert found["counts"]["compared"] == USERS * DAYS, found["counts"]
    return len(found["unequal"])


def main() -> int:
    with tempfile.TemporaryDirectory(prefix="modelward-parity-") as name:
        for part in ("right", "wrong"):
            (Path(name) / part).mkdir()
        found, planted = unequal(Path(name) / "right"), unequal(Path(name) / "wrong", skew=1.0)
    if planted != 1:
        print(f"one column was made wrong, and {planted} were found", file=sys.stderr)
        return 1
    print(found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
