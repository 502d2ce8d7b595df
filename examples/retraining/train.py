"""What a DriftPolicy's Job runs: trains the digits model on the newest labelled data and publishes it.

The rows and labels are in S3, where whoever labels leaves them; the credentials are those that the model is read with.
Everything else that a run needs to know is in its environment (docs/drift-policies.md), and what came of it is the JSON
that it leaves in the container's termination message.
"""

import io
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import boto3
import numpy as np
import urllib3
from botocore.config import Config
from sklearn.datasets import load_digits
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelward_inference import save_bundle

BUCKET = "models"
HELD_OUT = 0.25


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
    key = f"{name}/{run}/{name}.tar"
    with tempfile.TemporaryDirectory() as folder:
        saved = save_bundle(Path(folder) / f"{name}.tar", model, columns(rows), reference=columns(held_out))
        store.put_object(Bucket=BUCKET, Key=key, Body=saved.read_bytes())
    holdout = {"metric": "accuracy", "current": current, "candidate": candidate, "higherIsBetter": True}
    report({"modelUri": f"s3://{BUCKET}/{key}", "metrics": {"holdout": holdout}})


def columns(rows: Any) -> dict[str, Any]:
    return dict(zip(load_digits().feature_names, rows.T, strict=True))


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
