"""`python -m benchmarks.rollout.simulation [--short]`: false rollbacks, and errors before a rollback, by simulation.

It runs the operator's own gates on streams drawn by chance (seeded: the same figures again), and checks of a fixed
threshold on the same streams. Progress goes to stderr, the tables to stdout.
"""

import argparse
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from scipy.stats import beta

from benchmarks.markdown import markdown
from benchmarks.rollout.analyses import FIXED, MARGINS, STEPS, Ended, by_the_clock, ever_fails, gated
from benchmarks.rollout.traffic import DISAGREEING, ERRORS, LOOK, RATE, SLOW, Scenario, Shares, draw
from localcluster.progress import step

OURS: Final = "modelward"

BASE: Final = {ERRORS: 0.001, SLOW: 0.01, DISAGREEING: 0.02}
"""True shares of the stable revision, and of a candidate that is no worse."""

EQUAL: Final = {way: Shares(share, share) for way, share in BASE.items()}
AT_THE_MARGIN: Final = {
    way: Shares(share, MARGINS[way] + (share if way != DISAGREEING else 0.0)) for way, share in BASE.items()
}
HARMLESS: Final = (
    Scenario("no worse", EQUAL),
    Scenario("no worse, changing shares, incident", EQUAL, incident=True),
    Scenario("at every margin", AT_THE_MARGIN),
)
"""Where nothing should be rolled back; at the margin, a chance of 1 % is allowed."""

BAD_SHARES: Final = (0.01, 0.02, 0.05, 0.2)
HOUR: Final = round(3600 / LOOK)
SEED: Final = 20


def bad_candidate(share: float) -> Scenario:
    """The candidate's share of errors is `share`, everything else is as it was."""
    return Scenario(f"{share:.0%} errors", {**EQUAL, ERRORS: Shares(BASE[ERRORS], share)})


def false_rollbacks(scenario: Scenario, rollouts: int, looks: int, fixed: bool = True) -> list[dict[str, Any]]:
    """How many of the rollouts are rolled back: ours over `looks`, a third on each step; the others until they end."""
    names = [OURS, *(each.name for each in FIXED)] if fixed else [OURS]
    counts = dict.fromkeys(names, 0)
    weights = by_the_clock(looks)
    for number in range(rollouts):
        traffic = draw(scenario, looks, np.random.default_rng((SEED, number)))
        counts[OURS] += ever_fails(traffic, weights)
        if fixed:
            for analysis in FIXED:
                counts[analysis.name] += analysis.run(traffic).how == "rolled back"
    return [
        {
            "scenario": scenario.name,
            "analysis": name,
            "rollouts": rollouts,
            "rolled_back": count,
            "share": count / rollouts,
            "share_upper_95": upper(count, rollouts),
        }
        for name, count in counts.items()
    ]


def upper(count: int, number: int) -> float:
    """The upper 95 % limit of a share (one-sided; Clopper, Pearson)."""
    return 1.0 if count == number else float(beta.ppf(0.95, count + 1, number - count))


def errors_before_rollback(share: float, rollouts: int) -> list[dict[str, Any]]:
    """What a candidate with this true share of errors does to clients, under each analysis."""
    ends: dict[str, list[Ended]] = {name: [] for name in (OURS, *(each.name for each in FIXED))}
    in_all: dict[str, list[int]] = {name: [] for name in ends}
    for number in range(rollouts):
        traffic = draw(bad_candidate(share), HOUR, np.random.default_rng((SEED, number)))
        for name, run in {OURS: gated, **{each.name: each.run for each in FIXED}}.items():
            ended = run(traffic)
            ends[name].append(ended)
            in_all[name].append(ended.errors_in_all(traffic))
    return [
        {
            "share": share,
            "analysis": name,
            "rollouts": rollouts,
            "rolled_back_share": sum(each.how == "rolled back" for each in ended) / rollouts,
            "promoted_share": sum(each.how == "promoted" for each in ended) / rollouts,
            "errors": _spread([each.errors for each in ended if each.how == "rolled back"]),
            "seconds": _spread([each.looks * LOOK for each in ended if each.how == "rolled back"]),
            "errors_in_all": _spread(in_all[name]),
        }
        for name, ended in ends.items()
    ]


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    """The median and the range of 95 % of the values; None where there are none."""
    if not values:
        return None
    low, median, high = np.quantile(values, (0.025, 0.5, 0.975)).tolist()
    return {"median": median, "low": low, "high": high}


def run(short: bool) -> dict[str, Any]:
    """Everything: ten minutes on one core, or one. The keys are those of the functions above."""
    rollouts, minutes, bad_rollouts = (200, 10, 20) if short else (1000, 30, 500)
    result: dict[str, Any] = {"minutes": minutes, "false_rollbacks": [], "errors_before_rollback": []}
    for scenario in HARMLESS:
        with step(f"{rollouts} rollouts of a candidate that is {scenario.name}"):
            result["false_rollbacks"] += false_rollbacks(scenario, rollouts, round(minutes * 60 / LOOK))
    for share in BAD_SHARES:
        with step(f"{bad_rollouts} rollouts of a candidate with {share:.0%} errors"):
            result["errors_before_rollback"] += errors_before_rollback(share, bad_rollouts)
    return result


def summary(result: dict[str, Any]) -> dict[str, float]:
    """The figures that the goals speak of: of the worst harmless scenario, and beside Flagger's documented analysis."""
    ours = [row for row in result["false_rollbacks"] if row["analysis"] == OURS]
    worst = max(ours, key=lambda row: (row["share"], row["share_upper_95"]))
    at_5pct = [row for row in result["errors_before_rollback"] if row["share"] == 0.05]
    bad = {row["analysis"]: row["errors_in_all"]["median"] for row in at_5pct}
    documented = FIXED[0].name
    return {
        "false_rollback_rate": round(worst["share"], 5),
        "false_rollback_upper95": round(worst["share_upper_95"], 5),
        "bad_answers_at_5pct": bad[OURS],
        "bad_answers_at_5pct_fixed_threshold": bad[documented],
    }


def table(result: dict[str, Any]) -> str:
    """Two Markdown tables, each below a line that says what it shows."""
    weights = ", ".join(f"{weight:.0%}" for weight in STEPS)
    harmless = [
        (
            row["scenario"],
            row["analysis"],
            f"{row['rolled_back']} of {row['rollouts']}",
            f"{row['share']:.1%}",
            f"{row['share_upper_95']:.2%}",
        )
        for row in result["false_rollbacks"]
    ]
    bad = [
        (
            f"{row['share']:.0%}",
            row["analysis"],
            f"{row['rolled_back_share']:.0%}",
            f"{row['promoted_share']:.0%}",
            _shown(row["errors"]),
            _shown(row["seconds"]),
            _shown(row["errors_in_all"]),
        )
        for row in result["errors_before_rollback"]
    ]
    return "\n\n".join((
        f"### False rollbacks; {RATE:.0f} requests/s, steps {weights}; ours: any look of {result['minutes']} minutes",
        markdown(("candidate", "analysis", "rolled back", "share", "upper 95 % limit"), harmless, names=2),
        f"### More errors; stable {BASE[ERRORS]:.1%}, margin {MARGINS[ERRORS]:.1%}; one hour; medians (95 % ranges)",
        markdown(
            ("errors", "analysis", "rolled back", "promoted", "errors before it", "seconds before it", "errors in all"),
            bad,
            names=2,
        ),
    ))  # fmt: skip


def _shown(values: dict[str, float] | None) -> str:
    return f"{values['median']:,.0f} ({values['low']:,.0f} to {values['high']:,.0f})" if values else "-"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.rollout.simulation", description=__doc__)
    parser.add_argument("--short", action="store_true", help="fewer and shorter rollouts, in a minute")
    print(table(run(parser.parse_args().short)), flush=True)


if __name__ == "__main__":
    main()
