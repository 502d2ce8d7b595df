"""What capture costs is told by pairs of turns, and the summary is about the worst case."""

import pytest

from benchmarks.drift.capture import CASES, Result, Turn, summary, table

OFF = Turn(1000.0, 0.010, 0.001)
RESULTS = [
    Result(CASES[0], [(OFF, Turn(990.0, 0.011, 0.00102)), (OFF, Turn(500.0, 0.020, 0.002)), (OFF, OFF)], 0.0),
    Result(CASES[1], [(OFF, Turn(1010.0, 0.009, 0.00103))], 0.25),
]


def test_costs_are_medians_of_pairs_and_the_worst_counts() -> None:
    assert [RESULTS[0].throughput_cost, RESULTS[0].p99_cost, RESULTS[0].cpu_cost] == pytest.approx([0.01, 0.1, 0.02])
    assert summary(RESULTS) == {"capture_throughput_cost": 0.01, "capture_p99_cost": 0.1, "capture_cpu_cost": 0.03}


def test_the_table_has_a_line_a_case() -> None:
    *_, json_line, binary_line = table(RESULTS).splitlines()
    assert json_line.split("|")[2:6] == ["      1,000 ", "       990 ", "  1.0% ", "       10.00 "]
    assert "25.0%" in binary_line
