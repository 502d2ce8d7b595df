"""The workflows of examples and docs, and the action that they call, by actionlint: it knows what GitHub would refuse.

`make check-pipelines` builds it, once.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

from localcluster import binaries
from unit.pipelines.pages import ROOT, blocks

PAGES = ("docs/integrations/github-actions.md", "docs/integrations/github-actions-deploy.md")


@pytest.fixture(scope="module")
def actionlint() -> Path:
    return binaries.actionlint()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """As a user's: the templates, the pages' workflows, and the action where the page says that it is copied to."""
    workflows = shutil.copytree(ROOT / "examples/pipelines/github-actions", tmp_path / ".github/workflows")
    shutil.copytree(ROOT / "integrations/github-action", tmp_path / "modelward/github-action")
    for page in PAGES:
        for number, text in enumerate(blocks(page, "yaml")):
            if "\njobs:" in text:
                (workflows / f"{Path(page).stem}-{number}.yml").write_text(text)
    (tmp_path / ".git").mkdir()  # by which it finds the root, and with it local actions
    return tmp_path


def linted(program: Path, repository: Path) -> "subprocess.CompletedProcess[str]":
    """Without the programs that it would run besides where they are installed."""
    files = sorted(map(str, (repository / ".github/workflows").glob("*.yml")))
    assert len(files) == 5
    command = [str(program), "-oneline", "-no-color", "-shellcheck=", "-pyflakes=", *files]
    return subprocess.run(command, cwd=repository, capture_output=True, text=True, check=False, timeout=120)


def test_it_finds_nothing_wrong(actionlint: Path, repository: Path) -> None:
    ended = linted(actionlint, repository)
    assert (ended.returncode, ended.stdout) == (0, "")


@pytest.mark.parametrize(
    ("written", "instead", "told"),
    [
        ("steps.deploy.outputs.state", "steps.deployed.outputs.state", "deployed"),
        ("steps.deploy.outputs.state", "steps.deploy.outputs.stat", "stat"),
        ("namespace: ml", "name-space: ml", 'input "name-space" is not defined in action'),
    ],
    ids=["a step that is none", "an output that the action has not", "an input that the action has not"],
)
def test_it_finds_what_is_wrong(actionlint: Path, repository: Path, written: str, instead: str, told: str) -> None:
    (workflow,) = (repository / ".github/workflows").glob("github-actions-deploy-*.yml")
    text = workflow.read_text()
    assert written in text
    workflow.write_text(text.replace(written, instead))
    ended = linted(actionlint, repository)
    assert ended.returncode == 1
    assert told in ended.stdout
