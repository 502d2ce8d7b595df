"""Runs of pytest put together are told as pytest would tell of one."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest

from tiers.tally import MAX_CAUSE, Tally


@dataclass
class Report:
    nodeid: str
    when: str = "call"
    user_properties: list[tuple[str, object]] = field(default_factory=list)
    longrepr: object = None


def because(message: str) -> SimpleNamespace:
    """As pytest keeps why a test failed."""
    return SimpleNamespace(reprcrash=SimpleNamespace(message=message))


def test_sums_lines_and_names(tmp_path: Path) -> None:
    first = Tally.of({"passed": [Report("a", user_properties=[("measured", "3 s")])], "failed": [Report("b")]})
    second = Tally.of(
        {"passed": [Report("c")], "error": [Report("d", "setup"), Report("e", "setup")], "": [Report("f")]}
    )
    first.write(tmp_path / "t")
    total = Tally.read(tmp_path / "t")
    total += second
    assert total.bad == ["FAILED b", "ERROR d", "ERROR e"]
    assert total.measured == ["3 s"]
    assert total.line(3723.456) == " 1 failed, 2 passed, 2 errors in 3723.46s (1:02:03) ".center(80, "=")


def test_what_failed_says_why_and_of_a_program_its_last_words() -> None:
    told = Tally.of(
        {
            "failed": [Report("b", longrepr=because("assert 1 == 2\n + where"))],
            "error": [Report("d", longrepr=because("x" * MAX_CAUSE + "at the end: no space left"))],
        }
    )
    assert told.bad[0] == "FAILED b\n    assert 1 == 2\n     + where"
    assert told.bad[1].startswith("ERROR d\n    … xxx")
    assert told.bad[1].endswith("at the end: no space left")


@pytest.mark.parametrize(
    ("counts", "said"),
    [({}, "no tests ran"), ({"passed": 5}, "5 passed"), ({"error": 1, "passed": 2}, "2 passed, 1 error")],
)
def test_the_last_line(counts: dict[str, int], said: str) -> None:
    assert Tally(Counter(counts)).line(59.994).strip("= ") == f"{said} in 59.99s (0:00:59)"
