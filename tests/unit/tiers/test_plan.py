"""No test is left out of `make test` but those that take a command of their own, and none is run twice."""

import re
from collections import Counter
from pathlib import Path

import pytest
from _pytest.mark.expression import Expression

from tiers import plan

TESTS = Path(__file__).parents[3] / "tests"


def selections(folder: Path) -> list[tuple[str, str]]:
    """Folders of tests and the marks by which they are chosen, of each pytest that is run."""
    found = []
    for phase in plan.phases(folder):
        for steps in phase.values():
            for step in steps:
                if "pytest" in step.command:
                    words = list(step.command)
                    marks = words[words.index("-m", words.index("pytest")) + 1] if words.count("-m") > 1 else ""
                    found += [(word, marks) for word in words if word.startswith("tests/")]
    return found


def test_every_folder_that_has_tests_is_run_once(tmp_path: Path) -> None:
    folders = {f"tests/{path.relative_to(TESTS).parts[0]}" for path in TESTS.rglob("test_*.py")}
    chosen = Counter(selections(tmp_path))
    assert {folder for folder, _ in chosen} == folders - plan.ASKED_FOR.keys()
    for folder, _ in chosen:
        marks = sorted(marks for name, marks in chosen.elements() if name == folder)
        assert marks in ([""], sorted((plan.BESIDE_OTHERS, plan.ONE_AT_A_TIME, plan.QUIET))), folder


def test_a_bare_pytest_collects_nothing_that_takes_a_command_of_its_own(request: pytest.FixtureRequest) -> None:
    """A folder that is named is never asked whether it is left out: that is how the command gets it."""
    makefile = (TESTS.parent / "Makefile").read_text()
    config = request.config
    for folder, command in plan.ASKED_FOR.items():
        assert any((TESTS.parent / folder).glob("test_*.py")), folder
        assert config.hook.pytest_ignore_collect(collection_path=TESTS.parent / folder, config=config) is True
        assert f"\n{command}: $(READY)" in makefile
        assert f"-m pytest {folder}\n" in makefile
    assert config.hook.pytest_ignore_collect(collection_path=TESTS / "unit", config=config) is not True


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize("quiet", [False, True])
def test_whatever_marks_a_test_has_one_run_chooses_it(alone: bool, quiet: bool) -> None:
    marked = {"alone": alone, "quiet": quiet}
    chosen = [
        Expression.compile(each).evaluate(lambda mark, **_: marked[mark])
        for each in (plan.BESIDE_OTHERS, plan.ONE_AT_A_TIME, plan.QUIET)
    ]
    assert sorted(chosen) == [False, False, True]


def test_whoever_needs_the_machine_has_it(tmp_path: Path) -> None:
    *_, last = plan.phases(tmp_path)
    ((step,),) = last.values()
    assert plan.QUIET in step.command


def test_the_cluster_of_the_tests_begins_with_nothing_of_an_earlier_run(tmp_path: Path) -> None:
    verbs = [
        step.command[-1]
        for phase in plan.phases(tmp_path)
        for steps in phase.values()
        for step in steps
        if "localcluster" in step.command
    ]
    assert verbs[:2] == ["down", "up"]
    assert "down" not in verbs[1:]


def test_the_long_files_are_there() -> None:
    conftest = (TESTS / "conftest.py").read_text()
    named = re.findall(r'"((?:e2e|api|unit)/[\w/]*test_\w+\.py)"', conftest)
    assert {each.partition("/")[0] for each in named} == {"e2e", "api", "unit"}
    assert all((TESTS / name).exists() for name in named)


def test_each_leaves_its_own_tally(tmp_path: Path) -> None:
    named = [
        word
        for phase in plan.phases(tmp_path)
        for steps in phase.values()
        for step in steps
        for word in step.command
        if word.startswith("--tally=")
    ]
    assert len(named) == len(set(named)) > 1
