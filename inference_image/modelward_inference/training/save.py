"""Writes a bundle at training time: the model, its signature, golden rows with its own answers, and its reference.

modelward.save_bundle("fraud.tar", model, X)
"""

import tarfile
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from modelward_inference.artifact.archive import anonymous
from modelward_inference.training import contents
from modelward_inference.training.contents import GOLDEN_ROWS, Wanted


def save_bundle(
    path: str | Path,
    model: Any,
    data: Any,
    *,
    reference: Any = None,
    golden_rows: int = GOLDEN_ROWS,
    feature_kinds: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
    progress: bool = False,
) -> Path:
    """Write `path` (.tar), to be served by naming it in spec.model.uri. Returns the path.

    `model`: a fitted scikit-learn estimator or pipeline, a Booster of XGBoost or LightGBM, a TorchScript module, ONNX
    (bytes, or onnx's ModelProto), or the path of a saved model. `data`: the training data, as the model takes them: a
    data frame, an array [rows, features], a list of texts, a mapping of names to columns, or the path of a file of any
    size, or a sparse matrix of scipy; `make_reference` tells all. Golden rows are taken from it evenly spaced.

    `reference`: what the reference is made of, inputs and the model's answers: rows that the model was not trained on.
    Of training rows, which are taken where nothing is given, many models are surer than they are of any others, so that
    ordinary answers would look like drift. `feature_kinds` and `ignore` are `kinds` and `ignore` of `make_reference`.

    Raises InvalidConfiguration where data and model don't fit, and what loading the model raises.
    """
    target = Path(path)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        made = contents.write(
            target.stem, model, data, folder, Wanted(reference, golden_rows, feature_kinds, ignore, progress)
        )
        unfinished = target.with_name(f".{target.name}.partial")
        with tarfile.open(unfinished, "w", format=tarfile.USTAR_FORMAT) as archive:
            for name in (*made.beside, made.file):
                archive.add(folder / name, name, filter=anonymous)
        unfinished.replace(target)
    return target
