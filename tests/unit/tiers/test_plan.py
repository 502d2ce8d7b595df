"""No test is left out of `make test`, and none is run twice."""

import re
from collections import Counter
from pathlib import Path

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
    assert {folder for folder, _ in chosen} == folders
    for folder in folders:
        marks = sorted(marks for name, marks in chosen.elements() if name == folder)
        assert marks in ([""], ["alone", "not alone"]), folder


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
    named = re.findall(r'"(e2e/test_\w+\.py)"', conftest)
    assert len(named) >= 2
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
