"""What the containers of a pod write, by the schema of all logs: each line, of the steps that bring a model, of those
that fail, of the keeper and of an evaluation, each as a process as the cluster starts it."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .artifacts import onnx
from .processes import DEADLINE, environment
from .test_logs import SCHEMA


def lines_of(text: str, component: str, **told: str) -> list[dict[str, Any]]:
    """Each line of a process, which is by the schema, is this component's and tells this."""
    found = [json.loads(line) for line in text.splitlines()]
    for each in found:
        SCHEMA.validate(each)
        assert each["component"] == component
        assert told.items() <= each.items()
    assert found, "it says something"
    return found


class Steps:
    """A pod's folders and variables."""

    def __init__(self, folder: Path, file: Path) -> None:
        self.folder = folder
        for name in ("artifact", "bundle"):
            (folder / name).mkdir()
        self._variables = {
            "BUNDLE_DIR": str(folder / "bundle"), "ARTIFACT_DIR": str(folder / "artifact"), "MODEL_NAME": "fraud",
            "MODEL_OPTIMISE": "Auto", "MODEL_ALLOWED_FORMATS": "onnx",
            "MODEL_URI": f"pvc://models/{file.name}", "PVC_MOUNT": str(file.parent),
            "TERMINATION_LOG": str(folder / "told"),
        }  # fmt: skip

    def run(self, verb: str, code: int = 0, **more: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "modelward_inference", verb], env=environment(**self._variables, **more),
            cwd=self.folder, capture_output=True, text=True, check=False, timeout=DEADLINE,
        )  # fmt: skip
        assert (done.returncode, done.stdout) == (code, ""), done.stderr
        return done.stderr


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx())
    return path


def test_what_brings_a_model(tmp_path: Path, model: Path) -> None:
    steps = Steps(tmp_path, model)
    brought = lines_of(steps.run("download"), "download", name="fraud")
    assert any("onnx model" in each["message"] for each in brought)
    lines_of(steps.run("compile"), "compile", name="fraud")
    cache = {"MODELWARD_CACHE_DIR": str(tmp_path / "claim"), "MODELWARD_CACHE_KEY": str(tmp_path / "none")}
    warned, done = lines_of(steps.run("keep-bundle", **cache), "keep-bundle", name="fraud")
    assert (warned["level"], "MODELWARD_CACHE_KEY" in warned["message"]) == ("WARNING", True)
    assert (done["level"], "reported" in done["message"]) == ("INFO", True)


def test_a_step_that_fails_says_so_in_the_log_and_to_the_operator(tmp_path: Path) -> None:
    steps = Steps(tmp_path, tmp_path / "none.onnx")
    *_, last = lines_of(steps.run("download", code=1), "download", name="fraud")
    told = json.loads((tmp_path / "told").read_text())
    assert (last["level"], last["message"]) == ("ERROR", f"{told['reason']}: {told['message']}")


def test_what_no_one_thought_of_has_its_stack_in_one_line(tmp_path: Path, model: Path) -> None:
    steps = Steps(tmp_path, model)
    (tmp_path / "artifact").rmdir()
    (tmp_path / "artifact").write_text("a file where a folder should be")
    *_, last = lines_of(steps.run("download", code=1), "download")
    assert last["level"] == "ERROR"
    assert last["error"]["type"] == "NotADirectoryError"
    assert last["error"]["stack"].startswith("Traceback")


def test_warnings_of_libraries_are_lines_too() -> None:
    program = "import warnings; from modelward_telemetry.logs import configure; configure('INFO', 'compile')"
    program += "; warnings.warn('a\\nb')"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment(), capture_output=True, text=True, check=True, timeout=DEADLINE
    )
    (line,) = lines_of(done.stderr, "compile")
    assert (line["logger"], line["level"]) == ("py.warnings", "WARNING")
    assert "UserWarning: a\nb" in line["message"]


def test_the_keeper_of_a_monitor(tmp_path: Path) -> None:
    variables = environment(MONITOR_DIR=str(tmp_path), MODEL_NAME="fraud", MODEL_REVISION="fraud-a", MONITOR_PORT="x")
    process = subprocess.Popen(
        [sys.executable, "-m", "modelward_inference", "keep", "monitor"],
        env={**variables, "TERMINATION_LOG": str(tmp_path / "told")}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    seen = ""
    while "begins anew" not in seen:
        line = process.stderr.readline()
        assert line, seen
        seen += line
    process.send_signal(signal.SIGTERM)
    seen += process.communicate(timeout=DEADLINE)[1]
    found = [json.loads(line) for line in seen.splitlines()]
    for each in found:
        SCHEMA.validate(each)
        assert (each["name"], each["revision"]) == ("fraud", "fraud-a")
    by_component = {each["component"]: each["message"] for each in found[:2]}
    assert "MONITOR_PORT is 'x'" in by_component["monitor"]
    assert "the monitor ended with 1; it begins anew" in by_component["keeper"]


def test_an_evaluation(tmp_path: Path) -> None:
    spec = {
        "predictions": {"path": str(tmp_path / "log")}, "outcomes": {"path": str(tmp_path / "none")},
        "task": {"task": "classes", "label": "output.label"}, "now": "2026-01-09T00:00:00Z",
        "begin": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z",
    }  # fmt: skip
    (tmp_path / "log").mkdir()
    for asked, revision in (({"evaluation": spec, "revision": "fraud-a"}, "fraud-a"), ({"revision": 3}, None)):
        done = subprocess.run(
            [sys.executable, "-m", "modelward_evaluate.job"], env=environment(MODELWARD_EVALUATION=json.dumps(asked)),
            capture_output=True, text=True, check=False, timeout=DEADLINE,
        )  # fmt: skip
        for each in lines_of(done.stderr, "evaluator"):
            assert each.get("revision") == revision
