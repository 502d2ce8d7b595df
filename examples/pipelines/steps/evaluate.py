"""Step 3: is the candidate good enough to be offered? Judged as production would serve it, beside the champion.

- metrics: accuracy on the rows that neither has seen; the interval of the paired difference, by bootstrap, has to leave
  out a loss of --margin;
- parity: the served answers to all of these rows are the estimator's own;
- latency: the 99th percentile of requests with one row;
- fairness: the largest difference of accuracy between groups of --group, which are not too small to be judged.
Exit code 0: all of it is; 1: not, and --out and --markdown say what. Each check has its numbers there either way.
"""

import argparse
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import served
import table
import train

DRAWS = 2000
"""Of the bootstrap: the ends of a 95 % interval are steady to about a tenth of its width."""

REQUESTS = 300
"""For the latency: the 99th percentile is then the third slowest."""

SMALLEST = 30
"""Rows of a group that is judged: below that its accuracy is known to ± 18 points at best."""


@dataclass(frozen=True)
class Check:
    name: str
    passed: bool
    said: str


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidate", type=Path, required=True, help="the bundle")
    parser.add_argument("--champion", type=Path, help="the bundle in production; left out: the first model of all")
    parser.add_argument("--holdout", type=Path, required=True, help="as train.py wrote it")
    parser.add_argument("--label", required=True)
    parser.add_argument("--ignore", nargs="*", default=[], help="columns that the model must not see, as for train.py")
    parser.add_argument("--group", help="the column by which fairness is judged")
    parser.add_argument("--margin", type=float, default=0.01, help="how much accuracy may be lost")
    parser.add_argument("--max-latency", type=float, default=50.0, help="milliseconds, the 99th percentile")
    parser.add_argument("--max-unfairness", type=float, default=0.1, help="difference of accuracy between groups")
    parser.add_argument("--out", type=Path, default=Path("build/report.json"))
    parser.add_argument("--markdown", type=Path, default=Path("build/report.md"))
    options = parser.parse_args()
    holdout = table.read(options.holdout)
    left_out = {options.label, "predicted", *options.ignore}
    rows = train.features(holdout, [name for name in holdout.columns if name not in left_out])
    with served.served(options.candidate) as candidate:
        answers = candidate.answers(rows)
        slow = candidate.milliseconds([rows[index % len(rows)] for index in range(REQUESTS)])
        form = (candidate.report.get("compilation") or {}).get("form", "original")
    before = None
    if options.champion:
        with served.served(options.champion) as champion:
            before = np.array(champion.answers(rows))
    checks = judged(holdout, np.array(answers), before, slow, options)
    passed = all(each.passed for each in checks)
    table.write(options.out, {"passed": passed, "form": form, "checks": list(map(asdict, checks))})
    options.markdown.write_text(shown(checks, form))
    print(options.markdown.read_text())
    raise SystemExit(0 if passed else 1)


def judged(holdout: pd.DataFrame, answers: Any, before: Any | None, slow: list[float], options: Any) -> list[Check]:
    """`answers`, `before`: [n], of the candidate and the champion; `slow`: milliseconds."""
    labels = holdout[options.label].to_numpy()
    right = answers == labels
    checks = [
        better(right, None if before is None else before == labels, options.margin),
        same(answers, holdout["predicted"].to_numpy()),
        fast(slow, options.max_latency),
    ]
    return [*checks, fair(right, holdout[options.group], options.max_unfairness)] if options.group else checks


def better(right: Any, before: Any | None, margin: float) -> Check:
    """`right`, `before`: [n] of bool. Non-inferiority: the lower end of the difference's interval."""
    if before is None:
        return Check("metrics", True, f"accuracy {right.mean():.4f} of {len(right)} rows; there is no champion yet")
    difference = right.astype(float) - before.astype(float)
    draws = np.random.default_rng(0).integers(0, len(difference), (DRAWS, len(difference)))
    low, high = np.quantile(difference[draws].mean(axis=1), [0.025, 0.975])
    said = (
        f"accuracy {right.mean():.4f}, the champion's {before.mean():.4f} on the same {len(right)} rows; "
        f"difference {difference.mean():+.4f} ({low:+.4f} to {high:+.4f}), allowed is {-margin:+.4f}"
    )
    return Check("metrics", bool(low > -margin), said)


def same(answers: Any, predicted: Any) -> Check:
    unequal = int((answers != predicted).sum())
    return Check("parity", unequal == 0, f"{unequal} of {len(answers)} served answers differ from the estimator's own")


def fast(slow: list[float], most: float) -> Check:
    found = float(np.quantile(slow, 0.99))
    return Check("latency", found <= most, f"p99 {found:.1f} ms of {len(slow)} requests, allowed are {most:g} ms")


def fair(right: Any, groups: Any, most: float) -> Check:
    """`right`: [n] of bool, `groups`: [n]."""
    by_group = pd.Series(right).groupby(groups.astype(str).to_numpy()).agg(["mean", "size"])
    large = by_group[by_group["size"] >= SMALLEST]
    left = sorted(set(by_group.index) - set(large.index))
    note = f"; too few rows to judge: {', '.join(left)}" if left else ""
    if len(large) < 2:
        return Check("fairness", False, f"fewer than two groups have {SMALLEST} rows{note}: nothing can be said")
    gap = float(large["mean"].max() - large["mean"].min())
    said = ", ".join(f"{name} {row['mean']:.4f} of {int(row['size'])}" for name, row in large.iterrows())
    return Check("fairness", gap <= most, f"accuracy by group: {said}; difference {gap:.4f}, allowed is {most:g}{note}")


def shown(checks: list[Check], form: str) -> str:
    """For a pull request."""
    rows = [f"| {each.name} | {'passed' if each.passed else '**failed**'} | {each.said} |" for each in checks]
    return "\n".join(["| check | | |", "|---|---|---|", *rows, "", f"Served in the form: {form}.", ""])


if __name__ == "__main__":
    main()
