"""Every alert has a runbook, and what a runbook asks for is there: objects, fields, labels, annotations, metrics."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from libyaml import document
from manifests.alerts import generate, published
from manifests.alerts.rules import BOOKS as FOLDER
from modelward.api import names
from modelward.rollouts.trial import COMMANDS
from modelward.routing import network_policies
from promserver.promtool import Promtool
from unit.docs.test_metrics import KNOWN, names_in

ROOT = Path(__file__).parents[3]
BOOKS = sorted((ROOT / "docs/runbooks").glob("*.md"))
SECTIONS = ["What it means", "What to look at", "What to do"]
KUBERNETES = {
    "networkpolicies",
    "namespaces",
    "podmonitors",
    "pods",
    "jobs",
    "events",
    "secret",
    "configmap",
    "deployment",
    "lease",
}
"""Kinds that are not ours."""

ANNOTATIONS = {
    names.ANNOTATION_COMMAND, names.ANNOTATION_RETRAIN, names.ANNOTATION_REFRESH, names.ANNOTATION_RESTART,
    names.ANNOTATION_RUN,
}  # fmt: skip
LABELS = {
    network_policies.METRICS_LABEL,
    names.LABEL_NAME, names.LABEL_INSTANCE, names.LABEL_COMPONENT, names.LABEL_POLICY, names.LABEL_BATCH,
}  # fmt: skip


def kinds() -> dict[str, Any]:
    """The schema of each kind of ours, by every name that kubectl knows it by."""
    found = {}
    for path in (ROOT / "crds").glob("*.modelward.io.yaml"):
        spec = document(path.read_text())["spec"]
        called = spec["names"]
        for name in (called["plural"], called["singular"], *called["shortNames"]):
            found[name] = spec["versions"][0]["schema"]["openAPIV3Schema"]
    return found


SCHEMAS = kinds()


def commands(book: Path) -> list[str]:
    """Lines of its blocks for a shell, and what its sentences say to run."""
    text = book.read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    sentences = re.sub(r"```.*?```", "", text, flags=re.DOTALL).replace("\n", " ")
    return [line for block in blocks for line in block.splitlines()] + re.findall(r"`(kubectl [^`]+)`", sentences)


def queries(book: Path) -> list[str]:
    blocks = re.findall(r"```promql\n(.*?)```", book.read_text(), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line]


def has(schema: Any, path: str) -> bool:
    """Whether there is such a field; what selects items of a list selects any."""
    for step in re.sub(r"\[[^]]*\]", "", path).strip(".").split("."):
        schema = schema.get("items", schema)
        if step not in schema.get("properties", {}):
            return False
        schema = schema["properties"][step]
    return True


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert {each.runbook for each in generate.alerts()} == {book.stem for book in BOOKS}
    for each in generate.alerts():
        book = ROOT / "docs/runbooks" / f"{each.runbook}.md"
        assert book.read_text().splitlines()[0] == f"# {each.name}"
        told = each.rendered("https://x.example/books")["annotations"]
        assert (told["runbook"], told["runbook_url"]) == (
            f"{FOLDER}/{book.name}",
            f"https://x.example/books/{book.name}",
        )
        assert (ROOT / told["runbook"]).is_file()
        assert "runbook_url" not in each.rendered("")["annotations"], "no link, rather than one to nowhere"


@pytest.mark.parametrize(
    ("remote", "page"),
    [
        ("https://github.com/acme/modelward.git", "https://github.com/acme/modelward"),
        ("https://ann:hunter2@git.example.com:8443/ml/ops/modelward", "https://git.example.com:8443/ml/ops/modelward"),
        ("git@gitlab.com:acme/modelward.git", "https://gitlab.com/acme/modelward"),
        ("ssh://git@git.example.com:2222/acme/modelward.git/", "https://git.example.com/acme/modelward"),
        ("/srv/git/modelward", None),
        ("file:///srv/git/modelward", None),
        ("../modelward", None),
        ("https://github.com/modelward", None),
        ("https://github.com/a/b?c=d e", "https://github.com/a/b"),
        ("https://github.com:x/a/b", None),
        ("", None),
    ],
)
def test_a_clone_knows_by_its_remote_where_its_runbooks_can_be_read(remote: str, page: str | None) -> None:
    assert published.address_of(remote) == (None if page is None else f"{page}/blob/HEAD/{FOLDER}")


def test_the_page_for_users_has_every_alert_with_its_severity() -> None:
    text = (ROOT / "docs/observability.md").read_text()
    rows = re.findall(r"^\| \[(\w+)\]\(runbooks/([\w-]+)\.md\) \| ([a-z, ]+) \|", text, re.MULTILINE)
    shown = {(name, book, severity) for name, book, severities in rows for severity in severities.split(", ")}
    assert shown == {(each.name, each.runbook, each.severity) for each in generate.alerts()}
    routed = set(re.findall(r"Modelward\w+", text)) - {"ModelwardModel"}
    assert routed == {each.name for each in generate.alerts()}


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_do(book: Path) -> None:
    assert re.findall(r"^## (.+)$", book.read_text(), re.MULTILINE) == SECTIONS
    assert any(each.startswith("kubectl ") for each in commands(book))


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_its_links_lead_somewhere(book: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)", book.read_text()):
        assert (book.parent / link).exists(), link


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_its_commands_name_kinds_fields_and_annotations_that_there_are(book: Path) -> None:
    for command in commands(book):
        for kind, rest in re.findall(r"kubectl (?:get|annotate) (\w[\w,]*)([^)|]*)", command):
            assert set(kind.split(",")) <= KUBERNETES | set(SCHEMAS), command
            paths = re.findall(r"jsonpath='\{(\.[^}]*)\}'", rest) + re.findall(r":(\.[\w.]+)", rest)
            for path in paths if kind in SCHEMAS else ():
                assert path.startswith(".metadata.") or has(SCHEMAS[kind], path), f"{kind} has no {path}"
        for annotation, value in re.findall(r"(modelward\.io/[\w-]+)=(\S+)", command):
            assert annotation in ANNOTATIONS | LABELS, command
            assert annotation != names.ANNOTATION_COMMAND or value in COMMANDS, command
        for label in re.findall(r"(app\.kubernetes\.io/\w+)=", command):
            assert label in LABELS, command
    for path in re.findall(r"`((?:spec|status)\.[\w.]+)`", book.read_text()):
        assert any(has(schema, path) for schema in SCHEMAS.values()), path


@pytest.mark.parametrize("book", BOOKS, ids=lambda book: book.stem)
def test_its_queries_are_promql_and_ask_for_what_there_is(book: Path, tmp_path: Path) -> None:
    recorded = {each.name for each in generate.recordings()}
    rules = [{"record": f"line:{number}", "expr": line} for number, line in enumerate(queries(book))]
    (tmp_path / "rules.yaml").write_text(yaml.safe_dump({"groups": [{"name": "book", "rules": rules}]}))
    assert Promtool(tmp_path).check(tmp_path / "rules.yaml") == ""
    for line in queries(book):
        asked = names_in(line) | set(re.findall(r"\bmodel(?:_revision)?:[\w:]+", line))
        assert asked <= KNOWN | recorded, asked - KNOWN - recorded
        assert asked or line.startswith("up{"), line
