"""Step 2: a model, its bundle, and the rows that it never saw. Put your own training here; the files are what counts.

Writes into --out: model.tar (model, signature, golden rows, reference), holdout.parquet (with the estimator's own
answers in `predicted`) and training.json. Whether a row is held out hangs on its content alone: it stays held out when
more rows come, and the champion, which was trained by this step too, has never seen what it is judged on.
"""

import argparse
import os
from pathlib import Path
from typing import Any

import pandas as pd
import table
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier, VotingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelward_inference import save_bundle

PARTS = 10_000
"""Of the rows, by their hashes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="a .parquet or .csv")
    parser.add_argument("--label", required=True, help="the column of labels")
    parser.add_argument("--ignore", nargs="*", default=[], help="columns that the model must not see, such as a group")
    parser.add_argument("--ensemble", action="store_true", help="three kinds of models that vote")
    parser.add_argument("--holdout", type=float, default=0.25, help="share of the rows")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("build"))
    options = parser.parse_args()
    data = table.read(options.data)
    held = is_held_out(data, options.holdout)
    rows, held_out = data[~held], data[held]
    seen = [name for name in data.columns if name not in (options.label, *options.ignore)]
    model = made(options.seed, ensemble=options.ensemble).fit(rows[seen], rows[options.label])
    options.out.mkdir(parents=True, exist_ok=True)
    save_bundle(options.out / "model.tar", model, rows[seen], reference=held_out[seen])
    held_out.assign(predicted=model.predict(held_out[seen])).to_parquet(options.out / "holdout.parquet")
    told: dict[str, Any] = {
        "kind": "ensemble" if options.ensemble else "single", "rows": len(rows), "heldOut": len(held_out),
        "columns": seen, "data": table.digest(options.data), "seed": options.seed,
        "commit": os.environ.get("GITHUB_SHA") or os.environ.get("GIT_COMMIT"),
    }  # fmt: skip
    table.write(options.out / "training.json", told)
    print(f"{told['kind']} of {len(rows)} rows and {len(seen)} columns; {len(held_out)} rows are held out")


def is_held_out(data: pd.DataFrame, share: float) -> "pd.Series[bool]":
    """Of each row, by its content."""
    return pd.util.hash_pandas_object(data, index=False) % PARTS < share * PARTS


def made(seed: int, *, ensemble: bool) -> Any:
    """Not fitted yet."""
    if not ensemble:
        return make_pipeline(SimpleImputer(), StandardScaler(), LogisticRegression(max_iter=1000))
    voters = [
        ("linear", make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))),
        ("forest", RandomForestClassifier(50, random_state=seed)),
        ("boosting", HistGradientBoostingClassifier(max_iter=50, random_state=seed)),
    ]
    return make_pipeline(SimpleImputer(), VotingClassifier(voters, voting="soft"))


def features(data: pd.DataFrame, columns: list[str]) -> list[dict[str, Any]]:
    """Rows as requests have them."""
    return [{name: value for name, value in row.items() if pd.notna(value)} for row in data[columns].to_dict("records")]


if __name__ == "__main__":
    main()
