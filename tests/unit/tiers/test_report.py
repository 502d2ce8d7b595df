"""The end of `make test`: no failure is lost, whoever did not live to tell of it."""

from collections import Counter

from tiers.lanes import Ended, Step
from tiers.report import report
from tiers.tally import Tally


def ended(name: str, code: int = 0) -> Ended:
    return Ended(Step(name, ["x"]), code, 12.34)


def test_all_is_well() -> None:
    lines, code = report([ended("unit"), ended("api")], Tally(Counter(passed=3), [], ["7 s"]), 60.0)
    assert code == 0
    assert "7 s" in lines
    assert "   12.3s  unit" in lines
    assert lines[-1].strip("= ") == "3 passed in 60.00s (0:01:00)"


def test_what_failed_is_named() -> None:
    lines, code = report([ended("unit", 1)], Tally(Counter(passed=3, failed=1), ["FAILED a::b"]), 60.0)
    assert code == 1
    assert "FAILED a::b" in lines
    assert "   12.3s  unit: exit code 1" in lines
    assert lines[-1].strip("= ") == "1 failed, 3 passed in 60.00s (0:01:00)"


def test_a_program_that_told_of_no_test_is_an_error() -> None:
    lines, code = report([ended("unit"), ended("images", 2)], Tally(Counter(passed=3)), 60.0)
    assert code == 1
    assert lines[-1].strip("= ") == "3 passed, 1 error in 60.00s (0:01:00)"
