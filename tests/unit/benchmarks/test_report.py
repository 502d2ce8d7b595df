"""Ratios are honest: taken round by round, against the better setting of a peer, and missing where a part is."""

import json

import pytest

from benchmarks.serving import report
from benchmarks.serving.cases import GOAL_CLIENTS, GOAL_MODEL, Case
from benchmarks.serving.loads import Figure
from benchmarks.serving.report import ratio, spread, summary, table, worst
from benchmarks.serving.run import Results

ONE_ROW = Case(GOAL_MODEL, "json", 1, GOAL_CLIENTS)
VOID = Figure(failure="3 answers were no success")

KEYS = {
    "rest_1row_vs_mlserver", "rest_1row_vs_kserve", "rest_1row_vs_echo", "rest_1000row_vs_mlserver",
    "rest_1000row_vs_kserve", "binary_1000row_vs_model_call", "grpc_1row_vs_mlserver", "p99_vs_mlserver",
    "memory_vs_mlserver",
    "rest_1row_vs_mlserver_unbatched", "rest_1000row_vs_mlserver_unbatched", "grpc_1row_vs_mlserver_unbatched",
    "p99_vs_mlserver_unbatched",
}  # fmt: skip


def rates(*values: float) -> list[Figure]:
    return [Figure(value, 0.5 / value, 1 / value) for value in values]


def rate(figure: Figure) -> float:
    return figure.rate


def one_row() -> Results:
    """Ours and its peers in two rounds; in the second the machine is half as fast."""
    return Results(
        figures={
            (ONE_ROW, "modelward"): rates(1200, 600),
            (ONE_ROW, "mlserver"): rates(100, 50),
            (ONE_ROW, "mlserver, batching"): rates(200, 100),
            (ONE_ROW, "echo"): rates(2400, 1200),
        },
        memory={(GOAL_MODEL, "modelward"): 50 << 20, (GOAL_MODEL, "mlserver"): 200 << 20},
        absent={(ONE_ROW, "kserve"): "can't be installed:\n  no such version"},
    )


def test_a_ratio_compares_within_rounds() -> None:
    assert ratio(rates(100, 10, 1), rates(50, 5, 0.5), rate) == pytest.approx(2)


@pytest.mark.parametrize(("mine", "theirs"), [([], []), (rates(1), []), (rates(1), [VOID]), ([VOID], rates(1))])
def test_a_ratio_needs_both_sides(mine: list[Figure], theirs: list[Figure]) -> None:
    assert ratio(mine, theirs, rate) is None


def test_the_better_setting_of_a_peer_counts() -> None:
    assert worst(min, [12.3456, 6]) == 6
    assert worst(max, [0.05, 0.123456]) == 0.123
    assert worst(min, [12, None]) is None
    assert worst(min, []) is None


def test_spread() -> None:
    assert spread([90, 100, 110]) == pytest.approx(0.1)


def test_the_summary_has_every_key_and_null_where_it_was_not_measured() -> None:
    found = summary(one_row())
    assert found.keys() == KEYS
    assert found["rest_1row_vs_mlserver"] == 6
    assert found["rest_1row_vs_mlserver_unbatched"] == 12
    assert found["rest_1row_vs_echo"] == 0.5
    assert found["p99_vs_mlserver"] == pytest.approx(0.167)
    assert found["rest_1row_vs_kserve"] is None
    assert found["memory_vs_mlserver"] is None, "one of MLServer's settings was not measured"
    assert json.loads(report.last_line(one_row())) == found


def test_the_table_names_every_server() -> None:
    shown = table(one_row(), [ONE_ROW])
    assert "### gradient-boosting: json, 1 row, 16 at a time" in shown
    cells = {line.split("|")[1].strip(): line for line in shown.splitlines() if line.startswith("| ")}
    assert [cell.strip() for cell in cells["mlserver"].split("|")[2:-1]] == [
        "75.0", "± 33 %", "7.50 ms", "15.00 ms", "200 MiB", "12.00",
    ]  # fmt: skip
    assert len({len(line) for line in cells.values()}) == 1
    assert "- kserve: can't be installed: no such version" in shown


def test_a_void_figure_shows_no_number_but_the_reason() -> None:
    results = Results(figures={(ONE_ROW, "modelward"): [*rates(100), VOID]})
    shown = table(results, [ONE_ROW])
    assert "void" in shown
    assert "100" not in shown
    assert "- modelward: void, 3 answers were no success" in shown
