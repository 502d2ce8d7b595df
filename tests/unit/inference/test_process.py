"""The programs as a pod runs them: what fetch reports, and what a server of a compiled model has loaded."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from modelward_inference.artifact.bundle import Compilation, Manifest, Signature
from modelward_inference.errors import MAX_REPORT
from modelward_inference.fetch import report

from .artifacts import estimator, onnx, pickled
from .processes import environment

LOADED = """
import json, sys
from pathlib import Path
from modelward_inference import runtimes
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.parity import golden
from modelward_inference.serve import process
folder = Path(sys.argv[1])
manifest = Manifest.read(folder)
model = runtimes.load(manifest.format, folder / manifest.file, 1, manifest.signature)
golden.verify(model, folder, manifest)
heavy = ("joblib", "sklearn", "skl2onnx", "scipy", "pandas", "fastapi")
print(json.dumps([name for name in heavy if name in sys.modules]))
"""


def run(folder: Path, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        env=environment(**settings),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def fetched(tmp_path: Path) -> Path:
    (tmp_path / "volume").mkdir()
    (tmp_path / "bundle").mkdir()
    (tmp_path / "volume/m.joblib").write_bytes(pickled(estimator()))
    return tmp_path


def fetch(folder: Path, **settings: str) -> tuple[int, Any]:
    done = run(
        folder, "-m", "modelward_inference", "fetch",
        MODEL_URI="pvc://c/m.joblib", PVC_MOUNT=str(folder / "volume"), BUNDLE_DIR=str(folder / "bundle"),
        TERMINATION_LOG=str(folder / "log"), **settings,
    )  # fmt: skip
    return done.returncode, json.loads((folder / "log").read_text())


def test_fetch_reports_what_it_made(fetched: Path) -> None:
    code, told = fetch(fetched)
    manifest = Manifest.read(fetched / "bundle")
    assert code == 0
    assert told == {
        "reason": "Fetched",
        "message": f"sklearn model of {manifest.size} bytes, served compiled to onnx",
        "digest": manifest.digest,
        "size": manifest.size,
        "format": "sklearn",
        "form": "compiled",
        "fallback": None,
        "warnings": [],
    }


def test_a_server_of_a_compiled_model_can_unpickle_nothing(fetched: Path) -> None:
    assert fetch(fetched)[0] == 0
    done = run(fetched, "-c", LOADED, str(fetched / "bundle"))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_a_server_of_the_original_loads_what_it_needs(fetched: Path) -> None:
    assert fetch(fetched, MODEL_OPTIMISE="Off")[1]["form"] == "original"
    done = run(fetched, "-c", LOADED, str(fetched / "bundle"))
    assert {"joblib", "sklearn"} <= set(json.loads(done.stdout))


COMPILED = """
import json, sys
from pathlib import Path
from modelward_inference.compile import build
source, folder = map(Path, sys.argv[1:])
build.build(source, folder, "onnx", build.Known(), "Auto")
print(json.dumps([name for name in ("sklearn", "skl2onnx", "scipy", "pandas", "onnx") if name in sys.modules]))
"""


def test_a_model_that_is_onnx_costs_no_import_of_a_converter(tmp_path: Path) -> None:
    source, folder = tmp_path / "source", tmp_path / "bundle"
    source.mkdir()
    folder.mkdir()
    (source / "model.onnx").write_bytes(onnx())
    done = run(tmp_path, "-c", COMPILED, str(source), str(folder))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_a_failure_is_reported_as_before(fetched: Path) -> None:
    (fetched / "volume/m.joblib").write_bytes(b"")
    code, told = fetch(fetched)
    assert code == 1
    assert told["reason"] == "ArtifactCorrupt"
    assert set(told) == {"reason", "message"}


def test_a_report_always_fits_and_counts_what_it_leaves_out() -> None:
    compilation = Compilation("original", "sklearn", "x" * 5000, "x" * 5000)
    manifest = Manifest(
        "m", "sklearn", "model.joblib", "sha256:" + "0" * 64, 1, "s3://b/m", "", Signature((), ()),
        warnings=tuple(f"{number}é" * 300 for number in range(40)), compilation=compilation,
    )  # fmt: skip
    text = report.summary(manifest)
    assert len(text.encode()) <= MAX_REPORT
    told = json.loads(text)
    assert told["form"] == "original"
    assert len(told["fallback"]) == 400
    assert told["warnings"][-1] == f"{40 - len(told['warnings']) + 1} more in the container's log"
