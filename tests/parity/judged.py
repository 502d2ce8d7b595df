"""One drawn model: fetched as a pod does it, asked row by row, and compared with the library's own answers."""

import asyncio
import io
import os
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import joblib
import numpy as np
import pandas as pd

from modelward_inference import errors, runtimes
from modelward_inference.artifact.arrays import datatype_of
from modelward_inference.compile import timing
from modelward_inference.engine.dataplane import DataPlane
from modelward_inference.fetch.run import Request, fetch
from modelward_inference.protocol.messages import InferRequest, Input, RequestError
from modelward_inference.runtimes.estimators import estimator

from .drawn import EDGE, Drawn

RTOL, ATOL = 1e-4, 1e-5
MARGIN = 1e-3
"""Labels may differ where the library's own two largest probabilities lie closer than this."""

BESIDE = (EDGE, float(np.nextafter(EDGE, 50)), float(np.float32(EDGE)))
"""On a threshold, and so little beside it that single precision does not show it."""

MANY = 40
"""Rows that are asked of each kind."""


@dataclass(frozen=True)
class Judgement:
    """`wrong`: the first row whose answer is not the library's, in words; `refused`: why it is not served at all."""

    compiled: bool
    wrong: str = ""
    refused: str = ""


def judge(drawn: Drawn) -> Judgement:
    """Serve it, and compare every answer."""
    with mock.patch.object(estimator, "_pandas", estimator._pandas if drawn.pandas else lambda: None):
        return _judge(drawn)


def _judge(drawn: Drawn) -> Judgement:
    with tempfile.TemporaryDirectory() as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder = Path(temporary)
        bundle = folder / "bundle"
        bundle.mkdir()
        buffer = io.BytesIO()
        joblib.dump(drawn.model, buffer)
        (folder / "m.joblib").write_bytes(buffer.getvalue())
        # What is faster is no matter here.
        with mock.patch.object(timing, "BUDGET", 0.0), mock.patch.dict(os.environ, {"PVC_MOUNT": str(folder)}):
            try:
                manifest = fetch(Request("pvc://claim/m.joblib", "auto", None, "m", bundle, "Auto"))
            except errors.ModelError as error:
                return Judgement(False, refused=f"{type(error).__name__}: {error}")
        model = runtimes.load(manifest.format, bundle / manifest.file, signature=manifest.signature)
        plane = DataPlane(model, manifest, "1", workers=1, max_waiting=1000)
        outputs = [tensor.name for tensor in manifest.signature.outputs]
        wrong = asyncio.run(_first_wrong(drawn.model, plane, outputs, rows(drawn)))
        return Judgement(manifest.format == "onnx", wrong)


def rows(drawn: Drawn) -> list[Any]:
    """Rows as the library takes them, of one each: of the same kind as training's, and changed in all ways. Where a
    class is all that a model answers there are more of them: most tell nothing of a form that is not quite the same."""
    probable = hasattr(drawn.model, "predict_proba")
    table = drawn.asked if hasattr(drawn.model, "classes_") and not probable else drawn.asked[:MANY]
    if isinstance(table, pd.DataFrame):
        return [table.iloc[[index]] for index in range(len(table))] + list(_changed_frames(table))
    found = [table[[index]] for index in range(len(table))]
    if table.dtype.kind == "O":
        odd = ["", "a", "É", "don't good", "GOOD film!", "good-bad", "not a good café", "\t", "film\nplot", "x" * 99]
        return found + [np.array([each], object) for each in odd]
    return found + list(_changed_rows(table))


def _changed_rows(table: Any) -> Any:
    rng = np.random.default_rng(1)
    strange: dict[str, tuple[Any, ...]] = {
        "f": (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e6), "i": (0, -1, 10**6), "b": (False, True),
    }  # fmt: skip
    for number, row in enumerate(table[:MANY]):
        for value in strange[table.dtype.kind]:
            changed = row.copy()
            changed[rng.random(len(row)) < 0.5 if number % 2 else number % len(row)] = value
            yield changed[None]


def _changed_frames(table: Any) -> Any:
    rng = np.random.default_rng(1)
    strange: dict[str, list[Any]] = {"f": [np.nan, np.inf, 0.0, 1.5, 2.0000001, *BESIDE], "i": [99, -1, 0],
                                     "O": ["Paris", np.nan, "", "rome"],
                                     "b": [False, True]}  # fmt: skip
    for number in range(MANY):
        row = table.iloc[[number % len(table)]].copy()
        for name in table:
            kind = table[name].dtype
            if rng.random() < 0.5:
                continue
            if isinstance(kind, pd.CategoricalDtype):
                row[name] = pd.Categorical([None], categories=kind.categories)
            else:
                holds_truths = kind.kind == "O" and isinstance(table[name].dropna().iloc[0], bool)
                # A request has one null for None and NaN: the one that the column has.
                values = [True, False, _gap(table[name])] if holds_truths else strange[kind.kind]
                row[name] = pd.Series([values[rng.integers(len(values))]], index=row.index, dtype=kind)
        yield row


def _gap(column: Any) -> float | None:
    """What is missing in a column of objects: None or NaN."""
    return None if any(each is None for each in column) else np.nan


async def _first_wrong(own: Any, plane: DataPlane, outputs: list[str], asked: list[Any]) -> str:
    for row in asked:
        try:
            wanted = {name: _dense(getattr(own, name)(row)) for name in outputs}
        except Exception as error:  # noqa: BLE001  a refusal of any kind
            wanted = None
            why = str(error)[:100]
        try:
            got = (await plane.infer(InferRequest(_inputs(row, plane)))).outputs
        except RequestError as error:
            if wanted is not None:
                return f"{_shown(row)} is refused ({error}), the library answers {wanted}"
            continue
        except Exception as error:  # noqa: BLE001
            if wanted is None:
                continue
            return f"{_shown(row)} fails ({type(error).__name__}: {error}), the library answers {wanted}"
        if wanted is None:
            return f"{_shown(row)} is answered {got}, the library refuses it ({why})"
        found = _difference(wanted, got)
        if found:
            return f"{_shown(row)}: {found}"
    return ""


def _dense(answer: Any) -> Any:
    return np.asarray(answer.toarray() if hasattr(answer, "toarray") else answer)


def _inputs(row: Any, plane: DataPlane) -> tuple[Input, ...]:
    if not isinstance(row, pd.DataFrame):
        name = plane.signature.inputs[0].name
        return (Input(name, datatype_of(row), row),)
    columns = {str(name): _column(row[name]) for name in row}
    wanted = [tensor.name for tensor in plane.signature.inputs]
    if set(wanted) & set(columns) or len(columns) > 1:
        return tuple(Input(name, datatype_of(array), array) for name, array in columns.items())
    whole = np.column_stack(list(columns.values()))
    return (Input(wanted[0], datatype_of(whole), whole),)


def _column(series: Any) -> Any:
    values = [None if each is None or each != each else each for each in series.tolist()]
    if any(isinstance(each, str) for each in values) or (series.dtype == object and None in values):
        return np.array(values, object).reshape(-1, 1)
    if isinstance(series.dtype, pd.CategoricalDtype) and series.cat.categories.dtype.kind in "OTU":
        return np.array(values, object).reshape(-1, 1)
    kind = {"i": np.int64, "b": np.bool_}.get(series.dtype.kind, np.float64)
    return np.array(values, kind).reshape(-1, 1)


def _difference(wanted: dict[str, Any], got: Any) -> str:
    probabilities = wanted.get("predict_proba")
    tie = False
    if probabilities is not None and probabilities.ndim == 2 and probabilities.shape[1] > 1:
        ordered = np.sort(probabilities[0])
        tie = bool(ordered[-1] - ordered[-2] < MARGIN)
    for name, array in wanted.items():
        answer = np.asarray(got[name])
        if array.shape != answer.shape:
            return f"{name} has shape {answer.shape}, the library's has {array.shape}"
        if array.dtype.kind == "f":
            if not np.allclose(answer.astype(float), array, rtol=RTOL, atol=ATOL, equal_nan=True):
                return f"{name} is {answer}, the library says {array}"
        elif not tie and answer.tolist() != array.tolist():
            return f"{name} is {answer}, the library says {array}"
    return ""


def _shown(row: Any) -> str:
    values = row.iloc[0].to_dict() if isinstance(row, pd.DataFrame) else row.ravel().tolist()
    return f"{values}"[:200]
