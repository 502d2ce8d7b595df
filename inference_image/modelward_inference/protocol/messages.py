"""Requests and responses of the Open Inference Protocol, free of any transport.

https://github.com/kserve/open-inference-protocol. Failure: RequestError, which names the field and has an HTTP status.
The classes of the hot path are not frozen: that would cost each request a few microseconds. Nobody changes them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelward_inference.artifact.arrays import Array


class RequestError(Exception):
    """The client's mistake. `status`: of HTTP."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def unknown_model(name: str, known: str) -> str:
    """Begins as Triton's own words do: clients look for them."""
    return f"Request for unknown model: there is no model {name!r} here; this server has {known!r}"


class ModelRefusedError(RequestError):
    """A request that the protocol allows and this model does not take. `by`: which of REFUSERS says so."""

    def __init__(self, message: str, by: str, status: int = 400) -> None:
        super().__init__(message, status)
        self.by = by


REFUSERS = ("signature", "model", "features")
"""The names, shapes and types that the model was saved with; the model itself, or a guard that stands for it; the rules
for features that the store does not have, or that are too old."""


class OverloadedError(Exception):
    """Too many requests wait already; the client should come again."""


class DeadlineExceededError(Exception):
    """The time that the request may take was over before the model began; nothing was computed."""


class UnavailableError(Exception):
    """What the model is to be given can't be had: not the model's fault, nor the client's. `status`: of HTTP, 503 or
    504; `again`: whether to come again in a second is likely to help."""

    def __init__(self, message: str, status: int, *, again: bool = False) -> None:
        super().__init__(message)
        self.status, self.again = status, again


@dataclass(slots=True)
class Input:
    """One tensor as the client sent it."""

    name: str
    datatype: str
    array: Array


@dataclass(slots=True)
class WantedOutput:
    """An output that the client asked for. `binary`: None where it left the form to the request's parameter."""

    name: str
    binary: bool | None = None


@dataclass(slots=True)
class InferRequest:
    """A decoded request. `outputs`: empty for all; `parameters`: as the client sent them, unknown ones too; `origin`:
    an Origin, where somebody wants to know whose it is. Of one whose features were looked up: `entities`: by which
    keys, (rows,) by tensor name; `told`: parameters of its answer."""

    inputs: tuple[Input, ...]
    outputs: tuple[WantedOutput, ...] = ()
    id: str | None = None
    binary_output: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)
    origin: Any = None
    entities: Mapping[str, Array] = field(default_factory=dict)
    told: Mapping[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Timing:
    """What became of a request. `queued`: seconds until the model began; `computed`: seconds of its batch in the model;
    `batch`: requests in that batch."""

    queued: float
    computed: float
    batch: int


@dataclass(slots=True)
class InferResponse:
    """What the model said. `outputs`: in the order asked for."""

    model_name: str
    model_version: str
    outputs: dict[str, Array]
    id: str | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    timing: Timing | None = None


LARGE = 5_000
"""Elements of an answer from which it takes some tenths of a millisecond to write."""


def is_large(response: InferResponse) -> bool:
    """Whether it is written in a thread."""
    return sum([array.size for array in response.outputs.values()]) > LARGE
