"""The program itself: its names, what it hands on, and what it says where kubectl is not there."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from modelward_cli import __version__, main

FOLDER = Path(__file__).parents[3] / "integrations" / "cli"
PROJECT = tomllib.loads((FOLDER / "pyproject.toml").read_text())["project"]


def run(
    *arguments: str, program: str = "-m modelward_cli", path: str = "integrations/cli"
) -> "subprocess.CompletedProcess[str]":
    environment = {"PYTHONPATH": path, "PATH": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-S", *program.split(), *arguments]
    return subprocess.run(command, cwd=FOLDER.parents[1], env=environment, capture_output=True, text=True, check=False)


def test_it_is_installed_by_itself_and_as_a_plugin() -> None:
    assert PROJECT["dependencies"] == []
    assert set(PROJECT["scripts"]) == {"modelward", "kubectl-modelward"}
    assert set(PROJECT["scripts"].values()) == {"modelward_cli.main:main"}
    ended = run("--version")  # -S: nothing that is installed is there
    assert (ended.stdout, PROJECT["version"]) == (f"modelward {__version__}\n", __version__)


def test_every_subcommand_is_a_file_of_its_own() -> None:
    files = {each.stem for each in (FOLDER / "modelward_cli/commands").glob("*.py")} - {"__init__", "command"}
    assert {each.name for each in main.COMMANDS} == files


def test_where_there_is_no_kubectl_it_says_so() -> None:
    ended = run("lineage", "fraud")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == "modelward lineage: there is no kubectl; install kubectl, or name it with --kubectl\n"


@pytest.mark.parametrize("arguments", [(), ("nonsense",), ("lineage",), ("lineage", "a", "--at", "noon")])
def test_wrong_arguments_are_told(arguments: tuple[str, ...]) -> None:
    ended = run(*arguments)
    assert ended.returncode == 2
    assert "usage: " in ended.stderr
    assert "Traceback" not in ended.stderr


def test_verbs_of_the_inference_package_are_handed_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    handed = []
    monkeypatch.setattr("modelward_inference.cli.main", lambda given: handed.append(given) or 7)
    assert main.main(["save", "--out", "x"]) == 7
    assert handed == [["save", "--out", "x"]]


def test_and_the_inference_package_hands_ours_on() -> None:
    both = os.pathsep.join(["inference_image", "integrations/cli"])
    command = [sys.executable, "-m", "modelward_inference", "lineage", "--help"]
    environment = {**os.environ, "PYTHONPATH": both, "PYTHONDONTWRITEBYTECODE": "1"}
    ended = subprocess.run(command, cwd=FOLDER.parents[1], env=environment, capture_output=True, text=True, check=True)
    assert "REQUEST_ID" in ended.stdout
    command[-2:] = ["nonsense"]
    ended = subprocess.run(command, cwd=FOLDER.parents[1], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2, "nobody's verb goes in no circle"
    assert "invalid choice: 'nonsense'" in ended.stderr


@pytest.mark.parametrize("program", ["modelward_cli", "modelward_inference"])
def test_a_slip_is_told_with_the_verbs_of_people(program: str) -> None:
    """Whichever of the two programs has the name where both are installed."""
    both = os.pathsep.join(["inference_image", "integrations/cli"])
    environment = {**os.environ, "PYTHONPATH": both, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", program, "rolout", "watch", "fraud"]
    ended = subprocess.run(command, cwd=FOLDER.parents[1], env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert {"status", "ui", "rollout"} <= set(re.findall(r"\w+", ended.stderr.rpartition("choose from")[2]))
