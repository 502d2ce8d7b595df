"""The pages and the packages of Airflow and Prefect, where neither can be imported: what a page writes, a package
takes.

`make test-integrations` runs the same code in real ones; here it is read, so that no page is left behind by a change.
"""

import ast
import json
import re
import tomllib
from pathlib import Path

import pytest
import yaml

from .pages import ROOT, blocks

PAGES = {
    "docs/integrations/airflow-operators.md": ROOT / "integrations/airflow/modelward_airflow",
    "docs/integrations/prefect-block.md": ROOT / "integrations/prefect/modelward_prefect",
}


def parameters(package: Path) -> dict[str, set[str]]:
    """Of each class and function: what it takes by name, its base classes' in the package included."""
    found: dict[str, set[str]] = {}
    bases: dict[str, list[str]] = {}
    for path in package.glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef):
                found[node.name] = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
            elif isinstance(node, ast.ClassDef):
                bases[node.name] = [base.id for base in node.bases if isinstance(base, ast.Name)]
                found[node.name] = set()
                for each in node.body:
                    if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name):
                        found[node.name].add(each.target.id)
                    elif isinstance(each, ast.FunctionDef) and each.name == "__init__":
                        found[node.name] |= {arg.arg for arg in (*each.args.args, *each.args.kwonlyargs)}
    for name, above in bases.items():
        for base in above:
            found[name] |= found.get(base, set())
    return found


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_calls_is_there_and_takes_what_it_gives(page: str) -> None:
    known = parameters(PAGES[page])
    called = 0
    for code in blocks(page, "python"):
        tree = ast.parse(code)
        imported = {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
            and (node.module or "").startswith("modelward") for alias in node.names
        }  # fmt: skip
        assert imported <= set(known), imported - set(known)
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in imported:
                given = {each.arg for each in node.keywords if each.arg} - {"task_id", "timeout"}
                assert given <= known[node.func.id], (node.func.id, given - known[node.func.id])
                called += 1
    assert called >= 5


@pytest.mark.parametrize("page", PAGES)
def test_the_table_of_a_page_names_what_a_task_takes(page: str) -> None:
    known = parameters(PAGES[page])
    rows = re.findall(r"^\| `(\w+)\(([^)]*)\)` \|", (ROOT / page).read_text(), re.MULTILINE)
    assert len(rows) == 5
    for name, given in rows:
        assert {each.strip() for each in given.split(",")} <= known[name], name


@pytest.mark.parametrize("page", PAGES)
def test_its_commands_name_files_that_are_there(page: str) -> None:
    install, access, _ = blocks(page, "sh")
    for folder in re.findall(r"\./([\w/]+)", install):
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        assert project["name"].startswith("modelward-")
    (file,) = re.findall(r"-f (\S+)", access)
    kinds = [each["kind"] for each in yaml.safe_load_all((ROOT / file).read_text())]
    assert kinds == ["ServiceAccount", "Role", "RoleBinding"]
    assert "kubectl create token pipeline" in access


def test_the_connection_of_the_page_is_json_of_known_words() -> None:
    (connection,) = (json.loads(each) for each in blocks("docs/integrations/airflow-operators.md", "json"))
    assert set(connection["extra"]) <= {"namespace", "certificate_authority", "kubeconfig", "context"}


@pytest.mark.parametrize("name", ["airflow", "prefect"])
def test_a_package_names_what_it_needs_and_its_lock_no_registry(name: str) -> None:
    project = tomllib.loads((ROOT / f"integrations/{name}/pyproject.toml").read_text())["project"]
    assert "modelward-cli" in project["dependencies"]
    lock = (ROOT / f"integrations/{name}/requirements.lock").read_text()
    assert "://" not in lock
    assert lock.count("==") <= lock.count("--hash=sha256:"), "each is pinned by its bytes"
