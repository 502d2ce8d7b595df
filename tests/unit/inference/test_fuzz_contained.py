"""Files that crash native libraries, or once ended without a cause: each ends with a reason and a sentence now."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import contained
from fuzz.contained import CORPUS, KINDS, PREFIX, REASONS, Finding
from fuzz.loaders import LOADERS
from modelward_inference.errors import MAX_REPORT

from .processes import DEADLINE

SAVED = sorted(CORPUS.glob(f"{PREFIX}*/*"))
PATH = [str(contained.CORPUS.parents[2] / each) for each in ("operator", "inference_image", "tests", ".")]


def test_every_saved_file_is_tried_by_some_test() -> None:
    known = {*LOADERS, *(f"{PREFIX}{name}" for name in KINDS)}
    assert {each.name for each in CORPUS.iterdir()} <= known


def test_what_was_found_before_is_told_of() -> None:
    """One process for all: it has the libraries, and forks for each step of each file."""
    assert len(SAVED) >= 5
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fuzz.contained", *map(str, SAVED)], capture_output=True, text=True,
        check=False, timeout=5 * DEADLINE, env=contained.environment(PATH),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    reasons = {line.partition(" ")[0]: line.partition(" ")[2] for line in done.stdout.splitlines()}
    assert reasons.keys() == {str(each) for each in SAVED}
    assert {each.partition(",")[0] for each in reasons.values()} <= REASONS


@pytest.mark.parametrize(
    ("code", "report"),
    [
        (1, ""),
        (0, ""),
        (1, "[]"),
        (1, {"reason": "InternalError", "message": "OSError: [Errno 22] Invalid argument"}),
        (1, {"reason": "ArtifactCorrupt", "message": ""}),
        (1, {"reason": "ArtifactCorrupt"}),
        (0, {"reason": "ArtifactCorrupt", "message": "can't be unpacked"}),
        (1, {"reason": "Compiled", "message": "onnx model of 7 bytes"}),
        (70, {"reason": "ArtifactCorrupt", "message": "can't be unpacked"}),
        (1, {"reason": "ArtifactCorrupt", "message": "x" * MAX_REPORT}),
    ],
)
def test_what_is_not_told_is_a_finding(tmp_path: Path, code: int, report: object) -> None:
    (tmp_path / "output-load").touch()
    with pytest.raises(Finding):
        contained.reported(code, report if isinstance(report, str) else json.dumps(report), "load", tmp_path)


def test_what_is_told_is_none(tmp_path: Path) -> None:
    (tmp_path / "output-load").touch()
    told = {"reason": "ArtifactCorrupt", "message": "can't be unpacked: pack it again"}
    assert contained.reported(1, json.dumps(told), "load", tmp_path) == "ArtifactCorrupt"
    assert contained.reported(0, json.dumps({"reason": "Compiled", "message": "onnx model"}), "load", tmp_path)
