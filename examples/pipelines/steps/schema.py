"""Beside step 1: the champion's reference as a schema of pandera, for wherever else the data comes along.

A data team puts the file into its own pipeline: `DataFrameSchema.from_yaml("build/schema.yaml").validate(rows)`. Each
value has to hold it: the range of a number and as much again on either side, the categories of a column all of whose
are known, gaps only where the reference has some. validate.py judges shares of rows instead, and says more.
Nothing of pandera is needed to write it.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import validate
import yaml

from modelward_drift.profiles.profile import Profile


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--champion", type=Path, required=True, help="the bundle in production")
    parser.add_argument("--out", type=Path, default=Path("build/schema.yaml"))
    options = parser.parse_args()
    made = document(validate.inputs(options.champion))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(yaml.safe_dump(made, sort_keys=False, allow_unicode=True))
    print(f"{options.out}: {len(made['columns'])} columns")


def document(profiles: Iterable[Profile]) -> dict[str, Any]:
    """As pandera's `to_yaml` writes it. Columns that the model does not take are nobody's business here."""
    columns = {each.name: column(each) for each in profiles}
    return {"schema_type": "dataframe", "api": "pandas", "columns": columns, "strict": False}


def column(profile: Profile) -> dict[str, Any]:
    shown: dict[str, Any] = {"nullable": profile.counts[-1] > 0, "coerce": True, "required": True}
    if profile.kind == "numeric" and profile.grid is not None:
        low, high = validate.roomy(profile.grid.range)
        span = {"min_value": low, "max_value": high, "include_min": True, "include_max": True}
        return {"dtype": "float64", **shown, "in_range": span}
    if profile.kind == "boolean":
        return {"dtype": "boolean", **shown}
    shown = {"dtype": "string[python]", **shown}
    # A category that has no cell of its own in the reference is none that it never had.
    if profile.levels and profile.counts[len(profile.levels)] == 0:
        shown["isin"] = list(profile.levels)
    return shown


if __name__ == "__main__":
    main()
