"""Requests and responses of the Open Inference Protocol, free of any transport.

https://github.com/kserve/open-inference-protocol. Failure: RequestError, which names the field and has an HTTP status.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelward_inference.runtimes.base import Array


class RequestError(Exception):
    """The client's mistake. `status`: of HTTP; `code`: a short label for the metric."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class OverloadedError(Exception):
    """Too many requests wait already; the client should come again."""


class DeadlineExceededError(Exception):
    """The client's time is up; nothing more is computed for it."""


@dataclass(frozen=True)
class Input:
    """One tensor as the client sent it. `exact`: it came in binary form, with the very type it names."""

    name: str
    datatype: str
    array: Array


@dataclass(frozen=True)
class WantedOutput:
    """An output that the client asked for. `binary`: None where it left the form to the request's parameter."""

    name: str
    binary: bool | None = None


@dataclass(frozen=True)
class InferRequest:
    """A decoded request. `outputs`: empty for all; `parameters`: of the whole request, as the client named them."""

    inputs: tuple[Input, ...]
    outputs: tuple[WantedOutput, ...] = ()
    id: str | None = None
    binary_output: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class InferResponse:
    """What the model said. `outputs`: in the order asked for."""

    model_name: str
    model_version: str
    outputs: dict[str, Array]
    id: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)
