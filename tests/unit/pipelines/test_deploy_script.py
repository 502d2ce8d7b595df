"""The GitHub action and the Jenkins step: their script run for real, with a stand-in for kubectl; what they hand to it.

No Jenkins can be had here, and GitHub's runner is `make check-pipelines`' (act): here the action's own `run:` line is
run with the environment that it names.
"""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from unit.cli.world import Namespace

from .models import GATES, NEW, NEW_PIN, model, promoted, rolling
from .pages import ROOT, blocks

ACTION = ROOT / "integrations/github-action/action.yml"
SCRIPT = ROOT / "integrations/jenkins/resources/modelward/deploy.sh"
STEP = ROOT / "integrations/jenkins/vars/modelwardDeploy.groovy"
MODELS = "modeldeployments.modelward.io"


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    return Namespace(tmp_path)


def action() -> Any:
    return yaml.safe_load(ACTION.read_text())


def run(world: Namespace, /, **inputs: str) -> "subprocess.CompletedProcess[str]":
    """The action's step as GitHub runs it: its expressions replaced, its `run:` given to bash."""
    (step,) = action()["runs"]["steps"]
    values = {name: str(each.get("default", "")) for name, each in action()["inputs"].items()} | inputs
    assert set(values) == set(action()["inputs"])
    expressions = {f"inputs.{name}": value for name, value in values.items()}
    expressions["github.action_path"] = str(ACTION.parent)

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ ([\w.-]+) \}\}", lambda found: expressions[found[1]], text)

    assert "${{" not in step["run"], "nothing that is asked becomes a part of a script"
    (world.folder / "tmp").mkdir(exist_ok=True)
    environment = {
        **os.environ,
        **{name: filled(value) for name, value in step["env"].items()},
        "PATH": f"{world.folder}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(world.folder / "summary"),
        "GITHUB_OUTPUT": str(world.folder / "output"),
        "TMPDIR": str(world.folder / "tmp"),
    }
    return subprocess.run(
        ["bash", "-e", "-o", "pipefail", "-c", step["run"]], env=environment, cwd=world.folder, text=True,
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip


def outputs(namespace: Namespace) -> dict[str, str]:
    found = re.findall(r"^(\w+)<<(\w+)\n(.*)\n\2$", (namespace.folder / "output").read_text(), re.MULTILINE)
    return {name: value for name, _, value in found}


def test_a_pinned_version_is_deployed(namespace: Namespace) -> None:
    pinned = model(NEW, NEW_PIN)
    namespace.then(MODELS, [model()], [pinned])
    ended = run(namespace, model="fraud", uri=NEW, digest=NEW_PIN)
    assert ended.returncode == 0, ended.stderr
    (call,) = [call for call in namespace.calls() if call[0] == "apply"]
    assert "--force-conflicts" not in call
    assert f"asks for {NEW} ({NEW_PIN})" in ended.stderr


def test_it_succeeds_where_the_version_is_promoted(namespace: Namespace) -> None:
    passed = promoted()
    passed["status"]["rollout"]["gates"] = [{**GATES[0], "verdict": "Pass", "message": "a | b <script>"}]
    namespace.then(MODELS, [model(NEW)], [passed])
    ended = run(namespace, model="fraud", uri=NEW, namespace="ml")
    assert ended.returncode == 0, ended.stderr
    assert "fraud: promoted." in ended.stdout
    assert "errorRate  Pass  stable 1/400  candidate 7/20" in ended.stdout
    assert outputs(namespace)["state"] == "promoted"
    page = (namespace.folder / "summary").read_text()
    assert "| errorRate | Pass | 1/400 | 7/20 | a \\| b &lt;script> |" in page
    assert all("--namespace=ml" in call for call in namespace.calls())


def test_it_fails_with_the_reason(namespace: Namespace) -> None:
    namespace.then(MODELS, [model(NEW)], [rolling("RolledBack", "errorRate failed", gates=GATES)])
    ended = run(namespace, model="fraud", uri=NEW)
    assert ended.returncode == 4
    assert (outputs(namespace)["state"], "7 of 20" in outputs(namespace)["message"]) == ("failed", True)


def test_where_the_cluster_refuses_nothing_was_deployed(namespace: Namespace) -> None:
    namespace.refuses(MODELS, "Error from server (Forbidden): modeldeployments is forbidden")
    ended = run(namespace, model="fraud", uri=NEW)
    assert ended.returncode == 1
    assert "Nothing was deployed." in ended.stdout
    assert "Ask for that right" in ended.stderr
    assert outputs(namespace) == {"state": "", "message": ""}


def test_a_kubeconfig_is_kept_from_others_and_taken_away(namespace: Namespace) -> None:
    namespace.holds(MODELS, promoted())
    ended = run(namespace, model="fraud", uri=NEW, kubeconfig="secret: s3cr3t")
    assert ended.returncode == 0, ended.stderr
    (used,) = {each for call in namespace.calls() for each in call if each.startswith("--kubeconfig=")}
    assert not Path(used.removeprefix("--kubeconfig=")).exists()
    assert not list((namespace.folder / "tmp").iterdir())
    assert "s3cr3t" not in ended.stdout + ended.stderr + (namespace.folder / "output").read_text()


@pytest.mark.parametrize("word", ["$(touch {0})", "`touch {0}`", "'; touch {0} #", '"; touch {0} #', "--kubectl={0}"])
def test_a_word_runs_nothing(namespace: Namespace, word: str) -> None:
    made = namespace.folder / "made"
    hostile = word.format(made)
    for inputs in ({"model": hostile, "uri": NEW}, {"model": "fraud", "uri": hostile}):
        assert run(namespace, **inputs).returncode in (1, 2)
    assert not made.exists()


def test_a_message_ends_no_output_of_the_step(namespace: Namespace) -> None:
    namespace.holds(MODELS, rolling("RolledBack", "first\nstate<<x\npromoted\nx", gates=[]))
    run(namespace, model="fraud", uri=NEW)
    assert outputs(namespace)["state"] == "failed"
    assert len((namespace.folder / "output").read_text().splitlines()) == 6


def test_the_action_says_what_each_input_and_output_is() -> None:
    body = action()
    (step,) = body["runs"]["steps"]
    assert all(each["description"].strip() for each in (*body["inputs"].values(), *body["outputs"].values()))
    used = set(re.findall(r"inputs\.([\w-]+)", str(step["env"])))
    assert used == set(body["inputs"])
    assert set(step["env"]) - {"CLI"} <= set(re.findall(r"[A-Z_]{3,}", SCRIPT.read_text()))


def test_the_jenkins_step_hands_all_of_it_to_the_same_script() -> None:
    text = STEP.read_text()
    handed = set(re.findall(r'"([A-Z_]+)=\$\{', text))
    (step,) = action()["runs"]["steps"]
    assert handed == set(step["env"]) - {"CLI", "KUBECONFIG_CONTENT"}, "the kubeconfig comes as a file"
    (resource,) = re.findall(r"libraryResource\('([^']+)'\)", text)
    assert (ROOT / "integrations/jenkins/resources" / resource) == SCRIPT
    assert not re.search(r"sh\s+\"", text), "no value of Groovy is a part of a script"


def test_the_workflow_of_the_page_is_one_that_the_action_takes() -> None:
    (page,) = map(yaml.safe_load, blocks("docs/integrations/github-actions-deploy.md", "yaml"))
    (uses,) = [each for each in page["jobs"]["deploy"]["steps"] if "modelward" in each.get("uses", "")]
    needed = {name for name, each in action()["inputs"].items() if each.get("required")}
    assert needed <= set(uses["with"]) <= set(action()["inputs"])
    table = re.findall(
        r"^\| (`.*`) \|", (ROOT / "docs/integrations/github-actions-deploy.md").read_text(), re.MULTILINE
    )
    assert {name for row in table for name in re.findall(r"`([\w-]+)`", row)} == set(action()["inputs"])


def test_the_pipeline_of_the_page_is_one_that_the_step_takes() -> None:
    (page,) = blocks("docs/integrations/jenkins-deploy.md", "groovy")
    (known,) = re.findall(r"List known = \[(.*)\]", STEP.read_text())
    (call,) = re.findall(r"modelwardDeploy\((.*)\)", page)
    assert set(re.findall(r"(\w+): ['\"]", call)) <= set(re.findall(r"'(\w+)'", known))
