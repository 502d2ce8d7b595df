"""The action and the templates by act, which runs workflows as GitHub does, here on this machine and without Docker.

`make check-pipelines` brings act, in ACT. kubectl is a stand-in: the cluster is other tests' matter.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from unit.cli.world import Namespace
from unit.pipelines.models import GATES, model, promoted, rolling
from unit.pipelines.pages import ROOT, blocks

ACT = os.environ["ACT"]
MODELS = "modeldeployments.modelward.io"
URI = "models:/fraud/8"


def act(folder: Path, *arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    home = folder.parent / "home"
    (home / ".config/act").mkdir(parents=True, exist_ok=True)
    (home / ".config/act/actrc").touch()  # else it asks which image to use
    return subprocess.run(
        [ACT, *arguments, "-P", "ubuntu-latest=-self-hosted"], cwd=folder, text=True, capture_output=True, timeout=250,
        env={**os.environ, "HOME": str(home), "XDG_CONFIG_HOME": str(home / ".config"), **variables}, check=False,
    )  # fmt: skip


def committed(folder: Path) -> None:
    git = ["git", "-c", "user.name=n", "-c", "user.email=e@example.com"]
    for each in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message=first"]):
        subprocess.run([*git, *each], cwd=folder, check=True)


def of_version(body: Any) -> Any:
    """A ModelDeployment of the tests, of the version that the page deploys."""
    told = json.loads(json.dumps(body))
    told["spec"]["model"] = told["status"]["model"] = {"uri": URI}
    if told["status"].get("rollout", {}).get("phase") == "Promoted":
        told["status"]["stable"]["uri"] = URI
    return told


@pytest.mark.parametrize(
    ("end", "code", "said"),
    [(promoted(), 0, "promoted - "), (rolling("RolledBack", "errorRate failed", gates=GATES), 1, "failed - ")],
)
def test_the_workflow_of_the_page_runs(tmp_path: Path, end: Any, code: int, said: str) -> None:
    repository = tmp_path / "repository"
    for name in ("github-action", "jenkins", "cli"):
        ignored = shutil.ignore_patterns("__pycache__", "tests")
        shutil.copytree(ROOT / "integrations" / name, repository / "modelward" / name, ignore=ignored)
    (repository / ".github/workflows").mkdir(parents=True)
    (workflow,) = blocks("docs/integrations/github-actions-deploy.md", "yaml")
    (repository / ".github/workflows/deploy.yml").write_text(workflow)
    committed(repository)
    (tmp_path / "world").mkdir()
    world = Namespace(tmp_path / "world")
    world.then(MODELS, [model()], [of_version(end)])
    ended = act(
        repository, "workflow_dispatch", "--input", "version=8", "--secret", "KUBECONFIG=kind: Config",
        PATH=f"{world.folder}:{os.environ['PATH']}",
    )  # fmt: skip
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert said in ended.stdout, ended.stdout
    assert [call for call in world.calls() if "apply" in call], "the version was deployed"
    assert "kind: Config" not in ended.stdout


def test_the_templates_are_read_by_another_parser(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    shutil.copytree(ROOT / "examples/pipelines/github-actions", repository / ".github/workflows")
    committed(repository)
    ended = act(repository, "--list")
    assert ended.returncode == 0, ended.stderr
    for name in ("release.yml", "nightly-ensemble.yml", "rollout.yml"):
        assert name in ended.stdout
