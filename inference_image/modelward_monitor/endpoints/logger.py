"""KServe's logger: CloudEvents in binary mode, with the bodies of requests and of responses.

Nothing is paired: a request's event has the inputs, a response's the outputs, and each is counted when it comes. Unlike
the server's batches an event comes once, and is lost where the monitor dies within a second of it.
https://kserve.github.io/website/docs/model-serving/predictive-inference/logger
"""

from collections.abc import Collection, Mapping
from typing import Any, Final

import numpy as np
import orjson

from modelward_drift.profiles.reference import Side
from modelward_inference.artifact.arrays import DTYPES, Array
from modelward_inference.capture.wire import Batch
from modelward_inference.protocol.messages import RequestError
from modelward_inference.protocol.tensors import MAX_DIMENSIONS, from_json, kind_of, shown
from modelward_monitor.counting.arrivals import Arrival

KINDS: Final[Mapping[str, Side]] = {
    "org.kubeflow.serving.inference.request": "input",
    "org.kubeflow.serving.inference.response": "output",
}
"""CloudEvents' types, and the side of the model that they show."""

_V1: Final = {"input": "instances", "output": "predictions"}
_V2: Final = {"input": "inputs", "output": "outputs"}


def arrival(
    kind: str | None,
    body: bytes,
    tensors: Mapping[Side, tuple[str, ...]],
    features: Mapping[Side, Collection[str]] | None = None,
) -> Arrival:
    """`kind`: of the event; `tensors`: that features are in, by side; `features`: their names, which rows may have
    instead. Raises RequestError, with cause and cure."""
    side = KINDS.get(kind or "")
    if side is None:
        raise RequestError(f"ce-type is {shown(str(kind))!r}; this takes {', '.join(KINDS)}")
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(
            f"the event's body is not valid JSON: {error}; binary tensors can't be told from what the logger sends, "
            "so let clients send JSON"
        ) from None
    names = tensors.get(side, ())
    known = (features or {}).get(side, ())
    found = _read(document, side, names, known)
    if len(found) == 1 and len(names) == 1 and not known:  # whatever the other server calls it
        found = {names[0]: next(iter(found.values()))}
    rows = {len(each) if each.ndim else 1 for each in found.values()}
    if len(rows) > 1:
        raise RequestError(f"the tensors have different numbers of rows: {sorted(rows)}")
    columns = {name: each if each.ndim else each.reshape(1) for name, each in found.items()}
    inputs, outputs = (columns, {}) if side == "input" else ({}, columns)
    return Arrival(Batch("", 0, rows.pop(), inputs, outputs), sides=(side,))


def _read(document: Any, side: Side, names: tuple[str, ...], features: Collection[str]) -> dict[str, Array]:
    if isinstance(document, dict) and isinstance(document.get(_V1[side]), list):
        return _v1(document[_V1[side]], _V1[side], names, features)
    if isinstance(document, dict) and isinstance(document.get(_V2[side]), list):
        return _v2(document[_V2[side]], _V2[side])
    raise RequestError(f'the event\'s body is to have a list "{_V2[side]}" (V2) or "{_V1[side]}" (V1)')


def _v1(items: list[Any], where: str, names: tuple[str, ...], features: Collection[str]) -> dict[str, Array]:
    if not items:
        raise RequestError(f"{where} is empty")
    if not names:
        raise RequestError(f"{where}: neither a reference nor the bundle says which tensor this is")
    objects = sum(isinstance(each, dict) for each in items)
    if not objects:
        return {names[0]: _array(items)} if len(names) == 1 else {where: _array(items)}
    if objects < len(items):
        other = next(index for index, each in enumerate(items) if not isinstance(each, dict))
        raise RequestError(
            f"{where} mixes objects and other values: {where}[{other}] is {kind_of(items[other])}; send all rows in "
            "one form"
        )
    fields = dict.fromkeys(name for each in items for name in each)
    known = [name for name in fields if name in names] or [name for name in fields if name in features]
    if not known:
        told = ", ".join(map(shown, fields))[:300] or "none"
        expected = ", ".join(dict.fromkeys((*names, *features)))[:300]
        raise RequestError(f"{where}: the reference knows none of the rows' fields, which are {told}; send {expected}")
    return {name: _array([each.get(name) for each in items]) for name in known}


def _array(items: list[Any]) -> Array:
    """One value or one row of values each; rows of different lengths are wrong as a whole."""
    if all(isinstance(each, list) for each in items):
        widths = {len(each) for each in items}
        flat = [value for each in items for value in each]
        if len(widths) == 1 and not any(isinstance(value, list) for value in flat):
            return _objects(flat).reshape(len(items), widths.pop())
    return _objects(items)


def _objects(items: list[Any]) -> Array:
    if set(map(type, items)) == {float}:
        return np.asarray(items)
    array = np.empty(len(items), object)
    for index, each in enumerate(items):  # numpy would make more dimensions of lists
        array[index] = each
    return array


def _v2(items: list[Any], where: str) -> dict[str, Array]:
    if not items:
        raise RequestError(f"{where} is empty")
    found: dict[str, Array] = {}
    for index, each in enumerate(items):
        here = f"{where}[{index}]"
        if not isinstance(each, dict) or not isinstance(each.get("name"), str):
            raise RequestError(f"{here} must be an object with name, shape, datatype and data, not {kind_of(each)}")
        datatype, shape = each.get("datatype"), each.get("shape")
        if not isinstance(datatype, str) or datatype not in DTYPES:
            raise RequestError(f"{here}.datatype must be one of {', '.join(DTYPES)}, not {shown(datatype)}")
        if not isinstance(shape, list) or len(shape) > MAX_DIMENSIONS or not _whole(shape):
            raise RequestError(f"{here}.shape must be a list of whole numbers, such as [1, 30], not {shown(shape)}")
        if "data" not in each:
            raise RequestError(f"{here} has no data: binary tensors can't be read from events; let clients send JSON")
        if each["name"] in found:
            raise RequestError(f"{here}.name: {shown(each['name'])} occurs twice")
        found[each["name"]] = from_json(each["data"], datatype, tuple(shape), here)
    return found


def _whole(shape: list[Any]) -> bool:
    return all(type(size) is int and size >= 0 for size in shape)
