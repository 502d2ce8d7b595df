"""What `log_model` put beside a model in MLflow is used as a saved bundle's is; what can't be used stops no model."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelward_inference import errors
from modelward_inference.artifact.bundle import BESIDE, GOLDEN, MANIFEST, REFERENCE, Manifest
from modelward_inference.fetch.contents import beside
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.reference.store import load_reference
from modelward_inference.training import contents

from .test_compile import Volume
from .test_mlflow_models import fetched, frame, logged, pipeline, refused

pytestmark = pytest.mark.unit


@pytest.fixture
def volume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Volume:
    return Volume(tmp_path, monkeypatch)


def with_all(volume: Volume, model: Any = None) -> Path:
    """An MLflow folder of the pipeline, and what log_model adds of `model`."""
    folder = logged(volume, "sklearn")
    (folder / BESIDE).mkdir()
    made = contents.write("m", model or pipeline(), frame()[0], folder / BESIDE, contents.Wanted())
    (folder / BESIDE / made.file).unlink()
    return folder


def test_golden_rows_classes_versions_and_the_reference_are_those_of_training(volume: Volume) -> None:
    found = fetched(volume, with_all(volume))
    assert (found.artifact_format, found.golden_rows, found.classes) == ("skops", 100, (0, 1, 2))
    assert GoldenRows.read(volume.bundle).origin == "training"
    assert found.trained_with["scikit-learn"] == __import__("sklearn").__version__
    assert load_reference(volume.bundle / REFERENCE).rows == 150
    assert {REFERENCE, GOLDEN} <= found.files.keys()
    assert found.warnings == ()
    assert found.columns == tuple(frame()[0])


def test_a_model_that_does_not_give_the_answers_of_training_is_not_served(volume: Volume) -> None:
    rows, labels = frame()
    other = pipeline().fit(rows, np.roll(labels, 40))
    assert "expected" in refused(volume, with_all(volume, other), errors.GoldenRowsDiffer)


def damaged(name: str, content: bytes | None) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder / BESIDE / name
        path.unlink() if content is None else path.write_bytes(content)

    return damage


def of_another_release(folder: Path) -> None:
    path = folder / BESIDE / MANIFEST
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 99'))


def with_other_rows(folder: Path) -> None:
    rows = GoldenRows.read(folder / BESIDE)
    fewer = ({name: array[:7] for name, array in side.items()} for side in (rows.inputs, rows.expected))
    GoldenRows(*fewer, rows.origin).write(folder / BESIDE)


UNUSABLE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no golden rows": (damaged(GOLDEN, None), "golden.npz did not come with it"),
    "no manifest": (damaged(MANIFEST, None), "model.json did not come with it"),
    "a damaged manifest": (damaged(MANIFEST, b"{"), "model.json is no JSON"),
    "a manifest of lists": (damaged(MANIFEST, b"[" * 100_000), "model.json is no JSON"),
    "damaged golden rows": (damaged(GOLDEN, b"PK\x03\x04"), "golden.npz can't be read"),
    "another release": (of_another_release, "schema version 99"),
    "other golden rows": (with_other_rows, "model.json tells of other golden rows than golden.npz holds"),
}


@pytest.mark.parametrize("name", UNUSABLE)
def test_what_can_not_be_used_is_told_and_the_model_is_served_as_any_of_mlflow(volume: Volume, name: str) -> None:
    damage, message = UNUSABLE[name]
    folder = with_all(volume)
    damage(folder)
    found = fetched(volume, folder)
    assert (found.golden_rows, GoldenRows.read(volume.bundle).origin) == (69, "generated")
    assert message in "".join(found.warnings)
    assert load_reference(volume.bundle / REFERENCE).rows == 150, "is good by itself"


def test_a_bad_reference_costs_the_reference_alone(volume: Volume) -> None:
    folder = with_all(volume)
    damaged(REFERENCE, b"{}")(folder)
    found = fetched(volume, folder)
    assert found.golden_rows == 100
    assert "reference is not used" in "".join(found.warnings)
    assert not (volume.bundle / REFERENCE).exists()


def test_no_file_beside_the_model_may_be_larger_than_in_a_bundle(
    volume: Volume, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = with_all(volume)
    monkeypatch.setitem(beside.archive.LIMITS, GOLDEN, 10)
    assert "golden.npz has more than 10 bytes" in "".join(fetched(volume, folder).warnings)


def test_a_manifest_beside_a_model_decides_nothing_of_what_is_loaded(volume: Volume) -> None:
    folder = with_all(volume)
    path = folder / BESIDE / MANIFEST
    path.write_text(path.read_text().replace('"format": "sklearn"', '"format": "xgboost"').replace(".pkl", ".ubj"))
    found: Manifest = fetched(volume, folder)
    assert found.artifact_format == "skops"
