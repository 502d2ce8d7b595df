"""The templates: every step that a line runs is there and takes what it is given, and the order is the promised one."""

import argparse
import importlib
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from .pages import ROOT, blocks

TEMPLATES = ROOT / "examples/pipelines"
WORKFLOWS = sorted((TEMPLATES / "github-actions").glob("*.yml"))
JENKINSFILE = TEMPLATES / "jenkins/Jenkinsfile"
RELEASE = ["champion", "validate", "train", "evaluate", "register", "pin", "pull_request"]


def lines(path: Path) -> list[str]:
    """What shells run, in their order."""
    if path == JENKINSFILE:
        return re.findall(r"^ *sh '(.*)'$", path.read_text(), re.MULTILINE)
    body = yaml.safe_load(path.read_text())
    return [step["run"] for job in body["jobs"].values() for step in job["steps"] if "run" in step]


def calls(path: Path) -> list[tuple[str, list[str]]]:
    """Steps and their arguments."""
    found = []
    for line in lines(path):
        if match := re.search(r"python pipeline/steps/(\w+)\.py (.*)", line, re.DOTALL):
            arguments = re.sub(r"\$\(.*? echo (\S+)\)", r"\1", match[2])
            found.append((match[1], [re.sub(r"^\$\w+$", "word", each) for each in shlex.split(arguments)]))
    return found


@pytest.fixture(scope="module")
def steps() -> Iterator[None]:
    sys.path.insert(0, str(TEMPLATES / "steps"))
    before = set(sys.modules)
    try:
        yield
    finally:
        sys.path.remove(str(TEMPLATES / "steps"))
        for path in (TEMPLATES / "steps").glob("*.py"):
            if path.stem not in before:
                sys.modules.pop(path.stem, None)


class Taken(Exception):  # noqa: N818 - no error: the arguments are right
    """The step would begin."""


def takes(name: str, arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own parser reads them; nothing is run."""
    parse = argparse.ArgumentParser.parse_args

    def only(self: argparse.ArgumentParser, *_: Any) -> Any:
        parse(self, arguments)
        raise Taken

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", only)
    with pytest.raises(Taken):
        importlib.import_module(name).main()


@pytest.mark.parametrize("path", [*WORKFLOWS, JENKINSFILE], ids=lambda path: path.name)
def test_every_step_is_there_and_takes_what_it_is_given(
    path: Path, steps: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = calls(path)
    assert len(found) == len([line for line in lines(path) if "steps/" in line])
    assert [name for name, _ in found] == (["follow"] if path.stem == "rollout" else RELEASE)
    for name, arguments in found:
        assert (TEMPLATES / f"steps/{name}.py").is_file(), name
        takes(name, arguments, monkeypatch)
        monkeypatch.undo()


def test_an_argument_that_a_step_does_not_take_would_be_found(steps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit):
        takes("pin", ["--file", "x", "--module", "y"], monkeypatch)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_no_expression_is_a_part_of_a_script(path: Path) -> None:
    """What an event brings (a branch's name, a title) could be a command."""
    assert not [line for line in lines(path) if "${{" in line]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_may_write_only_where_it_opens_a_pull_request(path: Path) -> None:
    body = yaml.safe_load(path.read_text())
    assert body["permissions"] == {"contents": "read"}
    (job,) = body["jobs"].values()
    opens = any(name == "pull_request" for name, _ in calls(path))
    assert job.get("permissions") == ({"contents": "write", "pull-requests": "write"} if opens else None)
    assert {"timeout-minutes", "environment"} <= set(job)
    assert "concurrency" in body


def test_the_nightly_one_trains_an_ensemble_at_night() -> None:
    nightly = TEMPLATES / "github-actions/nightly-ensemble.yml"
    body = yaml.safe_load(nightly.read_text())
    assert body[True]["schedule"] == [{"cron": "0 2 * * *"}], "`on` is what YAML 1.1 takes for true"
    for path in (nightly, JENKINSFILE):
        assert "--ensemble" in dict(calls(path))["train"]


def test_jenkins_puts_no_value_of_groovy_into_a_script() -> None:
    text = JENKINSFILE.read_text()
    assert not re.search(r'sh\s*\(?\s*"', text)
    assert text.count("{") == text.count("}")


def test_the_commands_of_the_page_are_ones_that_the_steps_take(steps: None, monkeypatch: pytest.MonkeyPatch) -> None:
    copied, tried = blocks("docs/integrations/ci-cd.md", "sh")
    for name in re.findall(r"examples/\S+", copied):
        assert (ROOT / name).exists(), name
    found = re.findall(r"^python pipeline/steps/(\w+)\.py (.*)$", tried, re.MULTILINE)
    assert len(found) == 4
    for name, arguments in found:
        takes(name, shlex.split(arguments), monkeypatch)
        monkeypatch.undo()


def test_the_page_tells_of_every_step_and_template() -> None:
    page = (ROOT / "docs/integrations/ci-cd.md").read_text()
    helpers = {"table", "served"}
    there = {path.stem for path in (TEMPLATES / "steps").glob("*.py")} - helpers
    assert set(re.findall(r"^\| `(\w+)\.py` \|", page, re.MULTILINE)) == there
    told = set(re.findall(r"^\| `(examples/\S+)` \|", page, re.MULTILINE))
    assert told == {path.relative_to(ROOT).as_posix() for path in (*WORKFLOWS, JENKINSFILE)}
