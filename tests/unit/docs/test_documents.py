"""What the documents show is what the project has."""

import contextlib
import io
import re
import subprocess
import sys
from pathlib import Path

import pytest

from modelward_cli import main as command_line

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
README = (ROOT / "README.md").read_text()
PAGES = sorted(
    each for each in ROOT.rglob("*.md")
    if not {".git", "decisions", "dist"} & {*each.relative_to(ROOT).parts}
)  # fmt: skip
CONDITIONS = {"PlatformCurrent", "PredictionLogged"}


def test_the_reference_is_generated_from_this_crd() -> None:
    subprocess.run([sys.executable, ROOT / "docs/generate_reference.py", "--check"], check=True)


def test_every_link_of_the_readme_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert len(links) >= 5
    for link in links:
        assert (ROOT / link).exists() or link == "docs/decisions", link


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """By which GitHub leads to the headings of a page."""
    titles = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def links(page: Path) -> list[str]:
    return [each for each in re.findall(r"\]\(([^)\s]+)\)", prose(page)) if "://" not in each]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    for link in links(page):
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_the_readme_leads_to_every_page() -> None:
    """Alerts lead to runbooks, and whoever looks for a decision to the folder."""
    led = {(ROOT / link.partition("#")[0]).resolve() for link in links(ROOT / "README.md")}
    missing = {page for page in (ROOT / "docs").rglob("*.md") if page.parent not in led} - led
    assert not missing


def test_numbers_of_decisions_are_taken_once() -> None:
    numbers = [path.name[:4] for path in (ROOT / "docs/decisions").glob("*.md")]
    assert len(set(numbers)) == len(numbers) >= 17


@pytest.mark.parametrize("page", [each for each in PAGES if each.parent in (DOCS, DOCS / "integrations")], ids=str)
def test_a_page_says_what_it_is_for_before_anything_else(page: Path) -> None:
    """Words, and not a heading or a block of code."""
    title, _, rest = page.read_text().partition("\n")
    assert title.startswith("# ")
    first = rest.lstrip("\n")
    assert not first.startswith(("#", "```", "|")), first[:60]


def test_what_pages_ask_of_the_command_line_it_takes() -> None:
    asked = 0
    for page in PAGES:
        for line in re.findall(r"kubectl modelward ([a-z][^`\n]*)", page.read_text()):
            words = line.replace("…", "").partition("#")[0].split()
            if "|" in line or "\\" in line:  # a table that names several
                continue
            with contextlib.suppress(SystemExit), contextlib.redirect_stderr(io.StringIO()) as said:
                command_line._parser().parse_args(words)
            assert not said.getvalue(), f"{page.name}: kubectl modelward {line}: {said.getvalue()}"
            asked += 1
    assert asked >= 10


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
