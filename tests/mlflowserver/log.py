"""Logs models as a training script does, with `modelward` as its wheel has it; run in MLflow's own environment.

Arguments: the server's address, and a folder of packages for the libraries that the environment lacks. Prints one line
of JSON for each model: what `log_model` returned, some rows, and the model's own answers to them.
"""

import json
import os
import sys
import warnings
from dataclasses import asdict
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

import modelward

warnings.filterwarnings("ignore")
sys.path.append(sys.argv[2])
os.environ["GITHUB_SHA"] = "c" * 40
GENERATOR = np.random.default_rng(0)
ROWS = GENERATOR.normal(size=(400, 3))
LABELS = (ROWS[:, 0] + ROWS[:, 1] > 0).astype(int)
FRAME = pd.DataFrame(
    {
        "age": GENERATOR.integers(18, 90, 400).astype(float),
        "city": GENERATOR.choice(["Oslo", "Rome"], 400),
    }
)
WORDS = np.where(FRAME["age"] + 30 * (FRAME["city"] == "Rome") > 60, "yes", "no")
FEW = {"pip_requirements": ["scikit-learn"]}  # finding them out takes MLflow seconds


def told(kind: str, found: Any, rows: Any, answers: Any) -> None:
    asked = rows.to_dict("list") if hasattr(rows, "to_dict") else rows.tolist()
    print(json.dumps({"kind": kind, **asdict(found), "rows": asked, "answers": answers.tolist()}), flush=True)


def refused(kind: str, act: Any) -> None:
    try:
        act()
    except Exception as error:  # noqa: BLE001  is what is asked for
        print(json.dumps({"kind": kind, "type": type(error).__name__, "message": str(error)}), flush=True)


def logged(model: Any, rows: Any = ROWS, labels: Any = LABELS, **more: Any) -> Any:
    return modelward.log_model(model, X=rows, y=labels, **{**FEW, **more})


def main() -> None:
    plain = LogisticRegression().fit(ROWS, LABELS)
    refused("no server", lambda: logged(plain))
    mlflow.set_tracking_uri(sys.argv[1])
    mlflow.set_experiment("logged")
    refused("other columns", lambda: logged(plain, ROWS[:, :2]))
    refused("other rows of y", lambda: logged(plain, labels=LABELS[:-1]))
    refused("an alias of nothing", lambda: logged(plain, alias="champion"))
    refused("a reserved alias", lambda: logged(plain, registered_model_name="logged", alias="v2"))
    refused("no model", lambda: logged({"a": 1}))
    refused("a function of one's own", lambda: logged(make_pipeline(FunctionTransformer(told), plain)))
    refused("a slip of the pen", lambda: logged(plain, aliass="champion"))
    refused("a path", lambda: logged("model.joblib"))
    assert mlflow.search_runs().empty, "of what was refused nothing is logged"

    columns = make_column_transformer((StandardScaler(), ["age"]), (OneHotEncoder(), ["city"]))
    named = make_pipeline(columns, LogisticRegression()).fit(FRAME, WORDS)
    with mlflow.start_run(tags={"mlflow.source.git.commit": "d" * 40}) as run:
        mlflow.log_metric("auc", 0.9)
        found = logged(
            named, FRAME, WORDS, registered_model_name="logged", alias="champion", dataset="people",
            run_tags={"team": "credit"},
        )  # fmt: skip
        assert found.run_id == run.info.run_id
        assert mlflow.active_run() is not None
    told("columns by name", found, FRAME[:20], named.predict_proba(FRAME[:20]))

    histogram = HistGradientBoostingClassifier(max_iter=5).fit(ROWS, LABELS)
    found = logged(histogram, registered_model_name="logged", alias="champion")
    assert mlflow.active_run() is None
    told("an array", found, ROWS[:20], histogram.predict_proba(ROWS[:20]))

    import lightgbm
    import onnx
    import xgboost

    boosted = xgboost.XGBClassifier(n_estimators=3).fit(ROWS, LABELS)
    told("xgboost", logged(boosted), ROWS[:20], boosted.predict_proba(ROWS[:20]))
    light = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(ROWS, LABELS)
    told("lightgbm", logged(light), ROWS[:20], light.predict_proba(ROWS[:20]))
    light = lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(ROWS, np.where(LABELS, "yes", "no"))
    told("lightgbm of words", logged(light), ROWS[:20], light.predict_proba(ROWS[:20]))
    node = onnx.helper.make_node("Neg", ["x"], ["y"])
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None, 3]) for name in "xy")
    graph = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [x], [y]), opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8
    )
    told("onnx", logged(graph.SerializeToString(), ROWS.astype(np.float32)), ROWS[:20], -ROWS[:20])


main()
