"""The V1 protocol of KServe and TensorFlow Serving, `:predict`, as a thin form of the same data plane.

`{"instances": [...]}` has a row each: a list, a value, or an object of columns; `{"inputs": ...}` has columns, and is
answered by columns. https://kserve.github.io/website/docs/concepts/architecture/data-plane/v1-protocol and
https://www.tensorflow.org/tfx/serving/api_rest. Of a classifier or regressor of scikit-learn's kind the answer is
`predict` alone, as KServe's is; of other models with several outputs an object each. Failure: RequestError.
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from modelward_inference.artifact.arrays import no_rows
from modelward_inference.artifact.bundle import Signature
from modelward_inference.protocol import largejson
from modelward_inference.protocol.messages import (
    InferRequest,
    InferResponse,
    Input,
    RequestError,
    WantedOutput,
    is_large,
)
from modelward_inference.protocol.tensors import MAX_DIMENSIONS, from_json, kind_of, shown, to_json, written
from modelward_inference.runtimes.base import PREDICT
from modelward_inference.runtimes.estimators.columns import INPUT

QUICK = 32 << 10
"""Bytes: as many numbers are looked at one by one in half a millisecond."""

FEW = 500
"""Lists, and quotation marks."""

INSTANCES, COLUMNS = "instances", "inputs"
_SIGNATURE = "serving_default"
_B64 = "b64"


class V1:
    """For one model. `max_rows`: of a request."""

    def __init__(self, signature: Signature, max_rows: int) -> None:
        self._max_rows = max_rows
        names = [tensor.name for tensor in signature.outputs]
        self._inputs = signature.inputs
        self._input = signature.inputs[0].name if len(signature.inputs) == 1 else INPUT
        self._texts = {tensor.name for tensor in signature.inputs if tensor.datatype == "BYTES"}
        self._wanted = (WantedOutput(PREDICT),) if PREDICT in names else ()

    def decode(self, body: bytes | memoryview, json_length: int | None) -> InferRequest:
        """Read a request."""
        if json_length is not None:
            raise RequestError("the V1 protocol has no binary data; ask /v2/models/NAME/infer")
        if len(body) >= largejson.FROM:
            largejson.check_instances(bytes(body), self._max_rows)
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise RequestError(f"the body is not valid JSON: {error}; write null for NaN") from None
        return self.read(document)

    def read(self, document: Any) -> InferRequest:
        """The same, of what the JSON says."""
        if not isinstance(document, dict):
            raise RequestError('the body must be a JSON object such as {"instances": [[1, 2]]}')
        named = document.get("signature_name", _SIGNATURE)
        if named != _SIGNATURE:
            raise RequestError(f"signature_name is {shown(named)}; this model has {_SIGNATURE}")
        by_columns = COLUMNS in document
        if by_columns == (INSTANCES in document):
            raise RequestError(f"send either {INSTANCES}, a row each, or {COLUMNS}, by column")
        raw = document[COLUMNS] if by_columns else document[INSTANCES]
        inputs = self._of_columns(raw) if by_columns else self._of_rows(raw)
        return InferRequest(tuple(inputs), self._wanted, parameters={COLUMNS: True} if by_columns else {})

    def decode_quickly(self, body: bytes | memoryview, json_length: int | None) -> InferRequest | None:
        """The same, or None for what may take longer than a millisecond."""
        if len(body) > QUICK or not isinstance(body, bytes) or body.count(b"[") > FEW or body.count(b'"') > FEW:
            return None
        return self.decode(body, json_length)

    def decode_plain(self, _: bytes) -> InferRequest | None:
        """None: every value is looked at, so that nothing long is quick."""
        return None

    def encode(self, response: InferResponse, request: InferRequest) -> tuple[bytes, int | None]:
        """The answer, in the form of the question."""
        outputs = {name: _nested(to_json(array), array.shape) for name, array in response.outputs.items()}
        put = written if is_large(response) else _as_it_is
        alone = put(next(iter(outputs.values()))) if len(outputs) == 1 else None
        if COLUMNS in request.parameters:
            columns = {name: put(values) for name, values in outputs.items()} if alone is None else alone
            return _dumped({"outputs": columns}), None
        if alone is not None:
            return _dumped({"predictions": alone}), None
        rows = zip(*outputs.values(), strict=True)
        return _dumped({"predictions": put([dict(zip(outputs, row, strict=True)) for row in rows])}), None

    def _of_rows(self, rows: Any) -> list[Input]:
        if not isinstance(rows, list):
            raise RequestError(f"{INSTANCES} must be a list, not {kind_of(rows)}")
        if not rows:
            return [Input(each.name, each.datatype, no_rows(each)) for each in self._inputs]
        if all(isinstance(row, dict) and set(row) != {_B64} for row in rows):
            names = list(rows[0])
            for index, row in enumerate(rows):
                if row.keys() != rows[0].keys():
                    raise RequestError(f"{INSTANCES}[{index}] has other columns than the first: {shown(sorted(row))}")
            return [self._tensor(name, [row[name] for row in rows], f"{INSTANCES} ({shown(name)})") for name in names]
        return [self._tensor(self._input, rows, INSTANCES)]

    def _of_columns(self, raw: Any) -> list[Input]:
        raw = _one_object(raw)
        if isinstance(raw, dict) and set(raw) != {_B64}:
            return [self._tensor(name, values, f"{COLUMNS} ({shown(name)})") for name, values in raw.items()]
        return [self._tensor(self._input, raw, COLUMNS)]

    def _tensor(self, name: str, values: Any, where: str) -> Input:
        return _tensor(name, values, where, name in self._texts)


def _one_object(raw: Any) -> Any:
    """KServe's servers of LightGBM and PMML are sent an object of columns, or one for each column, in a list."""
    if isinstance(raw, list) and len(raw) == 1 and isinstance(raw[0], list):
        return _one_object(raw[0]) if raw[0] and all(isinstance(each, dict) for each in raw[0]) else raw
    if not (isinstance(raw, list) and raw and all(isinstance(each, dict) and set(each) != {_B64} for each in raw)):
        return raw
    columns: dict[str, Any] = {}
    for each in raw:
        for name, values in each.items():
            if name in columns:
                raise RequestError(f"{COLUMNS} has the column {shown(name)} twice; send several rows as {INSTANCES}")
            columns[name] = values if isinstance(values, list) else [values]
    return columns


def _tensor(name: str, values: Any, where: str, texts: bool) -> Input:
    """A tensor from nested lists alone: their lengths are its shape, their values tell its datatype. `texts`: what the
    model takes where there is no value that tells. A value without a list is a scalar, and one row of a column."""
    values = _plain(values, where, 1)
    shape, first = [], values
    while isinstance(first, list):
        shape.append(len(first))
        first = first[0] if first else None
    datatype = _datatype(values if isinstance(values, list) else [values], texts)
    return Input(name, datatype, from_json(values, datatype, tuple(shape), where))


def _plain(value: Any, where: str, depth: int) -> Any:
    """With the texts that TensorFlow's clients send as {"b64": …}."""
    if depth > MAX_DIMENSIONS:
        raise RequestError(f"{where} is nested more than {MAX_DIMENSIONS} times")
    if isinstance(value, list):
        return [_plain(each, where, depth + 1) for each in value] if _has_objects(value) else value
    if isinstance(value, dict):
        if set(value) != {_B64} or not isinstance(value[_B64], str):
            raise RequestError(f"{where} has an object among its values: {shown(value)}")
        try:
            return base64.b64decode(value[_B64], validate=True).decode()
        except (binascii.Error, ValueError):
            raise RequestError(f"{where}: {shown(value[_B64])} is no text in base64") from None
    return value


def _has_objects(values: Sequence[Any]) -> bool:
    return any(isinstance(each, dict | list) for each in values)


def _datatype(values: Any, texts: bool) -> str:
    kinds: set[type] = set()
    waiting = [values]
    while waiting:
        found = waiting.pop()
        kinds |= set(map(type, found)) - {list}
        waiting += [each for each in found if isinstance(each, list)]
    if str in kinds or (texts and kinds <= {type(None)}):
        return "BYTES"
    if kinds == {bool}:
        return "BOOL"
    return "INT64" if kinds == {int} else "FP64"


def _nested(flat: Any, shape: Sequence[int]) -> Any:
    if len(shape) <= 1:
        return flat if len(shape) == 1 or not len(flat) else flat[0]
    if isinstance(flat, list):
        size = len(flat) // shape[0] if shape[0] else 0
        return [_nested(flat[at * size : (at + 1) * size], shape[1:]) for at in range(shape[0])]
    return flat.reshape(shape)


def _as_it_is(values: Any) -> Any:
    return values


def _dumped(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
