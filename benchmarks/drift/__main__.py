"""`python -m benchmarks.drift [--short]`: counting and false alarms; a table, and JSON on the last line."""

import argparse
import json
import sys

from benchmarks.drift import false_alarms, updates
from benchmarks.markdown import markdown


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--short", action="store_true", help="minutes instead of an hour")
    chosen = parser.parse_args()
    counted = [updates.run(*shape) for shape in updates.SHAPES]
    rows = [
        [f"{each.rows:,} x {each.features}", f"{each.counting:.3f}", f"{each.memory_pass:.3f}", f"{each.ratio:.1f}"]
        for each in counted
    ]
    print(markdown(["values", "counting, s", "one pass, s", "ratio"], rows), end="\n\n", flush=True)
    iid = false_alarms.run(false_alarms.independent, 300 if chosen.short else 10_000)
    correlated = false_alarms.run(false_alarms.correlated, 15 if chosen.short else 1000)
    rows = [
        [name, f"{each.runs}", f"{each.alarms}", f"{each.rate:.4f}", f"{each.upper95:.4f}"]
        for name, each in (("independent", iid), ("AR(1), 0.9", correlated))
    ]
    print(markdown(["rows", "runs of 30 days", "alarms", "runs with any", "upper 95 %"], rows), end="\n\n")
    summary = {
        "update_1m_vs_memory_pass": round(counted[0].ratio, 1),
        "update_100k_vs_memory_pass": round(counted[1].ratio, 1),
        "false_alarm_rate_iid": iid.rate,
        "false_alarm_upper95_iid": round(iid.upper95, 4),
        "false_alarm_rate_autocorrelated": correlated.rate,
        "false_alarm_upper95_autocorrelated": round(correlated.upper95, 4),
        "stated_budget": false_alarms.BUDGET.per_30_days,
    }
    print(json.dumps(summary))
    return 0


sys.exit(main())
