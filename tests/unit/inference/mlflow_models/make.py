"""Writes what lies in this folder, with MLflow itself. Run once, by its own Python: MLflow is none of our packages.

    uv venv v && uv pip install --python v/bin/python mlflow==3.17.2 xgboost-cpu lightgbm onnx onnxruntime skops
    v/bin/python make.py

Kept are MLmodel, requirements.txt and the example: the models' own files are made by the tests, with their libraries.
"""

import shutil
import tempfile
from pathlib import Path
from typing import Any

import lightgbm
import mlflow.lightgbm
import mlflow.onnx
import mlflow.pyfunc
import mlflow.sklearn
import mlflow.xgboost
import numpy as np
import xgboost
from mlflow.models import infer_signature
from onnx import TensorProto, helper
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
KEPT = ("MLmodel", "requirements.txt", "serving_input_example.json")


class Echo(mlflow.pyfunc.PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:  # noqa: ARG002  MLflow's own
        return model_input


def graph() -> Any:
    weights = helper.make_tensor("w", TensorProto.FLOAT, [4, 2], np.arange(8, dtype="f4"))
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width]) for name, width in (("x", 4), ("y", 2))
    )
    made = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "g", [x], [y], [weights])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    frame, labels = load_iris(return_X_y=True, as_frame=True)
    rows = frame.to_numpy()
    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame, labels)
    plain = LogisticRegression().fit(rows, labels)
    framed = {"signature": infer_signature(frame, pipeline.predict(frame)), "input_example": frame.head(5)}
    arrays = {"signature": infer_signature(rows, plain.predict(rows)), "input_example": rows[:5]}
    tensors = {"x": rows[:3].astype("f4")}
    boosted = xgboost.XGBClassifier(n_estimators=3).fit(frame, labels)
    light = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(frame, labels)
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        mlflow.sklearn.save_model(pipeline, out / "sklearn", **framed)
        mlflow.sklearn.save_model(plain, out / "sklearn-array", **arrays)
        mlflow.xgboost.save_model(boosted, out / "xgboost", **framed)
        mlflow.lightgbm.save_model(light.booster_, out / "lightgbm", **framed)
        mlflow.onnx.save_model(
            graph(), out / "onnx", signature=infer_signature(tensors, {"y": np.zeros((3, 2), "f4")}),
            input_example=tensors,
        )  # fmt: skip
        mlflow.pyfunc.save_model(out / "pyfunc", python_model=Echo())
        for folder in out.iterdir():
            (HERE / folder.name).mkdir(exist_ok=True)
            for name in KEPT:
                if (folder / name).exists():
                    shutil.copy(folder / name, HERE / folder.name / name)


if __name__ == "__main__":
    main()
