"""`make bench-batch`: batches beside scikit-learn's own predict over the same Parquet, one core each, by turns.

Both read a file of thirty numbers a row, ask the model once for labels and probabilities, and write these with the key
as Parquet; what counts is processor time (others may use the machine), without either's start. The answers are
compared: whoever says something else is not measured. Memory is the peak of our process over an input that is smaller
than 10 GB, and says so, and over half of it: what is bounded does not grow. Spark is not measured here: its Python
package and a Java would have to be installed.
"""

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from benchmarks.batch import data, kills
from benchmarks.batch.runs import Run, bundle_of, on_one_core, waited
from benchmarks.markdown import markdown
from modelward_drift.profiles.reference import FILE
from modelward_inference import make_reference

PROGRAM = "benchmarks.batch"

GROUP = 100_000
"""Rows of a row group: 24 MB of numbers."""


def differences(run: Path, theirs: Path) -> int:
    """Rows whose label is another one, beyond ties of single precision."""
    ours = pq.read_table(run / "part-00000.parquet").to_pandas()
    other = pq.read_table(theirs).to_pandas()[: len(ours)]
    if not (ours[data.KEY] == other[data.KEY]).all():
        return len(ours)
    apart = np.abs(ours["output.predict_proba[1]"] - other["p1"]) > 1e-4
    return int(apart.sum())


def compared(folder: Path, rows: int, rounds: int) -> dict[str, tuple[float, float, float, float]]:
    """By model: the median ratio of rates, rows a second of both, and the ratio of our rates with drift to without."""
    (folder / "in").mkdir(parents=True)
    data.write(folder / "in/a.parquet", rows, GROUP)
    found = {}
    for name, model in data.models():
        bundle = bundle_of(model, folder / name)
        reference = make_reference(data.frame(data.TRAINED_ON), model=model, ignore=[data.KEY])
        (bundle / FILE).write_text(json.dumps(reference.to_dict()))
        theirs = folder / f"{name}.parquet"
        pairs = []
        for turn in range(rounds):
            out, judged = folder / f"{name}-{turn}", folder / f"{name}-{turn}-drift"
            out.mkdir()
            judged.mkdir()
            program = [f"{PROGRAM}.by_modelward", str(bundle), f"{folder}/in/"]
            ours, _ = waited(on_one_core([*program, f"{out}/"]))
            with_drift, _ = waited(on_one_core([*program, f"{judged}/", "drift"]))
            told, _ = waited(
                on_one_core([f"{PROGRAM}.by_sklearn", str(folder / name / "m.joblib"), f"{folder}/in", str(theirs)])
            )
            if wrong := differences(out / "r", theirs):
                raise RuntimeError(f"{name}: {wrong} answers are not scikit-learn's")
            pairs.append(tuple(float(json.loads(each)["seconds"]) for each in (ours, told, with_drift)))
        mine, other, _ = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b, _ in pairs)
        found[name] = (ratio, rows / mine, rows / other, statistics.median(a / c for a, _, c in pairs))
    return found


def memory(folder: Path, bundle: Path, megabytes: int) -> tuple[float, float]:
    """Peaks in MB: over half of so much, and over all of it."""
    peaks = []
    for part in (megabytes // 2, megabytes):
        root = folder / str(part)
        (root / "in").mkdir(parents=True)
        data.write(root / "in/a.parquet", part * (1 << 20) // (8 * (len(data.FEATURES) + 1)), 4 * GROUP)
        _, peak = waited(Run(root, bundle, "memory").start())
        peaks.append(peak)
        (root / "in/a.parquet").unlink()
    return peaks[0], peaks[1]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--megabytes", type=int, default=1024, help="of the input whose memory is measured")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        found = compared(folder / "rates", asked.rows, asked.rounds)
        half, whole = memory(folder / "memory", folder / "rates/linear/bundle", asked.megabytes)
        lost, doubled = kills.lost_and_doubled(folder / "kills", folder / "rates/tree/bundle")
    print(
        markdown(
            ["model", "rows a second of a core", "scikit-learn", "ratio", "with drift, to without"],
            [
                [name, f"{ours:,.0f}", f"{theirs:,.0f}", f"{ratio:.2f}", f"{drift:.2f}"]
                for name, (ratio, ours, theirs, drift) in found.items()
            ],
        )
    )
    print(f"peak of memory: {half:.0f} MB over {asked.megabytes // 2} MB, {whole:.0f} MB over {asked.megabytes} MB")
    said = {
        **{f"rows_vs_sklearn_{name}": round(each[0], 2) for name, each in found.items()},
        **{f"rows_with_drift_{name}": round(each[3], 2) for name, each in found.items()},
        "rss_mb_10gb": round(whole), "rss_scaled_down_to_mb": asked.megabytes, "rss_mb_of_half": round(half),
        "rows_lost": lost, "rows_doubled": doubled, "kills": kills.KILLS,
    }  # fmt: skip
    print(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
