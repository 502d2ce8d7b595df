"""The pages of docs/integrations: what they show is what the product takes."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelward.api.driftpolicy import parse
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.start import kind_of

ROOT = Path(__file__).parents[3]
PAGES = {
    "airflow": ("airflow", runs.AIRFLOW),
    "prefect": ("prefect", runs.PREFECT),
    "github-actions": ("github", runs.GITHUB),
    "jenkins": ("jenkins", runs.JENKINS),
    "argo-workflows": ("argo-workflow", runs.ARGO),
    "kubeflow": ("kubeflow", runs.KUBEFLOW),
}


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / f"docs/integrations/{page}.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def shown(page: str) -> dict[str, Any]:
    """The DriftPolicy of a page."""
    (found,) = [each for each in map(yaml.safe_load, blocks(page, "yaml")) if each.get("kind") == "DriftPolicy"]
    return dict(found)


def test_every_page_is_known_here() -> None:
    assert {path.stem for path in (ROOT / "docs/integrations").glob("*.md")} >= set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_shows_its_example_which_is_of_its_kind(page: str) -> None:
    """The real API server takes the examples: tests/api/test_driftpolicy_crd.py."""
    name, kind = PAGES[page]
    example = yaml.safe_load((ROOT / f"examples/retrain-{name}.yaml").read_text())
    assert shown(page) == example
    policy = parse({**example, "metadata": {"name": "fraud", "namespace": "ml", "uid": "u"}})
    assert policy.spec.retrain is not None
    assert kind_of(policy.spec.retrain) == kind
    console = "".join(blocks(page, "console"))
    assert f"kubectl apply -n ml -f examples/retrain-{name}.yaml" in console
    secret = re.search(r"create secret generic (\S+) -n ml", console)
    named = next(iter(example["spec"]["retrain"][each] for each in example["spec"]["retrain"] if each != "deadline"))
    assert (secret[1] if secret else None) == named.get("secretRef", {}).get("name")


@pytest.mark.parametrize("page", PAGES)
def test_every_reason_that_a_page_explains_is_told_by_the_code(page: str) -> None:
    text = (ROOT / f"docs/integrations/{page}.md").read_text()
    table = text[text.index("## Faults") :]
    code = "\n".join(path.read_text() for path in (ROOT / "operator/modelward/retraining").rglob("*.py"))
    reasons = re.findall(r"^\| `([A-Z][a-z]+[A-Z]\w+)`", table, re.MULTILINE)
    assert all(f'"{each}"' in code for each in reasons), reasons


@pytest.mark.parametrize("page", ["airflow", "prefect"])
def test_the_python_of_a_page_is_python(page: str) -> None:
    (code,) = blocks(page, "python")
    names = {each.name for each in ast.walk(ast.parse(code)) if isinstance(each, ast.FunctionDef)}
    assert names & {"report", "retrain"}


def test_the_workflow_of_github_has_what_a_run_is_known_by() -> None:
    (workflow,) = [each for each in map(yaml.safe_load, blocks("github-actions", "yaml")) if "jobs" in each]
    assert "${{ inputs.run }}" in workflow["run-name"]
    inputs = workflow[True]["workflow_dispatch"]["inputs"]  # YAML 1.1 takes `on` for a truth value
    assert set(inputs) == {"run", "briefing"}
    *_, upload = workflow["jobs"]["retrain"]["steps"]
    assert upload["with"] == {"name": "modelward-${{ inputs.run }}", "path": "report.json"}
    assert "${{" not in json.dumps([step.get("run") for step in workflow["jobs"]["retrain"]["steps"]])


def test_the_template_of_argo_tells_what_is_read() -> None:
    (template,) = [each for each in map(yaml.safe_load, blocks("argo-workflows", "yaml")) if "Workflow" in each["kind"]]
    (train,) = template["spec"]["templates"]
    assert train["outputs"]["parameters"][0]["globalName"] == "modelward-report"
    policy = shown("argo-workflows")
    assert policy["spec"]["retrain"]["argoWorkflow"]["template"] == template["metadata"]["name"]


def test_the_job_of_jenkins_declares_what_its_build_is_known_by() -> None:
    (pipeline,) = blocks("jenkins", "groovy")
    assert "string(name: 'MODELWARD_RUN')" in pipeline
    assert "archiveArtifacts 'modelward-report.json'" in pipeline
