"""Trains and registers two versions of `fraud`, as a user's pipeline does; run in MLflow's own environment.

Prints one line of JSON for each: version, model id, run id.
"""

import json
import sys
import warnings

import mlflow
import numpy as np
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
mlflow.set_tracking_uri(sys.argv[1])
mlflow.set_experiment("fraud")
ROWS, LABELS = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]), [0, 1, 1, 0]
for version in (1, 2):
    tags = {
        "mlflow.source.git.commit": f"{version}" * 40,
        "mlflow.source.git.repoURL": "https://git.example.com/fraud.git",
    }
    with mlflow.start_run(tags=tags) as run:
        mlflow.log_param("C", version)
        mlflow.log_metric("auc", 0.9 + version / 100)
        mlflow.log_input(mlflow.data.from_numpy(ROWS, name="fraud-train"), context="training")
        model = LogisticRegression(C=version).fit(ROWS, LABELS)
        info = mlflow.sklearn.log_model(model, name="model", input_example=ROWS, registered_model_name="fraud")
    print(json.dumps({"version": str(version), "model": info.model_id, "run": run.info.run_id}))
mlflow.MlflowClient().set_registered_model_alias("fraud", "champion", "1")
