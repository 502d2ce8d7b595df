"""Step 1: is this data such as the model in production was trained on? The rules are made of the champion's reference.

Exit code 0: it is; 1: it is not, and every broken rule is printed with its numbers, and is in --out.
Of each input: the column is there; numbers are numbers; not many more gaps than the reference had; no more than a few
values outside of its range, or categories that it never had. Drift within the range is no fault of the data: a
DriftPolicy judges it.
"""

import argparse
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import table

from modelward_drift.profiles.profile import Profile
from modelward_drift.profiles.reference import FILE, Reference


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a .parquet or .csv")
    parser.add_argument("--label", required=True, help="the column of labels")
    parser.add_argument("--champion", type=Path, help="the bundle in production; left out: the first model of all")
    parser.add_argument("--min-rows", type=int, default=1000)
    parser.add_argument(
        "--max-gaps", type=float, default=0.05, help="more than the reference's share, in shares of rows"
    )
    parser.add_argument(
        "--max-foreign", type=float, default=0.01, help="share of values out of range, or new categories"
    )
    parser.add_argument("--out", type=Path, default=Path("build/validation.json"))
    options = parser.parse_args()
    data = table.read(options.data)
    problems = list(of_rows(data, options.label, options.min_rows))
    if options.champion:
        for profile in inputs(options.champion):
            problems += of_column(data, profile, options.max_gaps, options.max_foreign)
    table.write(options.out, {"rows": len(data), "digest": table.digest(options.data), "problems": problems})
    print("\n".join(problems) or f"{len(data)} rows are as the reference has them")
    raise SystemExit(1 if problems else 0)


def inputs(bundle: Path) -> list[Profile]:
    """What the reference in a bundle says of the model's inputs."""
    with tarfile.open(bundle) as files:
        content = files.extractfile(FILE) if FILE in files.getnames() else None
        if content is None:
            raise SystemExit(f"{bundle} has no reference; save it with modelward.save_bundle")
        reference = Reference.from_dict(json.load(content))
    return [each.profile for each in reference.features if each.side == "input"]


def roomy(span: tuple[float, float]) -> tuple[float, float]:
    """The range, and as much again on either side: what is beyond that has another unit."""
    low, high = span
    return low - (high - low), high + (high - low)


def of_rows(data: pd.DataFrame, label: str, least: int) -> Iterator[str]:
    if len(data) < least:
        yield f"{len(data)} rows; at least {least} are wanted (--min-rows)"
    if label not in data:
        yield f"{label}: there is no such column of labels"
    elif data[label].isna().any():
        yield f"{label}: {int(data[label].isna().sum())} rows have no label"
    elif data[label].nunique() < 2:
        yield f"{label}: every row has the same label"
    if (twice := int(data.duplicated().sum())) > len(data) / 2:
        yield f"{twice} of {len(data)} rows are there twice, as after a join that multiplies"


def of_column(data: pd.DataFrame, profile: Profile, max_gaps: float, max_foreign: float) -> Iterator[str]:
    name = profile.name
    if name not in data:
        yield f"{name}: there is no such column, and the model in production has it"
        return
    values: Any = data[name]
    gaps, usual = float(values.isna().mean()), profile.counts[-1] / max(1, sum(profile.counts))
    if gaps > usual + max_gaps:
        yield f"{name}: {gaps:.1%} of the rows have no value, {usual:.1%} in the reference (--max-gaps)"
    known = values.dropna()
    if known.empty:
        return
    if profile.kind == "numeric" and profile.grid is not None:
        numbers = pd.to_numeric(known, errors="coerce")
        if words := int(numbers.isna().sum()):
            yield f"{name}: {words} values are no numbers, for example {known[numbers.isna()].iloc[0]!r}"
        low, high = profile.grid.range
        least, most = roomy(profile.grid.range)
        foreign = float(((numbers < least) | (numbers > most)).mean())
        if foreign > max_foreign:
            yield f"{name}: {foreign:.1%} of the values are far from {low:g} to {high:g}: another unit? (--max-foreign)"
    elif profile.levels:
        foreign = float((~known.astype(str).isin(profile.levels)).mean())
        others = profile.counts[len(profile.levels)] / max(1, sum(profile.counts))
        if foreign > others + max_foreign:
            new = sorted(set(known.astype(str)) - set(profile.levels))[:3]
            yield f"{name}: {foreign:.1%} of the values are new, for example {', '.join(new)} (--max-foreign)"


if __name__ == "__main__":
    main()
