"""What a DriftPolicy's Job runs where models are registered in MLflow: trains the digits model on the newest labelled
data, registers it with the digest of what it learnt from and the commit of this code, and moves the alias to it.

The alias is what the ModelDeployment follows, so that moving it is the deployment. One that is worse on the rows held
out is registered, too, and does not get the alias. The Job's image needs mlflow and scikit-learn, and no Modelward.
"""

import io
import json
import os
from pathlib import Path
from typing import Any

import boto3
import mlflow
import numpy as np
import pandas as pd
import urllib3
from botocore.config import Config
from mlflow.models import infer_signature
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

ALIAS = "champion"
BUCKET = "models"
HELD_OUT = 0.25
EXAMPLES = 100
"""Rows that are logged with the model: pods hold its answers to them against its own before it gets traffic."""

TREES = ["sklearn.tree._tree.Tree"]
"""What model.skops may hold besides: it was made here."""


def main() -> None:
    name, run = os.environ["MODELWARD_MODEL"], os.environ["MODELWARD_RUN"]
    store = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    data = np.load(io.BytesIO(store.get_object(Bucket=BUCKET, Key=f"{name}/data/latest.npz")["Body"].read()))
    rows, held_out, labels, held_out_labels = train_test_split(
        data["rows"], data["labels"], test_size=HELD_OUT, random_state=0, stratify=data["labels"]
    )
    model = make_pipeline(StandardScaler(), RandomForestClassifier(100, random_state=0)).fit(rows, labels)
    candidate = accuracy(model.predict(held_out), held_out_labels)
    current = accuracy(ask(f"http://{name}/v2/models/{name}/infer", held_out), held_out_labels)
    print(f"{len(rows)} rows: accuracy {candidate:.3f} on what was held out; the current version has {current:.3f}")
    tags = {"modelward.io/run": run, "modelward.io/reason": os.environ.get("MODELWARD_REASON", "")}
    version = register(name, model, rows, labels, held_out, {"accuracy": candidate}, tags)
    if candidate >= current:
        mlflow.MlflowClient().set_registered_model_alias(name, ALIAS, version)
        print(f"{name}@{ALIAS} is version {version} now")
    holdout = {"metric": "accuracy", "current": current, "candidate": candidate, "higherIsBetter": True}
    report({"modelUri": f"models:/{name}@{ALIAS}", "version": version, "metrics": {"holdout": holdout}})


def register(
    name: str, model: Any, rows: Any, labels: Any, held_out: Any, metrics: dict[str, float], tags: dict[str, str]
) -> str:
    """Log a model that learnt `rows` [m, 64] and `labels` [m], and register it under `name`. Returns the version."""
    mlflow.set_experiment(name)
    if commit := os.environ.get("GIT_COMMIT"):  # MLflow finds it where it runs in a checkout; a Job does not
        tags = {**tags, "mlflow.source.git.commit": commit}
    named = pd.DataFrame(held_out, columns=load_digits().feature_names)
    with mlflow.start_run(tags=tags):
        mlflow.log_input(mlflow.data.from_numpy(rows, targets=labels, name=f"{name}-train"), context="training")
        mlflow.log_params({"trees": model[-1].n_estimators, "rows": len(rows)})
        mlflow.log_metrics(metrics)
        logged = mlflow.sklearn.log_model(
            model, name="model", registered_model_name=name, skops_trusted_types=TREES,
            signature=infer_signature(named, model.predict(held_out)), input_example=named[:EXAMPLES],
            pip_requirements=["scikit-learn"],
        )  # fmt: skip
    return str(logged.registered_model_version)


def ask(address: str, rows: Any) -> Any:
    """What the version that is served now says to these rows."""
    tensor = {"name": "input", "shape": list(rows.shape), "datatype": "FP32", "data": rows.ravel().tolist()}
    answer = urllib3.request("POST", address, json={"inputs": [tensor], "outputs": [{"name": "predict"}]})
    if answer.status != 200:
        raise SystemExit(f"{address} answered {answer.status}: {answer.data[:300]!r}")
    return np.array(answer.json()["outputs"][0]["data"])


def accuracy(given: Any, expected: Any) -> float:
    return round(float(np.mean(given == expected)), 4)


def report(outcome: dict[str, Any]) -> None:
    Path("/dev/termination-log").write_text(json.dumps(outcome))


if __name__ == "__main__":
    main()
