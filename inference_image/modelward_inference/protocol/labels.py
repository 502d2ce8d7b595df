"""Parameters of other servers' clients that change what a tensor means: obeyed, or refused by name, never ignored.

MLServer's `content_type` says how values are to be read, Triton's `classification` how they are to be answered.
Failure: RequestError, which names the parameter and the cure.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.protocol.messages import RequestError
from modelward_inference.protocol.tensors import shown

CONTENT_TYPE, CLASSIFICATION = "content_type", "classification"

PLAIN = ("np", "pd", "str")
"""Content types by which the values stand for themselves."""

_BASE64 = "base64"


def read(array: Array, parameters: Mapping[str, Any], where: str) -> Array:
    """An input's values as its label says they are meant."""
    label = parameters.get(CONTENT_TYPE)
    if label == _BASE64:
        return _decoded(array, where)
    _check(label, where)
    return array


def check(parameters: Mapping[str, Any], where: str) -> None:
    """Of a request or an output."""
    _check(parameters.get(CONTENT_TYPE), where)
    if parameters.get(CLASSIFICATION):
        raise RequestError(
            f"{where}.{CLASSIFICATION}: classes are not ranked here (class_count); ask for predict_proba and take "
            "the largest"
        )


def _check(label: Any, where: str) -> None:
    if label is not None and label not in PLAIN:
        raise RequestError(
            f"{where}.{CONTENT_TYPE} is {shown(label)!r}, which this server does not read; send plain values, with "
            f"{', '.join(PLAIN)} or without it"
        )


def _decoded(array: Array, where: str) -> Array:
    if array.dtype.kind != "O":
        raise RequestError(f"{where}.{CONTENT_TYPE} is base64, which only a BYTES tensor can hold")
    found = np.empty(array.size, dtype=object)
    for index, each in enumerate(array.ravel()):
        try:
            raw = base64.b64decode(each, validate=True)
        except (binascii.Error, ValueError, TypeError):
            raise RequestError(f"{where}: element {index} is no base64 text: {shown(each)}") from None
        try:
            found[index] = raw.decode()
        except UnicodeDecodeError:
            found[index] = raw
    return found.reshape(array.shape)
