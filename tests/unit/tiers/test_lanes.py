"""Lanes run beside each other, their steps one after another, and what each writes is shown in one piece."""

import io
import sys
from pathlib import Path

from tiers.lanes import Lane, Step, run

MEET = """
import pathlib, sys, time
mine, other = map(pathlib.Path, sys.argv[1:])
mine.touch()
end = time.monotonic() + 60
while not other.exists():
    assert time.monotonic() < end
    time.sleep(0.01)
print("met", mine.name)
"""


def python(name: str, program: str, *arguments: object) -> Step:
    return Step(name, [sys.executable, "-c", program, *map(str, arguments)])


def test_lanes_meet_and_their_outputs_do_not_mix(tmp_path: Path) -> None:
    a, b = tmp_path / "a", tmp_path / "b"
    output = io.StringIO()
    first = Lane("first", [python("wait for b", MEET, a, b), python("last", "print('end of first')")], tmp_path / "1")
    second = Lane("second", [python("wait for a", MEET, b, a)], tmp_path / "2")
    ended = run([first, second], output)
    assert [(each.step.name, each.code) for each in ended] == [("wait for b", 0), ("last", 0), ("wait for a", 0)]
    shown = [line for line in output.getvalue().splitlines() if line]
    assert shown == ["== wait for b", "met a", "== last", "end of first", "== wait for a", "met b"]


def test_a_step_that_fails_is_told_and_the_next_one_runs(tmp_path: Path) -> None:
    steps = [python("bad", "import sys; print('oh', file=sys.stderr); sys.exit(3)"), python("good", "print('on')")]
    output = io.StringIO()
    ended = run([Lane("one", steps, tmp_path / "log")], output)
    assert [each.code for each in ended] == [3, 0]
    assert output.getvalue().split() == ["==", "bad", "oh", "==", "good", "on"]
