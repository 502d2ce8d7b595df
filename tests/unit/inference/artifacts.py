"""Small real models, made once, and things that are none."""

import functools
import hashlib
import io
import tarfile
import zipfile
from typing import Any

import joblib
import numpy as np
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler


@functools.cache
def estimator() -> Any:
    rows, labels = load_iris(return_X_y=True)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(rows.astype(np.float32), labels)


def rows() -> Any:
    return load_iris(return_X_y=True)[0].astype(np.float32)


def pickled(value: Any) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(value, buffer)
    return buffer.getvalue()


@functools.cache
def onnx(zipmap: bool = False) -> bytes:
    from skl2onnx import to_onnx

    converted: bytes = to_onnx(estimator(), rows()[:1], options={"zipmap": zipmap}).SerializeToString()
    return converted


def skops_file(evil: bool = False) -> bytes:
    """A scaler; an evil one calls eval() with what it is given."""
    import skops.io

    step = FunctionTransformer(func=eval) if evil else FunctionTransformer(func=np.log1p)
    content: bytes = skops.io.dumps(make_pipeline(step, *(each for _, each in estimator().steps)))
    return content


@functools.cache
def xgboost_file(kind: str = "ubj") -> bytes:
    import xgboost

    model = xgboost.XGBClassifier(n_estimators=3).fit(rows(), load_iris().target)
    return bytes(model.get_booster().save_raw(kind))


@functools.cache
def lightgbm_file() -> bytes:
    import lightgbm

    text: str = (
        lightgbm.LGBMClassifier(n_estimators=3, verbose=-1).fit(rows(), load_iris().target).booster_.model_to_string()
    )
    return text.encode()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def tar_of(files: dict[str, bytes], mode: str = "w:gz") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
