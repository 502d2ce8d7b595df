"""What a DriftPolicy's Job runs where models are registered in MLflow: trains the digits model on the newest labelled
data, registers it with the digest of what it learnt from and the commit of this code, and moves the alias to it.

The alias is what the ModelDeployment follows, so that moving it is the deployment. One that is worse on the rows held
out is registered, too, and does not get the alias. The Job's image needs mlflow, scikit-learn and modelward.
"""

import io
import json
import os
from pathlib import Path
from typing import Any

import boto3
import mlflow
import numpy as np
import urllib3
from botocore.config import Config
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import modelward

ALIAS = "champion"
BUCKET = "models"
HELD_OUT = 0.25


def main() -> None:
    name = os.environ["MODELWARD_MODEL"]
    store = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    data = np.load(io.BytesIO(store.get_object(Bucket=BUCKET, Key=f"{name}/data/latest.npz")["Body"].read()))
    rows, held_out, labels, held_out_labels = train_test_split(
        data["rows"], data["labels"], test_size=HELD_OUT, random_state=0, stratify=data["labels"]
    )
    model = make_pipeline(StandardScaler(), RandomForestClassifier(100, random_state=0)).fit(rows, labels)
    candidate = accuracy(model.predict(held_out), held_out_labels)
    current = accuracy(ask(f"http://{name}/v2/models/{name}/infer", held_out), held_out_labels)
    print(f"{len(rows)} rows: accuracy {candidate:.3f} on what was held out; the current version has {current:.3f}")
    alias = ALIAS if candidate >= current else None
    version = register(name, model, rows, labels, held_out, {"accuracy": candidate}, alias)
    print(f"{name} version {version} is registered{f', and {alias} is moved to it' if alias else ''}")
    holdout = {"metric": "accuracy", "current": current, "candidate": candidate, "higherIsBetter": True}
    report({"modelUri": f"models:/{name}@{ALIAS}", "version": version, "metrics": {"holdout": holdout}})


def register(
    name: str, model: Any, rows: Any, labels: Any, held_out: Any, metrics: dict[str, float], alias: str | None = None
) -> str:
    """Log a model that learnt `rows` [m, 64] and `labels` [m], and register it under `name`. Returns the version."""
    mlflow.set_experiment(name)
    with mlflow.start_run():
        mlflow.log_params({"trees": model[-1].n_estimators, "rows": len(rows)})
        mlflow.log_metrics(metrics)
        logged = modelward.log_model(
            model, X=columns(rows), y=labels, reference=columns(held_out), registered_model_name=name, alias=alias,
            run_tags=tags(), pip_requirements=["scikit-learn", "skops"],
        )  # fmt: skip
    return str(logged.version)


def columns(rows: Any) -> dict[str, Any]:
    """By name, so that drift is told of pixel_3_4 and not of input[28]."""
    return dict(zip(load_digits().feature_names, rows.T, strict=True))


def tags() -> dict[str, str]:
    """What the run was started for, where an operator started it."""
    told = {"run": os.environ.get("MODELWARD_RUN"), "reason": os.environ.get("MODELWARD_REASON")}
    return {f"modelward.{name}": value for name, value in told.items() if value}


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
