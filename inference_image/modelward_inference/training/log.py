"""Logs a model to MLflow with all that serving and watching it needs, and registers it.

    modelward.log_model(model, X=X, y=y, registered_model_name="fraud", alias="champion")

Beside what MLflow keeps of a model (its file, signature, example) lies the folder BESIDE with what a saved bundle has
beside the model: the manifest, golden rows with the model's own answers, the reference. `download` finds it there.
Invariant: a version is registered once all of it is there, and the alias is set last: nobody is served half of it.
"""

import importlib
import logging
import tempfile
from collections.abc import Collection, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelward_inference.artifact.bundle import BESIDE
from modelward_inference.reference import sparse
from modelward_inference.reference.source import Table, open_source, spread
from modelward_inference.runtimes.base import PREDICT
from modelward_inference.training import commits, contents, datasets, flavours, names, tracking
from modelward_inference.training.contents import GOLDEN_ROWS, Wanted

_EXAMPLE_ROWS: Final = 5
"""Of the example that MLflow shows; the golden rows lie beside it."""

_LOG: Final = logging.getLogger("modelward")


@dataclass(frozen=True)
class LoggedModel:
    """What came of `log_model`. `uri`: for spec.model.uri, `models:/fraud/3`, or `models:/m-…` where nothing was
    registered; `version`: in the registry, else None; `dataset_digest`: as MLflow shows it at the run."""

    uri: str
    version: str | None
    run_id: str
    model_id: str
    dataset_digest: str


def log_model(
    model: Any,
    name: str = "model",
    *,
    X: Any,  # noqa: N803  as all libraries call it
    y: Any = None,
    registered_model_name: str | None = None,
    alias: str | None = None,
    dataset: Any = None,
    reference: Any = None,
    golden_rows: int = GOLDEN_ROWS,
    feature_kinds: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
    run_tags: Mapping[str, str] | None = None,
    **options: Any,
) -> LoggedModel:
    """Log `model` under `name` to the active run, or to one of its own; register it, and move `alias` to it.

    `model`: a fitted estimator or pipeline of scikit-learn, an estimator or a Booster of XGBoost or LightGBM, a
    TorchScript module, or ONNX (bytes, or onnx's ModelProto). `X`: its training data, in one of the forms that
    `save_bundle` takes; `y`: what was learned from them, which counts for the digest alone. `dataset`: what the data
    are called, or an MLflow Dataset of your own. `reference`, `golden_rows`, `feature_kinds` and `ignore` are those of
    `save_bundle`. `options`: of MLflow's own log_model, such as pip_requirements or tags (of the logged model).

    Estimators are logged as skops; serialization_format="cloudpickle" takes those that skops does not know.

    Raises InvalidConfiguration where MLflow or its server's address is missing, or model and data don't fit;
    FormatUnknown or ModelUnsupported for what is not served; and what MLflow raises. Until all of that is known
    nothing is logged.
    """
    mlflow = tracking.connected()
    names.check(name, registered_model_name, alias)
    names.check_dataset(dataset)
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        folder, beside = Path(temporary) / "bundle", Path(temporary) / "beside"
        folder.mkdir()
        beside.mkdir()
        flavour = flavours.of(model, Path(temporary), options)
        module = importlib.import_module(f"mlflow.{flavour.name}")
        names.check_options(options, module.log_model, log_model, module.__name__)
        more = flavours.options_of(flavour, module.log_model, mlflow.__version__)
        wanted = Wanted(reference, golden_rows, feature_kinds, ignore)
        made = contents.write(registered_model_name or name, flavour.served, X, folder, wanted)
        for each in made.beside:
            (folder / each).rename(beside / each)
        digest = getattr(dataset, "digest", None) or datasets.digest_of(X, y)
        given = {**_described(X, made.rows.expected), **more, **options}
        run = mlflow.active_run() or stack.enter_context(mlflow.start_run())
        client = mlflow.MlflowClient()
        _describe_run(mlflow, client, run.info.run_id, run_tags)
        title = dataset if isinstance(dataset, str) else f"{registered_model_name or name}-training"
        mlflow.log_input(_recorded(dataset, X, title, digest), context="training")
        logged = module.log_model(flavour.logged, name=name, **given)
        client.log_model_artifacts(logged.model_id, str(beside), BESIDE)
        uri, version = f"models:/{logged.model_id}", None
        if registered_model_name is not None:
            version = str(mlflow.register_model(uri, registered_model_name).version)
            uri = f"models:/{registered_model_name}/{version}"
            if alias is not None:
                client.set_registered_model_alias(registered_model_name, alias, version)
        return LoggedModel(uri, version, run.info.run_id, logged.model_id, digest)


def _described(data: Any, answers: Mapping[str, Any]) -> dict[str, Any]:
    """MLflow's signature and example, where it has words for what is in the data."""
    from mlflow.models import convert_input_example_to_serving_input, infer_signature

    example = _example(data)
    # Of a classifier the labels, as MLflow's own server answers.
    given = answers.get(PREDICT) if PREDICT in answers else dict(answers)
    if isinstance(given, dict) and len(given) == 1:
        (given,) = given.values()
    try:
        signature = infer_signature(example, given)
        convert_input_example_to_serving_input(example)
    except Exception as error:  # noqa: BLE001  MLflow's and pandas' own, of any kind
        _LOG.warning(
            "the model is logged without MLflow's signature and example, which it has no words for (%s: %s); golden "
            "rows and reference are beside it",
            type(error).__name__, str(error)[:300],
        )  # fmt: skip
        return {}
    return {"signature": signature, "input_example": example}


def _example(data: Any) -> Any:
    """A few rows as the caller has them, so that MLflow notes the types of their columns."""
    if sparse.is_sparse(data):
        return data.tocsr()[_places(data.shape[0])]
    if _is_frame(data):
        return data.iloc[_places(len(data))]
    table: Table = spread(open_source(data), _EXAMPLE_ROWS)
    if not isinstance(table, Mapping):
        return table[_places(len(table))]
    columns = {name: column[_places(len(column))] for name, column in table.items()}
    if any(column.ndim > 1 for column in columns.values()):
        return columns  # tensors by name
    import pandas as pd  # MLflow has brought it

    return pd.DataFrame(columns)


def _is_frame(data: Any) -> bool:
    """Of pandas; a Series, of texts for example, is an array."""
    return hasattr(data, "iloc") and hasattr(data, "columns")


def _places(rows: int) -> Any:
    return np.unique(np.linspace(0, rows - 1, min(_EXAMPLE_ROWS, rows)).astype(int))


def _describe_run(mlflow: Any, client: Any, run_id: str, tags: Mapping[str, str] | None) -> None:
    if tags:
        mlflow.set_tags(dict(tags))
    commit = None if commits.TAG in client.get_run(run_id).data.tags else commits.current()
    if commit:
        mlflow.set_tag(commits.TAG, commit)


def _recorded(dataset: Any, data: Any, name: str, digest: str) -> Any:
    """As MLflow keeps it at the run, with the number of rows and the columns' types where it can tell them."""
    if dataset is not None and not isinstance(dataset, str):
        return dataset
    from mlflow.data import from_numpy, from_pandas
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.dataset_source_registry import resolve_dataset_source
    from mlflow.data.meta_dataset import MetaDataset

    if _is_frame(data):
        return from_pandas(data, name=name, digest=digest)
    if isinstance(data, np.ndarray) and data.dtype.kind in "biuf":
        return from_numpy(data, name=name, digest=digest)
    source = resolve_dataset_source(str(data)) if isinstance(data, str | Path) else CodeDatasetSource(tags={})
    return MetaDataset(source, name=name, digest=digest)
