"""Files for the report: windows, tables and rules; what is wrong in them is named with its place."""

import json
from pathlib import Path

import numpy as np
import pytest

from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import quality
from modelward_drift.profiles.reference import Feature, Reference
from modelward_inference.cli import main
from modelward_inference.drift_report import inputs
from modelward_inference.errors import InvalidConfiguration


@pytest.fixture
def reference() -> Reference:
    random = np.random.default_rng(0)
    return Reference(
        (
            Feature("input", "x", 0, profile_of("amount", "numeric", random.standard_normal(2000))),
            Feature("input", "x", 1, profile_of("new", "boolean", random.random(2000) < 0.5)),
            Feature("output", "y", None, profile_of("output:y", "categorical", ["a", "b"] * 1000)),
        )
    )


@pytest.fixture
def document(reference: Reference, tmp_path: Path) -> Path:
    path = tmp_path / "reference.json"
    path.write_text(json.dumps(reference.to_dict()))
    return path


def line(reference: Reference, end: float = 3600.0, **changes: object) -> str:
    random = np.random.default_rng(1)
    columns = (random.standard_normal(600), random.random(600) < 0.5, ["a", "b"] * 300)
    counts = [count(*pair).to_dict() for pair in zip(reference.profiles, columns, strict=True)]
    return json.dumps({"start": 0, "end": end, "digest": reference.digest, "counts": counts, **changes})


def test_windows_come_in_the_order_of_time(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_text(f"{line(reference, 7200)}\n\n{line(reference, 3600)}\n")
    assert [each.end for each in inputs.read_windows(path, reference)] == [3600, 7200]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"digest": "sha256:other"}, "line 2: the window was counted against the reference sha256:other"),
        ({"counts": []}, "line 2 is no window"),
        ({"counts": [1, 2, 3]}, "line 2 is no window"),
        ({"end": None}, "line 2 is no window"),
    ],
)
def test_a_wrong_window_is_named(reference: Reference, tmp_path: Path, change: dict[str, object], message: str) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_text(f"{line(reference)}\n{line(reference, **change)}\n")
    with pytest.raises(InvalidConfiguration, match=message):
        inputs.read_windows(path, reference)


@pytest.mark.parametrize(("text", "message"), [("", "has no window"), ("{", "line 1 is no JSON"), ("[]", "no window")])
def test_no_windows(reference: Reference, tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "windows.jsonl"
    path.write_text(text)
    with pytest.raises(InvalidConfiguration, match=message):
        inputs.read_windows(path, reference)


def test_a_table_is_read_as_its_features_are(reference: Reference, tmp_path: Path) -> None:
    """Texts of a CSV become numbers, truths and nulls; what can't is a type error; an absent output is not judged."""
    path = tmp_path / "today.csv"
    path.write_text("new,amount,extra\ntrue,0.5,1\nFALSE,,2\n1,many,3\n")
    window = inputs.read_data(path, reference)
    amount, new, output = window.counts
    assert (quality(amount).missing, quality(amount).type_errors, amount.rows) == (1, 1, 3)
    assert new.cells.tolist() == [1, 2, 0, 0, 0]
    assert output.cells[-1] == 3
    assert inputs.without_absent_outputs(window, reference) == {"output:y"}


def test_a_matrix_is_read_by_place(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "today.npy"
    np.save(path, np.array([[0.5, 1.0], [0.1, 0.0]]))
    assert inputs.read_data(path, reference).counts[1].cells.tolist() == [1, 1, 0, 0, 0]
    np.save(path, np.zeros((2, 3)))
    with pytest.raises(InvalidConfiguration, match="3 columns, the reference 2 inputs"):
        inputs.read_data(path, reference)


def test_a_table_of_something_else(reference: Reference, tmp_path: Path) -> None:
    path = tmp_path / "today.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(InvalidConfiguration, match="no column of the reference; it needs amount, new"):
        inputs.read_data(path, reference)


def test_the_command(reference: Reference, document: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    windows, out = tmp_path / "windows.jsonl", tmp_path / "report.html"
    windows.write_text(line(reference))
    words = ["drift", "report", "--reference", str(document), "--out", str(out)]
    assert main([*words, "--windows", str(windows)]) == 0
    assert out.read_text().startswith("<!DOCTYPE html>")
    assert main([*words, "--windows", str(tmp_path / "absent")]) == 1
    assert "modelward drift report: " in capsys.readouterr().err
    document.write_text(document.read_text().replace("amount", "sum"))
    assert main([*words, "--windows", str(windows)]) == 1
    assert "its digest is another" in capsys.readouterr().err
