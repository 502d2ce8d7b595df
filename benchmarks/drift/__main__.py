"""`python -m benchmarks.drift [--short]`: progress on stderr; tables and, as the last line, JSON on stdout.

A key of the last line is null where its part could not be measured; a line on stderr says why.
"""

import argparse
import json
import sys
from collections.abc import Callable
from typing import TypeVar

from benchmarks.drift import changes, delays, false_alarms, pooling, report, updates
from benchmarks.drift.false_alarms import Setting
from localcluster.progress import SetupError, say, step

T = TypeVar("T")

RUNS, SHORT_RUNS = 10_000, 200
DELAY_RUNS, SHORT_DELAY_RUNS = 500, 50

INDEPENDENT = Setting("independent", false_alarms.independent, 20)
CORRELATED = Setting("AR(1), 0.9, calibrated", false_alarms.correlated(0.9), 5)
LESS_CORRELATED = Setting("AR(1), 0.5, calibrated", false_alarms.correlated(0.5), 5)
UNCALIBRATED = Setting("AR(1), 0.9, not calibrated", false_alarms.uncalibrated(0.9), 5)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description=__doc__)
    parser.add_argument("--short", action="store_true", help="minutes instead of half an hour or more")
    short = parser.parse_args().short
    updated = []
    for shape in updates.SHAPES[:1] if short else updates.SHAPES:
        with step(f"updating {shape.rows:,} x {shape.features}"):
            updated.append(updates.run(shape))
    pooled = pooling.run()
    captured = _capture(short)
    memory = _monitor()
    runs = SHORT_RUNS if short else RUNS
    simulated = {}
    for setting, size in ((INDEPENDENT, runs), (CORRELATED, runs), (LESS_CORRELATED, runs // 5), (UNCALIBRATED, 100)):
        with step(f"{size:,} runs of 30 days without drift, {setting.name}"):
            simulated[setting] = false_alarms.run(setting, size)
    iid, correlated = simulated[INDEPENDENT], simulated[CORRELATED]
    with step("delays"):
        equal = iid.cut_of_equal_rate()
        size = SHORT_DELAY_RUNS if short else DELAY_RUNS
        delayed = [delays.run(shift, equal, size) for shift in delays.SHIFTS]
    changed = _or_none("the series of river", lambda: {each: changes.outcomes(each) for each in changes.load()})
    print(report.tables(updated, pooled, simulated, delayed, equal, changed or {}), end="\n\n")
    evidently = updated[0].evidently
    summary = {
        "update_1m_vs_evidently": evidently and round(evidently / updated[0].ours, 1),
        "update_1m_vs_memory_pass": round(updated[0].ours / updated[0].memory_pass, 1),
        "capture_throughput_cost": captured.get("capture_throughput_cost"),
        "capture_p99_cost": captured.get("capture_p99_cost"),
        "monitor_rss_mb": memory,
        "false_alarm_rate_iid": iid.rate,
        "false_alarm_upper95_iid": round(iid.interval[1], 4),
        "false_alarm_rate_autocorrelated": correlated.rate,
        "false_alarm_upper95_autocorrelated": round(correlated.interval[1], 4),
        "stated_budget": false_alarms.PER_30_DAYS,
    }
    print(json.dumps(summary), flush=True)
    return int(None in summary.values())


def _capture(short: bool) -> dict[str, float | None]:
    """Shares of the throughput and of the p99 latency that capture costs."""
    try:
        from benchmarks.drift import capture  # type: ignore[attr-defined,unused-ignore]
    except ImportError as error:
        say(f"capture is not measured: {error}")
        return {}
    found = _or_none("capture", lambda: capture.run(short=short))
    if found is None:
        return {}
    print(capture.table(found), end="\n\n")
    return {**capture.summary(found)}


def _monitor() -> float | None:
    """Megabytes, resident."""
    from benchmarks.drift import monitor

    found = _or_none("the monitor's memory", monitor.resident)
    return found and round(found, 1)


def _or_none(what: str, measure: Callable[[], T]) -> T | None:
    try:
        with step(what):
            return measure()
    except SetupError as error:
        say(f"{what} could not be measured: {error}")
        return None


if __name__ == "__main__":
    sys.exit(main())
