"""What belongs into the repository: text that people wrote, in the folders that the README names."""

import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]

TOP = {
    ".ci", ".dockerignore", ".gitignore", ".pre-commit-config.yaml", "CONTRIBUTING.md", "LICENSE", "Makefile",
    "README.md", "benchmarks", "charts", "crds", "docs", "examples", "inference_image", "integrations",
    "kind-config.yaml", "manifests", "operator", "pyproject.toml", "tests",
}  # fmt: skip

LARGEST = 512 << 10
"""Bytes: the lock of the tests is the longest text."""

PICTURES = {".png", ".svg"}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("this is no checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


def test_the_top_level_is_a_map() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in tracked()} <= TOP


def test_no_file_is_large_or_of_a_machines_making() -> None:
    """A fuzzer's crash file, a model, an archive or a core would be."""
    wrong = []
    for path in tracked():
        content = path.read_bytes()
        seed = path.is_relative_to(ROOT / "tests/fuzz/corpus")
        if len(content) > LARGEST or (b"\0" in content and path.suffix not in PICTURES and not seed):
            wrong.append(str(path.relative_to(ROOT)))
    assert not wrong


def test_the_operators_folder_is_no_package() -> None:
    """It would hide the standard library's module of that name."""
    assert ROOT / "operator/__init__.py" not in tracked()
