"""What users install: `pip install modelward` is the training side alone, and the three wheels fit together."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import modelward_inference
from modelward_inference import extras
from modelward_inference.reference.store import load_reference
from wheels import PROJECTS, ROOT, UV, build, files_of

NOT_OURS = {"numpy", "scikit-learn", "scipy", "joblib", "threadpoolctl", "narwhals", "cloudpickle"}
"""What scikit-learn brings, and numpy."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("wheels")
    return {name: build(name, folder) for name in PROJECTS}


@pytest.fixture(scope="module")
def clean(wheels: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` folder of an environment with scikit-learn and the wheel `modelward`."""
    folder = tmp_path_factory.mktemp("clean")
    subprocess.run([UV, "venv", "--quiet", folder], check=True, timeout=100)
    install(folder / "bin", "scikit-learn", str(wheels["modelward"]))
    return folder / "bin"


def install(where: Path, *what: str) -> None:
    command = [UV, "pip", "install", "--quiet", "--python", where / "python", *what]
    subprocess.run(command, check=True, timeout=280)


def run(command: list[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """As a user does, away from the checkout."""
    bare = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "MLFLOW_TRACKING_URI")}
    bare["TERMINATION_LOG"] = str(folder / "log")
    return subprocess.run(command, cwd=folder, env=bare, text=True, capture_output=True, check=False, timeout=100)


TRAINING = """
import json, sys
import modelward

at_once = sorted({name.partition(".")[0] for name in sys.modules} & {"numpy", "sklearn", "mlflow"})
import numpy as np
from sklearn.linear_model import LogisticRegression

rows = np.random.default_rng(0).normal(size=(500, 3))
model = LogisticRegression().fit(rows, rows[:, 0] > 0)
modelward.save_bundle("fraud.tar", model, {"a": rows[:, 0], "b": rows[:, 1], "c": rows[:, 2]})
modelward.save_reference("reference.json", modelward.make_reference(rows, model=model))
failures = []
for act in (lambda: modelward.log_model(model, X=rows), lambda: modelward.make_reference(rows, model="fraud.tar")):
    try:
        act()
    except modelward.ModelError as error:
        failures.append(str(error))
loaded = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(json.dumps({"loaded": sorted(loaded), "at_once": at_once, "failures": failures, "file": modelward.__file__}))
"""


def test_the_training_side_needs_numpy_and_the_models_own_library(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(TRAINING)
    done = run([clean / "python", "train.py"], tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert str(clean.parent) in found["file"]
    assert found["at_once"] == [], "importing it costs nothing yet"
    assert not {"fastapi", "uvicorn", "boto3", "xgboost", "onnxruntime", "orjson", "pydantic"} & set(found["loaded"])
    assert [each.partition(":")[0] for each in found["failures"]] == [
        "log_model needs MLflow, which is not installed",
        "bundles are read with pydantic, which is not installed",
    ]
    assert (tmp_path / "fraud.tar").stat().st_size > 1000
    assert load_reference(tmp_path / "reference.json").rows == 500


def test_nothing_else_is_installed(clean: Path, tmp_path: Path) -> None:
    done = run([UV, "pip", "list", "--format", "json", "--python", clean / "python"], tmp_path)
    names = {each["name"] for each in json.loads(done.stdout)}
    assert "modelward" in names
    assert names - {"modelward"} <= NOT_OURS


def test_the_command_of_the_training_side_works_and_says_what_the_server_needs(clean: Path, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n" + "\n".join(f"{row},{row % 7}" for row in range(300)))
    done = run([clean / "modelward", "reference", "--data", "rows.csv", "--out", "reference.json"], tmp_path)
    assert done.returncode == 0, done.stderr
    for verb in ("serve", "download", "monitor"):
        done = run([clean / "modelward", verb], tmp_path)
        assert (done.returncode, "Traceback" in done.stderr) == (1, False), done.stderr
        assert "pip install 'modelward-inference[image]'" in (tmp_path / "log").read_text()


def test_the_wheels_share_no_file_and_leave_none_out(wheels: dict[str, Path]) -> None:
    found = {name: files_of(wheel) for name, wheel in wheels.items()}
    training, inference, operator = (found[name] for name in PROJECTS)
    assert not training & inference
    assert not training & operator
    assert not inference & operator
    sources = {
        str(path.relative_to(ROOT / tree))
        for tree in ("inference_image", "operator")
        for path in (ROOT / tree).rglob("modelward*/**/*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    own = {name for name in sources if name.startswith("modelward_training/")}
    assert {name.replace("modelward/", "modelward_training/", 1) for name in training if name in MERGED} == own
    assert training | inference | operator == (sources - own) | MERGED


MERGED = {"modelward/__init__.py", "modelward/py.typed"}
"""Of the training side, in the place of the operator's own."""


def test_all_three_are_one_environment(wheels: dict[str, Path], tmp_path: Path) -> None:
    """Installed without their dependencies: the operator's modules and the training side are one package."""
    target = tmp_path / "all"
    subprocess.run([UV, "pip", "install", "--quiet", "--no-deps", "--target", target, *wheels.values()], check=True)
    modules = (
        "modelward.app", "modelward_inference.fetch.obtain", "modelward_inference.compile.build",
        "modelward_inference.serve.process", "modelward_monitor.run",
    )  # fmt: skip
    script = f"import modelward, {', '.join(modules)}; print(modelward.save_bundle, modelward.app.__file__)"
    # With the packages of the tests, but not with the checkout.
    done = run(["env", f"PYTHONPATH={target}", sys.executable, "-c", script], tmp_path)
    assert "save_bundle" in done.stdout, done.stderr
    assert str(target) in done.stdout


def project(name: str) -> dict[str, object]:
    found: dict[str, object] = tomllib.loads((PROJECTS[name] / "pyproject.toml").read_text())["project"]
    return found


def test_the_versions_are_one() -> None:
    version = modelward_inference.__version__
    assert {str(project(name)["version"]) for name in PROJECTS} == {version}
    for name in ("modelward-inference", "modelward-operator"):
        assert f"modelward=={version}" in str(project(name)["dependencies"])


def test_the_image_has_what_its_extra_names_and_the_operator_what_it_depends_on() -> None:
    optional = project("modelward-inference")["optional-dependencies"]
    assert isinstance(optional, dict)
    (all_of,) = optional["image"]
    parts = all_of.removeprefix("modelward-inference[").removesuffix("]").split(",")
    assert {"torch"} <= set(optional) - set(parts), "with EXTRA_PACKAGES alone"
    for name, extras_of in (("modelward-inference", parts), ("modelward-operator", [])):
        needed = list(project(name)["dependencies"]) + [each for part in extras_of for each in optional[part]]  # type: ignore[call-overload]
        pinned = set(re.findall(r"^([\w.-]+)==", (PROJECTS[name] / "requirements.lock").read_text(), re.MULTILINE))
        assert {re.split(r"[<>=]", each)[0] for each in needed} - pinned == {"modelward"}


def test_every_extra_that_a_message_names_brings_the_library() -> None:
    optional = project("modelward-inference")["optional-dependencies"]
    assert isinstance(optional, dict)
    distributions = {
        "sklearn": "scikit-learn", "yaml": "pyyaml", "simdjson": "pysimdjson", "grpc": "grpcio", "google": "protobuf",
        "grpc_health": "grpcio-health-checking", "grpc_reflection": "grpcio-reflection", "xgboost": "xgboost-cpu",
        "prometheus_client": "prometheus-client", "starlette": "fastapi",
        "botocore": "boto3",
    }  # fmt: skip
    for package, extra in extras.BY_PACKAGE.items():
        assert any(each.startswith(distributions.get(package, package)) for each in optional[extra]), package
