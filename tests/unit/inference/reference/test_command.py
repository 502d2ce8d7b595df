"""`modelward reference`, as a person calls it; references in files and in bundles."""

import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest

from modelward_drift.profiles.reference import FILE, Reference
from modelward_inference import cli, make_reference, save_bundle, save_reference
from modelward_inference.artifact.bundle import MANIFEST
from modelward_inference.errors import BundleInvalid, InvalidConfiguration
from modelward_inference.reference import progress
from modelward_inference.reference.progress import Progress
from modelward_inference.reference.source import Chunk
from modelward_inference.reference.store import load_reference, put_into
from unit.inference.artifacts import pickled
from unit.inference.models import case, customers


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    frame, _ = customers()
    frame.assign(customer=range(400)).to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return save_bundle(tmp_path / "fraud.tar", case("columns by name").model, customers()[0])


def command(*arguments: object) -> int:
    return cli.main(["reference", *map(str, arguments)])


def test_a_reference_of_a_file(rows: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "reference.json"
    options = "--kind city=text --ignore customer --bins 4 --levels 1 --calibrate-window 20"
    assert command("--data", rows, "--out", out, *options.split()) == 0
    found = {profile.name: profile for profile in load_reference(out).profiles}
    assert {name: profile.kind for name, profile in found.items()} == {
        "age": "numeric", "income": "numeric", "city": "text", "plan": "categorical",
    }  # fmt: skip
    assert found["age"].bins == 4
    assert len(found["plan"].levels) == 1
    said = capsys.readouterr().err
    assert found["age"].inflation.blocks == 0
    assert "not calibrated: windows of 20 successive rows scatter no more than they would in random order" in said
    assert re.search(r"profiling \[#{24}\] 100 %, 400 rows", said)
    assert f"{out}: 4 features of 400 rows, sha256:" in said


def test_what_is_saved_with_the_model_is_what_the_command_makes(rows: Path, bundle: Path, tmp_path: Path) -> None:
    for number, model in enumerate((bundle, tmp_path / "m.joblib")):
        (tmp_path / "m.joblib").write_bytes(pickled(case("columns by name").model))
        assert command("--data", rows, "--model", model, "--out", tmp_path / f"{number}.json") == 0
    with tarfile.open(bundle) as opened:
        saved = Reference.from_dict(json.load(opened.extractfile(FILE)))  # type: ignore[arg-type]
    assert {load_reference(tmp_path / f"{number}.json").digest for number in range(2)} == {saved.digest}


def test_the_signature_may_come_from_a_running_server(rows: Path, tmp_path: Path) -> None:
    plan = {"name": "plan", "datatype": "BYTES", "shape": [-1, 1]}
    inputs = [plan, {"name": "age", "datatype": "FP64", "shape": [-1]}]
    metadata = {"name": "m", "inputs": inputs, "outputs": []}
    for raw in (metadata, {"signature": metadata}):
        (tmp_path / "s.json").write_text(json.dumps(raw))
        assert command("--data", rows, "--signature", tmp_path / "s.json", "--out", tmp_path / "r.json") == 0
        assert [each.name for each in load_reference(tmp_path / "r.json").features] == ["plan", "age"]


def members(path: Path) -> dict[str, tuple[bytes, bytes]]:
    with tarfile.open(path) as opened:
        return {
            each.name: (each.tobuf(tarfile.USTAR_FORMAT), opened.extractfile(each).read())  # type: ignore[union-attr]
            for each in opened
        }


@pytest.mark.parametrize("before", ["with", "without"])
def test_a_reference_is_put_into_a_bundle_and_nothing_else_changes(rows: Path, bundle: Path, before: str) -> None:
    if before == "without":
        with tarfile.open(bundle) as opened:
            kept = [(each, opened.extractfile(each).read()) for each in opened if each.name != FILE]  # type: ignore[union-attr]
        with tarfile.open(bundle, "w") as opened:
            for member, content in kept:
                opened.addfile(member, io.BytesIO(content))
    was = members(bundle)
    assert command("--data", rows, "--into", bundle, "--ignore", "age") == 0
    now = members(bundle)
    assert {**now, FILE: b""} == {**was, FILE: b""}
    names = [each.name for each in Reference.from_dict(json.loads(now[FILE][1])).features]
    assert names[:3] == ["income", "city", "plan"]
    assert len(names) == 6, "its own model's outputs have profiles"
    assert list(bundle.parent.glob(".*")) == []


def test_a_reference_of_another_model_is_put_into_no_bundle(bundle: Path) -> None:
    was = bundle.read_bytes()
    with pytest.raises(InvalidConfiguration, match="of tensors that the model has not: height"):
        put_into(bundle, make_reference({"height": [1.0, 2.0]}))
    assert bundle.read_bytes() == was
    assert list(bundle.parent.glob(".*")) == []


NO_BUNDLES: dict[str, bytes] = {"text": b"abc", "empty": b"", "an empty archive": b"\0" * 10240}


@pytest.mark.parametrize("name", NO_BUNDLES)
def test_only_a_bundle_takes_a_reference(tmp_path: Path, name: str) -> None:
    (tmp_path / "b.tar").write_bytes(NO_BUNDLES[name])
    with pytest.raises(BundleInvalid, match="is no bundle"):
        put_into(tmp_path / "b.tar", make_reference({"height": [1.0, 2.0]}))
    assert (tmp_path / "b.tar").read_bytes() == NO_BUNDLES[name]


WRONG: list[tuple[list[str], str]] = [
    (["--data", "none.csv", "--out", "r.json"], "none.csv is no file"),
    (["--data", "rows.csv", "--out", "r.json", "--kind", "age=old"], "can't be of the kind 'old'"),
    (["--data", "rows.csv", "--out", "r.json", "--calibrate-window", "100"], "20 windows at least"),
    (["--data", "rows.csv", "--out", "no/where.json"], "No such file"),
    (["--data", "rows.csv", "--out", "r.json", "--signature", "rows.csv"], "rows.csv has no signature"),
    (["--data", "rows.csv", "--out", "r.json", "--bins", "0"], "0 bins"),
    (["--data", "rows.csv", "--into", "rows.csv"], "rows.csv is no kind of file that is known here"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG)
def test_what_is_wrong_is_said_in_a_line(
    rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    arguments: list[str], words: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert command(*arguments) == 1
    said = capsys.readouterr().err
    assert words in said
    assert "modelward reference: " in said
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv"]


def test_a_kind_without_a_name_is_an_error_of_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command("--data", "rows.csv", "--out", "r.json", "--kind", "text")
    assert "'text' is not NAME=KIND" in capsys.readouterr().err


def test_files_keep_references_exactly(tmp_path: Path) -> None:
    odd = np.array(["\ud800", "ä", "", 'q"\\', "x" * 100], object)
    reference = make_reference({"odd \ud800": odd, "x": [1e308, -1e308, 5e-324, 0.1, np.inf]})
    path = save_reference(tmp_path / "r.json", reference)
    assert load_reference(path) == reference
    assert load_reference(path).digest == reference.digest
    assert MANIFEST not in {each.name for each in tmp_path.iterdir()}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("stream", [Terminal(), io.StringIO()])
def test_progress(stream: io.StringIO) -> None:
    clock = iter(np.arange(0, 1000, 4.0))
    chunks = [Chunk({}, 100, each / 10) for each in range(1, 11)]
    assert list(Progress(stream, lambda: float(next(clock))).over(iter(chunks), "counting")) == chunks
    bars = re.split(r"\r|\n", stream.getvalue())
    reports = [each for each in bars if each]
    assert len(reports) == (11 if stream.isatty() else 4), "lines come every ten seconds, bars always"
    assert "counting [########################] 100 %, 1,000 rows" in reports[-1]


LINES = [
    ((0, None, 0.0), "x: 0 rows"),
    ((1000, None, 2.0), "x: 1,000 rows, 500 rows/s"),
    ((1000, 0.25, 2.0), "x [######..................] 25 %, 1,000 rows, 500 rows/s, 6 s left"),
    ((1000, 1.2, 2.0), "x [########################] 100 %, 1,000 rows, 500 rows/s"),
]


@pytest.mark.parametrize(("given", "text"), LINES)
def test_a_line_of_progress(given: tuple[int, float | None, float], text: str) -> None:
    assert progress.line("x", *given) == text
