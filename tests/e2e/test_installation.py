"""The chart on a real cluster: it takes over what kustomize installed, a file becomes a prediction by the commands of
the quick start, and an upgrade, a rollback and an uninstallation go by without a request lost."""

import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import joblib
import pytest
import yaml
from examples.demo import objects
from examples.demo.load import load
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier

from benchmarks.rollout.under_load import RATE
from helm import Helm
from localcluster import binaries, cluster, images, install
from localcluster.clients import kubectl
from localcluster.commands import NO_PROXY

from . import volumes
from .model import Model, until

pytestmark = [pytest.mark.alone, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/quick-start.md").read_text()
INSTALL, HAND_OVER, ASK = (
    block.strip() for block in re.findall(r"^```console\n(.*?)^```", PAGE.split("## If")[0], re.MULTILINE | re.DOTALL)
)
SYSTEM, NAMESPACE = install.NAMESPACE, "quick-start"
FORCE = "--force-conflicts"
"""Of what kubectl has applied before: docs/install.md has it in all commands of a release that took over."""


@pytest.fixture(scope="module")
def helm(tmp_path_factory: pytest.TempPathFactory) -> Helm:
    return Helm(cluster.kubeconfig(), tmp_path_factory.mktemp("helm"))


@pytest.fixture
def values(tmp_path: Path) -> str:
    """Of this cluster: its images have names of their own."""
    named = {role: dict(zip(("repository", "tag"), reference.rsplit(":", 1), strict=True))
             for role, reference in images.ensure(install.ROLES).items()}  # fmt: skip
    path = tmp_path / "values.yaml"
    path.write_text(yaml.safe_dump({"images": named}))
    return str(path)


@pytest.fixture
def storage() -> Iterator[None]:
    with volumes.default_class():
        yield


@pytest.fixture
def installed_as_before(namespace: str, helm: Helm) -> Iterator[None]:
    """What the other tests have: the operator by kustomize, whatever became of the release."""
    assert namespace
    yield
    helm("uninstall", "modelward", "--namespace", SYSTEM, "--ignore-not-found")
    install.install()
    kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", "--wait=false")


def shell(helm: Helm, script: str, folder: Path) -> str:
    """What a reader's shell prints in `folder`, which has what of the repository the commands name."""
    environment = {**helm.environment, "PATH": f"{binaries.kubernetes()}:{helm.environment['PATH']}"}
    environment |= {"KUBECONFIG": str(cluster.kubeconfig()), **NO_PROXY}
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, text=True, capture_output=True,
        check=False, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, f"{script}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def asked() -> tuple[str, str]:
    """Path and body of the request on the page."""
    found = re.search(r"localhost:8080(\S+) --data '(.*?)'", ASK)
    assert found
    return found[1], found[2]


def readers_folder(folder: Path) -> list[float]:
    """The quick start's files, and a model of the reader's own; what that says to the row of the page."""
    shutil.copytree(ROOT / "examples/quick-start", folder / "examples/quick-start")
    rows, labels = load_iris(return_X_y=True)
    forest = RandomForestClassifier(n_estimators=20, random_state=0).fit(rows, labels)
    joblib.dump(forest, folder / "model.joblib")
    # The image that copies the file, by the name that it has here: the page says so where there are others.
    kustomization = folder / "examples/quick-start/kustomization.yaml"
    name, tag = images.ensure(["inference"])["inference"].rsplit(":", 1)
    said = "- name: docker.io/modelward/inference\n  newTag: 0.1.0\n"
    text = kustomization.read_text()
    assert said in text
    kustomization.write_text(text.replace(said, f"{said.splitlines()[0]}\n  newName: {name}\n  newTag: {tag}\n"))
    (row,) = json.loads(asked()[1])["instances"]
    return [float(each) for each in forest.predict([row])]


def settings_of_the_operator() -> dict[str, str]:
    return dict(objects.get("configmaps", SYSTEM, "modelward-settings")["data"])


def test_the_quick_start_and_what_a_release_goes_through(
    helm: Helm,
    values: str,
    installed_as_before: None,
    storage: None,
    tmp_path: Path,
    measured: Callable[[str], None],
) -> None:
    expected, (path, body) = readers_folder(tmp_path), asked()
    told = helm(*shlex.split(INSTALL.replace("charts/modelward", str(ROOT / "charts/modelward")))[1:],
                "--values", values, "--take-ownership", FORCE, "--wait", "--timeout=5m")  # fmt: skip
    assert "The operator is in namespace modelward-system, for every namespace." in told
    shell(helm, HAND_OVER, tmp_path)
    answer = shell(helm, f"set -m\ntrap 'kill %1' EXIT\n{ASK}", tmp_path)
    assert json.loads(answer[answer.index("{") :]) == {"predictions": expected}

    model = Model(NAMESPACE, "my-model")
    model.settle()
    stable, before = model.stable(), model.get()["spec"]
    chart = ("modelward", str(ROOT / "charts/modelward"), "--namespace", SYSTEM, "--values", values)
    with load(NAMESPACE, "rest", f"http://my-model{path}", body, rate=RATE, longest=480) as running:
        changes = ("--set", "settings.MODELWARD_LOG_LEVEL=DEBUG", "--set", "replicas=1")
        helm("upgrade", *chart, *changes, FORCE, "--wait", "--timeout=5m")
        assert settings_of_the_operator()["MODELWARD_LOG_LEVEL"] == "DEBUG"
        helm("rollback", "modelward", "1", "--namespace", SYSTEM, FORCE, "--wait", "--timeout=5m")
        assert settings_of_the_operator()["MODELWARD_LOG_LEVEL"] == "INFO"
        until(model.is_settled, "settled by the operator of before")
        helm("uninstall", "modelward", "--namespace", SYSTEM, "--wait", "--timeout=5m")
        assert "modelward-operator" not in objects.names("deployments", SYSTEM, "")
    measured(f"a Helm upgrade, a rollback and an uninstallation: {running.results}")
    assert not running.failed
    assert running.results["200"] >= 100
    assert (model.stable(), model.get()["spec"]) == (stable, before), "it stays, and its kind"
