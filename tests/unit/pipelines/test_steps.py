"""The steps of the CI/CD templates, run for real: a small data set, a model of scikit-learn, the server that production
has, a git repository to push to. Only `gh` is stood in for, and kubectl where the rollout is followed.
"""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_breast_cancer

from unit.cli.world import Namespace

from .models import NEW, OLD, PIN, model, promoted, rolling
from .pages import ROOT

STEPS = ROOT / "examples/pipelines/steps"
MODELS = "modeldeployments.modelward.io"
DATA = ("--data", "data.parquet", "--label", "target")
MANIFEST = """\
# The model of payments.
apiVersion: modelward.io/v1alpha1
kind: ModelDeployment
metadata: {name: fraud}
spec:
  # Who is on call: the payments team.
  replicas: 2
  model:
    uri: s3://models/fraud/1/fraud.tar  # pinned by the pipeline
    credentialsSecret: {name: s3-credentials}
---
apiVersion: modelward.io/v1alpha1
kind: ModelDeployment
metadata: {name: churn}
spec:
  model: {uri: s3://models/churn/1/churn.tar}
"""


def step(folder: Path, name: str, *arguments: str, code: int = 0, **variables: str) -> str:
    """What it says."""
    paths = os.pathsep.join(str(ROOT / each) for each in ("inference_image", "integrations/cli"))
    ended = subprocess.run(
        [sys.executable, str(STEPS / f"{name}.py"), *arguments], cwd=folder, text=True, capture_output=True,
        timeout=280, env={**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1", **variables}, check=False,
    )  # fmt: skip
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def rows() -> pd.DataFrame:
    data = load_breast_cancer(as_frame=True).frame
    data.columns = [name.replace(" ", "_") for name in data.columns]
    data = data[[*data.columns[:8], "target"]].copy()
    data["region"] = np.random.default_rng(0).choice(["north", "south"], len(data))
    return data


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data, and what train.py makes of it."""
    folder = tmp_path_factory.mktemp("trained")
    rows().to_parquet(folder / "data.parquet")
    step(folder, "train", *DATA, "--ignore", "region")
    return folder


@pytest.fixture(scope="module")
def steps() -> Iterator[Any]:
    """The modules, for their rules alone."""
    names = ("table", "train", "served", "evaluate", "validate", "pin", "follow")
    sys.path.insert(0, str(STEPS))
    try:
        yield {name: importlib.import_module(name) for name in names}
    finally:
        sys.path.remove(str(STEPS))
        for name in (*names, "register", "champion"):
            sys.modules.pop(name, None)


def test_data_like_the_champions_is_valid(trained: Path) -> None:
    told = step(trained, "validate", *DATA, "--champion", "build/model.tar", "--min-rows", "500")
    assert told == "569 rows are as the reference has them\n"
    assert json.loads((trained / "build/validation.json").read_text())["problems"] == []


def test_each_fault_of_data_is_named(trained: Path, tmp_path: Path) -> None:
    data = rows()
    data["mean_radius"] *= 1000
    data.loc[data.index[:200], "mean_texture"] = None
    data = data.drop(columns="mean_area")
    data["mean_perimeter"] = data["mean_perimeter"].astype(str)
    data.loc[data.index[3], "mean_perimeter"] = "12,5"
    data.loc[data.index[7], "target"] = None
    data.to_parquet(tmp_path / "data.parquet")
    champion = str(trained / "build/model.tar")
    told = step(tmp_path, "validate", *DATA, "--champion", champion, code=1).splitlines()
    assert told == json.loads((tmp_path / "build/validation.json").read_text())["problems"]
    for said in (
        "569 rows; at least 1000 are wanted", "target: 1 rows have no label",
        "mean_radius: 100.0% of the values are far",
        "mean_texture: 35.1% of the rows have no value", "mean_area: there is no such column",
        "mean_perimeter: 1 values are no numbers, for example '12,5'",
    ):  # fmt: skip
        assert len([line for line in told if line.startswith(said)]) == 1, (said, told)
    assert len(told) == 6


def test_the_reference_becomes_a_schema_of_pandera(trained: Path) -> None:
    """tests/integration/test_validation_schema.py has a real pandera read such a one."""
    assert step(trained, "schema", "--champion", "build/model.tar") == "build/schema.yaml: 8 columns\n"
    made = yaml.safe_load((trained / "build/schema.yaml").read_text())
    data = rows()
    assert list(made["columns"]) == [name for name in data.columns if name not in ("target", "region")]
    span = made["columns"]["mean_radius"]["in_range"]
    low, high = data["mean_radius"].min(), data["mean_radius"].max()
    assert span["min_value"] < low < high < span["max_value"] < high * 10


def test_a_row_that_is_held_out_stays_so_when_more_come(trained: Path, steps: Any) -> None:
    data = rows()
    more = pd.concat([data.sample(frac=1.0, random_state=1), data.assign(mean_radius=0.0)])
    held = steps["train"].is_held_out(data, 0.25)
    again = steps["train"].is_held_out(more, 0.25)
    kept = more[: len(data)][again[: len(data)].to_numpy()]
    assert sorted(kept.index) == sorted(data[held].index)
    assert len(pd.read_parquet(trained / "build/holdout.parquet")) == int(held.sum())
    told = json.loads((trained / "build/training.json").read_text())
    assert "region" not in told["columns"]
    assert "target" not in told["columns"]


def test_a_candidate_is_judged_as_production_serves_it(trained: Path) -> None:
    champion = trained / "champion.tar"
    champion.write_bytes((trained / "build/model.tar").read_bytes())
    told = step(
        trained, "evaluate", "--candidate", "build/model.tar", "--champion", "champion.tar", "--label", "target",
        "--holdout", "build/holdout.parquet", "--ignore", "region", "--group", "region", "--max-unfairness", "0.2",
        "--max-latency", "5000",
    )  # fmt: skip
    report = json.loads((trained / "build/report.json").read_text())
    checks = {each["name"]: each for each in report["checks"]}
    assert (report["passed"], list(checks)) == (True, ["metrics", "parity", "latency", "fairness"])
    assert "difference +0.0000" in checks["metrics"]["said"]
    assert checks["parity"]["said"].startswith("0 of ")
    assert report["form"] in ("compiled", "original")
    assert (trained / "build/report.md").read_text() in told


def test_a_model_that_production_would_not_serve_is_told(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "model.tar").write_bytes((trained / "build/model.tar").read_bytes()[:5000])
    holdout = str(trained / "build/holdout.parquet")
    told = step(tmp_path, "evaluate", "--candidate", "model.tar", "--holdout", holdout, "--label", "target", code=1)
    assert "production would not serve this model" in told


@pytest.mark.parametrize(
    ("right", "before", "margin", "passed"),
    [
        ([1] * 90 + [0] * 10, None, 0.0, True),
        ([1] * 90 + [0] * 10, [1] * 90 + [0] * 10, 0.01, True),
        ([1] * 80 + [0] * 20, [1] * 90 + [0] * 10, 0.01, False),
        ([1] * 95 + [0] * 5, [1] * 60 + [0] * 40, 0.0, True),
        ([1, 0] * 50, [0, 1] * 50, 0.01, False),  # as good on the average, and nobody can say so of a hundred rows
    ],
)
def test_as_good_as_the_champion_has_to_be_shown(
    steps: Any, right: list[int], before: list[int] | None, margin: float, passed: bool
) -> None:
    given = None if before is None else np.array(before, dtype=bool)
    assert steps["evaluate"].better(np.array(right, dtype=bool), given, margin).passed is passed


def test_fairness_is_judged_of_groups_that_are_large_enough(steps: Any) -> None:
    groups = pd.Series(["a"] * 100 + ["b"] * 100 + ["c"] * 5)
    right = np.array([True] * 100 + [True] * 80 + [False] * 20 + [False] * 5)
    fair = steps["evaluate"].fair
    assert fair(right, groups, 0.25).passed
    found = fair(right, groups, 0.1)
    assert (found.passed, "difference 0.2000" in found.said, "too few rows to judge: c" in found.said) == (
        False,
        True,
        True,
    )
    assert not fair(right, pd.Series(["a"] * 205), 0.1).passed, "of one group nothing can be said"


def test_wrong_and_slow_answers_are_found(steps: Any) -> None:
    assert not steps["evaluate"].same(np.array([1, 0]), np.array([1, 1])).passed
    assert not steps["evaluate"].fast([1.0] * 95 + [80.0] * 5, 50.0).passed
    assert steps["evaluate"].fast([1.0] * 100, 50.0).passed


def test_a_bundle_is_registered_once_under_its_bytes(trained: Path, tmp_path: Path) -> None:
    arguments = (
        "--bundle", str(trained / "build/model.tar"), "--name", "fraud", "--to", str(tmp_path / "volume"),
        "--served-as", "pvc://models/prod",
    )  # fmt: skip
    for _ in range(2):
        step(tmp_path, "register", *arguments)
    told = json.loads((tmp_path / "build/registered.json").read_text())
    (stored,) = (tmp_path / "volume").rglob("fraud.tar")
    assert told["uri"] == f"pvc://models/prod/fraud/{stored.parent.name}/fraud.tar"
    assert told["digest"].removeprefix("sha256:").startswith(stored.parent.name)
    stored.write_bytes(b"other bytes")
    assert "is there already, with other bytes" in step(tmp_path, "register", *arguments, code=1)


def test_a_pin_changes_two_fields_and_nothing_else(steps: Any) -> None:
    pinned = steps["pin"].pinned(MANIFEST, "fraud", NEW, PIN)
    expected = MANIFEST.replace(
        "uri: s3://models/fraud/1/fraud.tar  # pinned by the pipeline\n",
        f'uri: "{NEW}"  # pinned by the pipeline\n    digest: "{PIN}"\n',
    )
    assert pinned == expected
    assert steps["pin"].pinned(pinned, "fraud", NEW, PIN) == pinned
    assert steps["pin"].pinned(pinned, "fraud", OLD, PIN) == pinned.replace(NEW, OLD)


@pytest.mark.parametrize(("name", "said"), [("churn", "as a block"), ("froud", "has 0 ModelDeployments named froud")])
def test_what_can_not_be_pinned_is_left_alone(steps: Any, name: str, said: str) -> None:
    with pytest.raises(SystemExit, match=said):
        steps["pin"].pinned(MANIFEST, name, NEW, PIN)


def test_a_hostile_address_makes_no_other_field(steps: Any) -> None:
    hostile = 's3://m/x"\n  serviceAccountName: admin #'
    found = steps["pin"].deployment(steps["pin"].pinned(MANIFEST, "fraud", hostile, PIN), "fraud")
    assert (found["spec"]["model"]["uri"], set(found["spec"])) == (hostile, {"replicas", "model"})


GH = """#!{python}
import json, pathlib, sys
folder = pathlib.Path(__file__).parent
with (folder / "calls").open("a") as log:
    log.write(json.dumps(sys.argv[1:]) + "\\n")
if sys.argv[2] == "list":
    print((folder / "open").read_text() if (folder / "open").exists() else "[]")
"""


def test_a_pull_request_is_opened_and_then_changed(tmp_path: Path) -> None:
    def git(*arguments: str, at: str = "work") -> str:
        return subprocess.run(["git", *arguments], cwd=tmp_path / at, text=True, capture_output=True, check=True).stdout

    for name in ("origin", "work"):
        (tmp_path / name).mkdir()
    git("init", "--quiet", "--bare", "--initial-branch=main", at="origin")
    git("init", "--quiet", "--initial-branch=main")
    git("remote", "add", "origin", str(tmp_path / "origin"))
    (tmp_path / "work/deploy").mkdir()
    (tmp_path / "work/deploy/fraud.yaml").write_text(MANIFEST)
    git("add", "deploy")
    git("-c", "user.name=n", "-c", "user.email=e@example.com", "commit", "--quiet", "--message=first")
    git("push", "--quiet", "origin", "main")
    gh = tmp_path / "gh"
    gh.write_text(GH.format(python=sys.executable))
    gh.chmod(0o755)
    work = tmp_path / "work"
    (work / "build").mkdir()
    (work / "build/report.md").write_text("every check passed\n")
    arguments = ("--file", "deploy/fraud.yaml", "--model", "fraud")
    for turn, digest in enumerate((PIN, PIN.replace("1", "3"))):
        (work / "build/registered.json").write_text(json.dumps({"uri": NEW, "digest": digest}))
        step(work, "pin", *arguments)
        step(work, "pull_request", *arguments, "--with", str(gh))
        pushed = git("show", "modelward/fraud:deploy/fraud.yaml", at="origin")
        assert f'digest: "{digest}"' in pushed
        verb = json.loads((tmp_path / "calls").read_text().splitlines()[-1])
        assert verb[:2] == ["pr", "edit" if turn else "create"]
        assert "every check passed" in verb[-1]
        assert digest in verb[-1]
        (tmp_path / "open").write_text('[{"number": 7}]')
    assert git("show", "main:deploy/fraud.yaml", at="origin") == MANIFEST, "nobody has merged it"
    assert "there is nothing to open" in step(work, "pull_request", *arguments, "--with", str(gh))


def test_the_champion_is_what_git_pins(trained: Path, steps: Any, tmp_path: Path) -> None:
    bundle = trained / "build/model.tar"
    digest = steps["table"].digest(bundle)
    (tmp_path / "volume/fraud").mkdir(parents=True)
    (tmp_path / "volume/fraud/fraud.tar").write_bytes(bundle.read_bytes())
    manifest = tmp_path / "fraud.yaml"
    manifest.write_text(steps["pin"].pinned(MANIFEST, "fraud", "pvc://models/fraud/fraud.tar", digest))
    arguments = ("--file", "fraud.yaml", "--model", "fraud", "--volume", "volume")
    step(tmp_path, "champion", *arguments)
    assert (tmp_path / "build/champion.tar").read_bytes() == bundle.read_bytes()
    (tmp_path / "volume/fraud/fraud.tar").write_bytes(b"other bytes")
    assert "who has changed it?" in step(tmp_path, "champion", *arguments, code=1)


@pytest.mark.parametrize(
    ("looks", "code", "said"),
    [
        ([model(OLD), rolling("Progressing", "Step 1 of 3"), promoted()], 0, "not applied yet"),
        ([model(OLD), rolling("RolledBack", "errorRate failed")], 4, "errorRate failed"),
    ],
)
def test_a_rollout_is_followed_from_the_merge_on(tmp_path: Path, looks: list[Any], code: int, said: str) -> None:
    namespace = Namespace(tmp_path)
    namespace.then(MODELS, *([each] for each in looks))
    (tmp_path / "fraud.yaml").write_text(MANIFEST.replace(OLD, NEW))
    told = step(
        tmp_path, "follow", "--file", "fraud.yaml", "--model", "fraud", "--kubeconfig", "any", "--every", "0.1",
        code=code, PATH=f"{tmp_path}:{os.environ['PATH']}",
    )  # fmt: skip
    assert said in told
