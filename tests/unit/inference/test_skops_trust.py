"""What a skops file may hold: exactly what estimators are made of, and no tree that leads astray."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from numpy.lib._datasource import DataSource
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer, HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import all_estimators

from modelward_inference import runtimes
from modelward_inference.errors import ArtifactCorrupt, ModelUnsupported
from modelward_inference.runtimes.skops import TRUSTED_CLASSES

pytestmark = pytest.mark.unit

X = np.random.default_rng(3).normal(size=(80, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


def load(tmp_path: Path, model: Any) -> Any:
    path = tmp_path / "model.skops"
    skops.io.dump(model, path)
    return runtimes.load("skops", path)


def test_each_name_is_a_class_and_none_opens_anything() -> None:
    for name in TRUSTED_CLASSES:
        module, _, attribute = name.rpartition(".")
        found = getattr(__import__(module, fromlist=[attribute]), attribute)
        assert isinstance(found, type)
        assert not hasattr(found, "open")


def test_a_class_that_deletes_folders_is_not_built(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.mkdir()
    keep = DataSource.__new__(DataSource)
    keep.__dict__ = {"_destpath": str(victim), "_istmpdest": True}
    model = LinearRegression().fit(X, Y)
    model.extra = keep
    try:
        with pytest.raises(ModelUnsupported, match="DataSource"):
            load(tmp_path, model)
    finally:
        keep._istmpdest = False
    assert victim.exists()


@pytest.mark.parametrize("name", ["numpy.lib._npyio_impl.NpzFile", "numpy.memmap", "scipy.io._netcdf.netcdf_file"])
def test_what_reads_files_is_not_trusted_for_its_library(name: str) -> None:
    assert name not in TRUSTED_CLASSES


def forest() -> Any:
    return RandomForestClassifier(3, random_state=0).fit(X, Y)


def test_a_forest_whose_children_lie_outside_is_refused(tmp_path: Path) -> None:
    model = forest()
    model.estimators_[1].tree_.children_left[0] = 1 << 30
    with pytest.raises(ArtifactCorrupt, match="a node of a tree is"):
        load(tmp_path, model)


def test_a_forest_that_never_ends_is_refused(tmp_path: Path) -> None:
    model = forest()
    model.estimators_[2].tree_.children_right[0] = 0
    with pytest.raises(ArtifactCorrupt, match="leads back"):
        load(tmp_path, make_pipeline(StandardScaler().fit(X), model))


def test_a_forest_that_asks_for_another_feature_is_refused(tmp_path: Path) -> None:
    model = forest()
    model.estimators_[0].tree_.feature[0] = 4
    with pytest.raises(ArtifactCorrupt, match="a feature is"):
        load(tmp_path, model)


@pytest.mark.parametrize("field", ["left", "right"])
def test_boosted_trees_whose_children_lie_outside_are_refused(tmp_path: Path, field: str) -> None:
    model = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=5).fit(X, X[:, 0])
    nodes = model._predictors[1][0].nodes
    nodes[field] = 1 << 31
    nodes["is_leaf"] = 0
    with pytest.raises(ArtifactCorrupt, match="a node of a tree"):
        load(tmp_path, model)


def test_neighbours_outside_of_their_data_are_refused(tmp_path: Path) -> None:
    model = KNeighborsClassifier(algorithm="kd_tree").fit(X, Y)
    np.asarray(model._tree.get_arrays()[1])[0] = 1 << 40
    with pytest.raises(ArtifactCorrupt, match="a neighbour is"):
        load(tmp_path, model)


@pytest.mark.parametrize("vectorizer", [CountVectorizer, TfidfVectorizer, HashingVectorizer])
@pytest.mark.parametrize("given", ["filename", "file", np.array("filename"), None])
def test_what_would_read_the_files_that_rows_name_is_refused(tmp_path: Path, vectorizer: Any, given: Any) -> None:
    model = make_pipeline(vectorizer(), LogisticRegression()).fit(["one two", "three four"], [0, 1])
    assert load(tmp_path, model)
    model.steps[0][1].input = given
    with pytest.raises(ModelUnsupported, match="reads the files which its rows name; set its input to 'content'"):
        load(tmp_path, model)


ESTIMATORS = dict(all_estimators(type_filter=["classifier", "regressor", "cluster"]))
LEFT_OUT = {
    "AgglomerativeClustering", "Birch", "CCA", "ClassifierChain", "DBSCAN", "FeatureAgglomeration",
    "FixedThresholdClassifier", "GammaRegressor", "HDBSCAN", "IsotonicRegression", "MultiOutputClassifier",
    "MultiOutputRegressor", "MultiTaskElasticNet", "MultiTaskElasticNetCV", "MultiTaskLasso", "MultiTaskLassoCV",
    "OPTICS", "OneVsOneClassifier", "OneVsRestClassifier", "OutputCodeClassifier", "PLSCanonical", "RegressorChain",
    "SelfTrainingClassifier", "SpectralClustering", "StackingClassifier", "StackingRegressor",
    "TunedThresholdClassifierCV", "VotingClassifier", "VotingRegressor",
}  # fmt: skip
"""They need arguments or other data, predict nothing for new rows, or skops can't write them."""

FUNCTIONS = {"BisectingKMeans"}
"""What holds a function, which skops does not trust."""


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in ESTIMATORS if name not in LEFT_OUT])
def test_every_estimator_is_read_as_it_was(tmp_path: Path, name: str) -> None:
    model = ESTIMATORS[name]().fit(np.abs(X), Y)
    path = tmp_path / "model.skops"
    skops.io.dump(model, path)
    if name in FUNCTIONS:
        with pytest.raises(ModelUnsupported, match="not trusted"):
            runtimes.load("skops", path)
        return
    loaded = runtimes.load("skops", path)
    got = loaded.predict({"input": np.abs(X)}, ["predict"])["predict"]
    np.testing.assert_array_equal(got, np.asarray(model.predict(np.abs(X))))
