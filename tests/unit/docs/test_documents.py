"""What the documents show is what the project has."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text()


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
        assert (ROOT / path).exists(), path


def test_nothing_shadows_the_standard_library() -> None:
    assert not (ROOT / "operator/__init__.py").exists()


def test_no_lock_names_a_registry() -> None:
    for lock in (ROOT / "operator", ROOT / "inference_image", ROOT / "tests"):
        assert "://" not in (lock / "requirements.lock").read_text()


def test_every_promise_of_security_names_a_test_that_there_is() -> None:
    text = (ROOT / "docs/security.md").read_text()
    table = text[text.index("| promise | mechanism | test |") :].split("\n\n")[0].splitlines()[2:]
    assert len(table) >= 15
    for row in table:
        named = re.findall(r"`(tests/[\w/.]+)::(\w+)`", row.split("|")[-2])
        assert named, row
        for file, test in named:
            assert re.search(rf"^(async )?def {test}\(", (ROOT / file).read_text(), re.MULTILINE), test
