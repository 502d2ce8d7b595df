"""What the demo's training Job runs, in the image with MLflow and scikit-learn: three versions of the digits model.

They are registered and that is all: who moves the alias decides what is served.
"""

import mlflow

from examples.demo.model import train
from examples.retraining.register import accuracy, register

NAME = "digits"
VERSIONS = {
    "100 trees": train(),
    "150 trees": train(trees=150, seed=1),
    "learnt labels in disorder, as after a broken join": train(shuffled=True),
}

for what, made in VERSIONS.items():
    metrics = {"accuracy": accuracy(made.predictions, made.labels)}
    version = register(NAME, made.estimator, made.train_rows, made.train_labels, made.rows, metrics)
    mlflow.MlflowClient().update_model_version(NAME, version, what)
    print(f"{NAME} version {version}: {what}, accuracy {metrics['accuracy']:.3f}", flush=True)
