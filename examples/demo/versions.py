"""What the demo's training Job runs, in the image with MLflow and scikit-learn: three versions of the digits model.

They are registered and that is all: who moves the alias decides what is served.
"""

from typing import Any

import mlflow

from examples.demo.model import train
from examples.retraining.register import accuracy, register

NAME = "digits"
VERSIONS: dict[str, dict[str, Any]] = {
    "100 trees": {},
    "150 trees": {"trees": 150, "seed": 1},
    "learnt labels in disorder, as after a broken join": {"shuffled": True},
}

for what, arguments in VERSIONS.items():
    made = train(**arguments)
    metrics = {"accuracy": accuracy(made.predictions, made.labels)}
    version = register(NAME, made.estimator, made.train_rows, made.train_labels, made.rows, metrics)
    mlflow.MlflowClient().update_model_version(NAME, version, what)
    print(f"{NAME} version {version}: {what}, accuracy {metrics['accuracy']:.3f}", flush=True)
