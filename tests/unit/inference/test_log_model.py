"""What `log_model` decides before MLflow is asked; tests/integration/test_mlflow.py has MLflow itself."""

import hashlib
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import scipy.sparse
import xgboost
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from modelward_inference import errors, log_model
from modelward_inference.training import commits, datasets, flavours, names, tracking

from .artifacts import onnx as graph

pytestmark = pytest.mark.unit

ROWS = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]])
LABELS = np.array([0, 1, 0, 1])


def light(labels: Any) -> Any:
    return lightgbm.LGBMClassifier(n_estimators=1, min_child_samples=1, verbose=-1).fit(ROWS, labels)


KINDS: dict[str, tuple[Callable[[], Any], str, type]] = {
    "an estimator": (lambda: LogisticRegression().fit(ROWS, LABELS), "sklearn", type(Path())),
    "a transformer": (lambda: StandardScaler().fit(ROWS), "sklearn", type(Path())),
    "one of classes that skops does not trust": (
        lambda: GradientBoostingClassifier(n_estimators=1).fit(ROWS, LABELS),
        "sklearn",
        type(Path()),
    ),
    "an estimator of XGBoost": (
        lambda: xgboost.XGBClassifier(n_estimators=1).fit(ROWS, LABELS),
        "xgboost",
        xgboost.Booster,
    ),
    "a booster of XGBoost": (lambda: xgboost.train({}, xgboost.DMatrix(ROWS, LABELS), 1), "xgboost", xgboost.Booster),
    "an estimator of LightGBM": (lambda: light(LABELS), "lightgbm", lightgbm.Booster),
    "a booster of LightGBM": (lambda: light(LABELS).booster_, "lightgbm", lightgbm.Booster),
    "an estimator of LightGBM with labels of its own": (lambda: light(["no", "yes"] * 2), "lightgbm", type(Path())),
    "an estimator of LightGBM whose labels begin at 1": (lambda: light(LABELS + 1), "lightgbm", type(Path())),
    "ONNX as bytes": (graph, "onnx", bytes),
    "ONNX": (lambda: onnx.load_model_from_string(graph()), "onnx", onnx.ModelProto),
}


@pytest.mark.parametrize("name", KINDS)
def test_each_library_has_its_flavour(name: str, tmp_path: Path) -> None:
    make, flavour, served = KINDS[name]
    found = flavours.of(make(), tmp_path, {})
    assert found.name == flavour
    assert isinstance(found.served, served)
    assert (found.options.get("serialization_format") == "skops") == isinstance(found.served, Path)


def test_a_subclass_of_ones_own_is_of_its_librarys_flavour(tmp_path: Path) -> None:
    class Own(xgboost.XGBRegressor):
        pass

    assert flavours.of(Own(n_estimators=1).fit(ROWS, LABELS), tmp_path, {}).name == "xgboost"


def test_skops_trusts_the_classes_that_are_in_the_model_and_no_more(tmp_path: Path) -> None:
    model = GradientBoostingClassifier(n_estimators=1).fit(ROWS, LABELS)
    trusted = flavours.of(model, tmp_path, {}).options["skops_trusted_types"]
    assert trusted == ["sklearn.tree._tree.Tree"]


def test_what_skops_does_not_know_is_logged_as_a_program_where_the_caller_wants_it(tmp_path: Path) -> None:
    model = FunctionTransformer(light)
    with pytest.raises(errors.ModelUnsupported, match=r"test_log_model\.light.*serialization_format='cloudpickle'"):
        flavours.of(model, tmp_path, {})
    wanted = flavours.of(model, tmp_path, {"serialization_format": "cloudpickle"})
    assert (wanted.served, wanted.options) == (model, {})


def test_modules_of_torch(tmp_path: Path) -> None:
    """By name: torch itself is none of the tests' libraries."""
    module = type("Module", (), {"__module__": "torch.nn.modules.module"})
    eager = type("Net", (module,), {"__module__": "mine"})()
    with pytest.raises(errors.ModelUnsupported, match=r"mine\.Net is a Python program.*torch\.jit\.script"):
        flavours.of(eager, tmp_path, {})
    scripted = type("RecursiveScriptModule", (module,), {"__module__": "torch.jit._script", "code": "…"})()
    assert flavours.of(scripted, tmp_path, {}).name == "pytorch"


def test_an_older_mlflow_gets_the_options_that_it_knows_or_is_refused(tmp_path: Path) -> None:
    def old(sk_model: Any, serialization_format: str = "cloudpickle") -> None: ...

    skops = flavours.of(LogisticRegression().fit(ROWS, LABELS), tmp_path, {})
    with pytest.raises(errors.InvalidConfiguration, match=r"MLflow 3\.0 does not log estimators as skops"):
        flavours.options_of(skops, old, "3.0")
    torch = flavours.Flavour("pytorch", None, None, {"serialization_format": "pickle"})
    assert flavours.options_of(torch, lambda _: None, "3.0") == {}


@pytest.mark.parametrize(
    ("version", "message"), [("2.22.1", r"MLflow 3 or newer, and 2\.22\.1"), ("3.1.0", "no tracking server is named")]
)
def test_an_mlflow_that_can_not_be_used(monkeypatch: pytest.MonkeyPatch, version: str, message: str) -> None:
    module = ModuleType("mlflow")
    module.__dict__.update(__version__=version, is_tracking_uri_set=lambda: False)
    monkeypatch.setitem(sys.modules, "mlflow", module)
    with pytest.raises(errors.InvalidConfiguration, match=message):
        log_model(LogisticRegression().fit(ROWS, LABELS), X=ROWS)


NAMES: dict[str, tuple[tuple[str, str | None, str | None], str | None]] = {
    "nothing is registered": (("model", None, None), None),
    "all of them": (("a model-1_b", "catalog.schema.fraud", "champion_2-b"), None),
    "a name with a slash": (("a/b", None, None), "name='a/b': a model's name"),
    "no name": (("", None, None), "name='': a model's name"),
    "a registered name with a colon": (("m", "a:b", None), "registered_model_name='a:b': it is not empty"),
    "no registered name": (("m", "", None), "registered_model_name='': it is not empty"),
    "an alias of nothing": (("m", None, "champion"), "pass registered_model_name, too"),
    "a version as alias": (("m", "fraud", "V12"), "means a version to MLflow"),
    "latest": (("m", "fraud", "latest"), "means a version to MLflow"),
    "an alias with a space": (("m", "fraud", "a b"), "an alias is of letters"),
    "no alias": (("m", "fraud", ""), "an alias is of letters"),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_that_mlflow_would_refuse_once_half_is_logged(name: str) -> None:
    given, message = NAMES[name]
    if message is None:
        names.check(*given)
        return
    with pytest.raises(errors.InvalidConfiguration) as told:
        names.check(*given)
    assert message in str(told.value)


def test_options_are_those_of_mlflow_and_a_slip_of_the_pen_is_told() -> None:
    def theirs(sk_model: Any, pip_requirements: Any = None, *, tags: Any = None, **kwargs: Any) -> None: ...

    names.check_options(["pip_requirements", "tags"], theirs, log_model, "mlflow.sklearn")
    for given, message in {
        "aliass": "'aliass' is no option of log_model, nor of mlflow.sklearn.log_model; alias is one",
        "pip_requirement": "pip_requirements is one",
        "kwargs": "'kwargs' is no option",
    }.items():
        with pytest.raises(errors.InvalidConfiguration) as told:
            names.check_options([given], theirs, log_model, "mlflow.sklearn")
        assert message in str(told.value)


@pytest.mark.parametrize("dataset", ["", "x" * 501, 42, Path("rows.csv"), {"name": "x"}])
def test_a_data_set_is_a_name_or_one_of_mlflows(dataset: Any) -> None:
    with pytest.raises(errors.InvalidConfiguration, match=r"dataset=.* pass what the data are called"):
        names.check_dataset(dataset)


class Answering(ModuleType):
    """MLflow as far as it is asked before anything is logged, with a server's address."""

    __version__ = "3.17.2"

    def __init__(self, address: str) -> None:
        super().__init__("mlflow")
        self.is_tracking_uri_set, self.get_tracking_uri = lambda: True, lambda: address


def test_a_server_that_does_not_answer_is_told_of_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setitem(sys.modules, "mlflow", Answering(f"http://ann:secret@127.0.0.1:{port}/mlflow"))
        assert tracking.connected().__version__ == "3.17.2"
    with pytest.raises(
        errors.InvalidConfiguration, match=rf"MLflow's server http://127\.0\.0\.1:{port} can't be re"
    ) as told:
        log_model(LogisticRegression().fit(ROWS, LABELS), X=ROWS)
    assert "secret" not in str(told.value)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "")
    tracking.connected()
    for other in ("databricks", "sqlite:///mlflow.db", "postgresql://db/mlflow"):
        monkeypatch.setitem(sys.modules, "mlflow", Answering(other))
        tracking.connected()


def test_the_digest_is_of_every_value_name_type_and_target() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": ["x", None]})
    same = datasets.digest_of(frame)
    assert same == datasets.digest_of({"a": np.array([1.0, 2.0]), "b": ["x", None]}), "whatever holds them"
    assert len(same) == 32
    others = [
        frame.assign(a=[1.0, 2.5]), frame.assign(b=["x", ""]), frame.assign(b=["x", "None"]),
        frame.assign(b=[None, "x"]), frame.rename(columns={"a": "c"}), frame.assign(a=[1, 2]), frame[:1],
        frame[["b", "a"]], frame.assign(b=["xN", "one"]),
    ]  # fmt: skip
    digests = {datasets.digest_of(each) for each in others}
    digests |= {datasets.digest_of(frame, targets) for targets in ([0, 1], [1, 0], ["0", "1"])}
    assert len(digests - {same}) == len(others) + 3


def test_the_digest_is_no_other_where_data_are_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"a": np.arange(50.0), "b": [f"{each}" for each in range(50)]})
    whole = datasets.digest_of(frame)
    monkeypatch.setattr("modelward_inference.reference.source.MOST_ROWS", 7)
    assert datasets.digest_of(frame) == whole
    assert datasets.digest_of([frame[:30], frame[30:]]) == whole


def test_forms_without_names_have_digests_too(tmp_path: Path) -> None:
    big = ROWS.astype(">f8")
    assert datasets.digest_of(ROWS) == datasets.digest_of(big) == datasets.digest_of(np.asfortranarray(ROWS))
    sparse = scipy.sparse.csr_matrix(ROWS)
    found = {datasets.digest_of(each) for each in (ROWS, ROWS.astype("f4"), ROWS[:, ::-1], sparse * 2, ["a", "b"])}
    assert len(found) == 5


def test_cells_that_are_arrays_count_in_full() -> None:
    long = np.zeros(5000)
    other = long.copy()
    other[2500] = 1.0
    digests = [datasets.digest_of({"a": np.array([each, None], object)}) for each in (long, other)]
    assert digests[0] != digests[1]


def test_the_digest_of_a_file_is_that_of_sha256sum(tmp_path: Path) -> None:
    file = tmp_path / "rows.npy"
    np.save(file, ROWS)
    assert datasets.digest_of(file) == hashlib.sha256(file.read_bytes()).hexdigest()[:32]
    assert datasets.digest_of(file, LABELS) == datasets.digest_of(ROWS, LABELS)


def test_rows_and_targets_are_as_many() -> None:
    with pytest.raises(errors.InvalidConfiguration, match=r"X has 4 rows, and y has 3"):
        datasets.digest_of(ROWS, LABELS[:3])


def test_the_commit_is_of_the_checkout_else_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = commits.current({"GITHUB_SHA": "c" * 40})
    assert told is not None
    assert len(told) == 40
    assert told != "c" * 40
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert commits.current({"CI_COMMIT_SHA": "c" * 40, "GIT_COMMIT": ""}) == "c" * 40
    assert commits.current({}) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commits.current({}) is None, "without git"


def test_x_is_asked_for() -> None:
    with pytest.raises(TypeError, match="'X'"):
        log_model(LogisticRegression().fit(ROWS, LABELS))  # type: ignore[call-arg]
