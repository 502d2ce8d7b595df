"""What the documents show is what the project has."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()
CONDITIONS = {"PlatformCurrent", "PredictionLogged"}


def test_the_reference_is_generated_from_this_crd() -> None:
    subprocess.run([sys.executable, ROOT / "docs/generate_reference.py", "--check"], check=True)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) >= 5
    for link in links:
        assert (ROOT / link).exists() or link == "docs/decisions", link


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"make (?:-s )?([a-z][a-z-]+)", README))
    listed = subprocess.run(["make", "help"], cwd=ROOT, text=True, capture_output=True, check=True).stdout
    assert targets <= set(re.findall(r"^  ([a-z-]+) ", listed, re.MULTILINE)), targets


def test_every_file_of_the_readme_exists() -> None:
    for path in re.findall(r"(?:-f|-k) ([\w./-]+)", README):
        # What make writes is not there before.
        assert (ROOT / path).exists() or path in (ROOT / "Makefile").read_text(), path


def test_nothing_shadows_the_standard_library() -> None:
    assert not (ROOT / "operator/__init__.py").exists()


def test_no_lock_names_a_registry() -> None:
    for lock in (ROOT / "operator", ROOT / "inference_image", ROOT / "tests"):
        assert "://" not in (lock / "requirements.lock").read_text()


def test_every_promise_of_security_names_a_test() -> None:
    text = (ROOT / "docs/security.md").read_text()
    table = text[text.index("| promise | mechanism | test |") :].split("\n\n")[0].splitlines()[2:]
    assert len(table) >= 35
    for row in table:
        cells = row.split("|")
        assert len(cells) == 5, row
        cited = [each.strip() for each in cells[3].split(",")]
        assert all(re.fullmatch(r"`tests/[\w/]+\.py::test_\w+`", each) for each in cited), row


def test_every_test_that_a_page_names_exists_and_is_run() -> None:
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    cited = [(page.name, *found) for page in pages for found in re.findall(r"(tests/[\w/.]+)::(\w+)", page.read_text())]
    assert len([each for each in cited if each[0] == "security.md"]) >= 60
    for page, file, test in cited:
        source = (ROOT / file).read_text()
        found = re.search(rf"^((?:@.*\n|[ )\]}}].*\n)*)(?:async )?def {test}\(", source, re.MULTILINE)
        assert found, f"{page} names {file}::{test}, which is not there"
        assert not re.search(r"@pytest\.mark\.(skip|skipif|xfail)\b", found[1]), f"{file}::{test} is not run"


def test_every_reason_of_troubleshooting_is_one_that_the_product_tells() -> None:
    """And each reason of Stalled that concepts.md lists is explained there."""
    parts = (ROOT / "operator/modelward", ROOT / "inference_image")
    code = "\n".join(path.read_text() for part in parts for path in part.rglob("*.py"))
    page = (ROOT / "docs/troubleshooting.md").read_text()
    named = set(re.findall(r"`([A-Z][a-z]+(?:[A-Z][a-z]+)+)`", page)) - CONDITIONS
    assert len(named) >= 50
    told = set(re.findall(r"\b([A-Z][a-z]+(?:[A-Z][a-z]+)+)\b", code))
    assert named <= told, named - told
    concepts = (ROOT / "docs/concepts.md").read_text()
    listed = concepts[concepts.index("**Reasons of Stalled**") :].split("\n\n")[0]
    reasons = set(re.findall(r"\b([A-Z][a-z]+(?:[A-Z][a-z]+)+)\b", listed))
    assert len(reasons) >= 35
    assert reasons <= named, reasons - named
