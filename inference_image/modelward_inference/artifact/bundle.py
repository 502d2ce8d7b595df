"""The bundle: a folder with a model and all that is known of it. docs/bundle.md describes it for users.

`model.json` is written last and by a rename: a bundle with it is complete, one without it does not exist.
"""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

from modelward_inference.artifact import validity
from modelward_inference.errors import BundleInvalid

_STRICT = {"strict": True, "extra": "forbid"}

SCHEMA_VERSION = 2
MANIFEST = "model.json"
GOLDEN = "golden.npz"
REFERENCE = "reference.json"
"""modelward_drift.profiles.reference.FILE, which it takes numpy to ask for."""

BESIDE = "modelward"
"""The folder in an MLflow model's where `log_model` puts what a saved bundle has beside the model."""

MAX_MANIFEST = 16 << 20
"""Bytes."""


@dataclass(frozen=True)
class Tensor:
    """One input or output. `datatype`: of the Open Inference Protocol; `shape`: -1 for a dimension of any size.

    `any_rank`: it may have any number of dimensions; the protocol has no word for that, and `shape` is then (-1,).
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    name: str
    datatype: str
    shape: tuple[int, ...]
    any_rank: bool = False


@dataclass(frozen=True)
class Signature:
    """What the model takes and gives."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


@dataclass(frozen=True)
class Compilation:
    """Which form of the model is served, and why.

    `form`: `compiled` (to ONNX) or `original`; `source_format`: of the artifact; `reason`: in one sentence; `fallback`:
    the same where the original is served because the compiled form could not be (None where speed or the user decided).
    `parity`: of the compiled form with the golden rows; `timings`: seconds a call, by form and number of rows.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    form: str
    source_format: str
    reason: str
    fallback: str | None = None
    parity: dict[str, Any] = field(default_factory=dict)
    timings: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """What the original model refuses in some columns of an input tensor, so that the server does.

    `kind`: `missing` (NaN), `infinite`, or `unknown`, where `known` has the categories that are taken; `columns`: in a
    row, flattened; `names`: of these columns at training, where the model knows them.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    tensor: str
    kind: str
    columns: tuple[int, ...]
    names: tuple[str, ...] = ()
    known: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Joining:
    """Whether rows of different requests may be computed together. `joins`: it was proven that this changes nothing;
    `reason`: what was tried, or what stands against it; `one_size`: whether all inputs' open first axes are one."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    joins: bool
    reason: str
    one_size: bool = True


@dataclass(frozen=True)
class Manifest:
    """model.json. `size` in bytes; `fetched_at` in RFC 3339, UTC; `libraries`: versions that read the model.

    A bundle that was saved at training has no `uri` and `fetched_at` yet, and the original model.

    `format` and `file`: of the form that is served; `digest` and `size`: of the artifact that was fetched.
    `classes`: what a classifier's labels are, in the order of its probabilities; `trained_with`: versions of libraries
    at training; `golden_rows`: how many golden rows are in golden.npz; `artifact_format`: what was fetched.
    `joining`: None where nothing was tried, and so nothing is joined; `refusals`: what the server refuses;
    `columns`: what the model's columns are called, in the order of training; empty where they have no names.
    `files`: `sha256:<hex>` of each other file that a server reads.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _STRICT
    name: str
    format: str
    file: str
    digest: str
    size: int
    uri: str
    fetched_at: str
    signature: Signature
    libraries: dict[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    artifact_format: str = ""
    classes: tuple[Any, ...] = ()
    trained_with: dict[str, str] = field(default_factory=dict)
    golden_rows: int = 0
    compilation: Compilation | None = None
    joining: Joining | None = None
    refusals: tuple[Refusal, ...] = ()
    columns: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def write(self, folder: Path) -> None:
        temporary = folder / f".{MANIFEST}.{os.getpid()}"
        temporary.write_text(json.dumps(dataclasses.asdict(self), indent=2))
        temporary.replace(folder / MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises BundleInvalid where there is no bundle, or one of another version."""
        path = folder / MANIFEST
        try:
            with path.open("rb") as handle:
                content = handle.read(MAX_MANIFEST + 1)
            if len(content) > MAX_MANIFEST:
                raise BundleInvalid(f"{path} has more than {MAX_MANIFEST} bytes; write the bundle anew")
            raw = json.loads(content)
        except FileNotFoundError:
            raise BundleInvalid(f"{path} does not exist; `fetch` has to run before `serve`") from None
        except (ValueError, RecursionError) as error:
            raise BundleInvalid(f"{path} is no JSON ({error}); delete the bundle, so that it is fetched anew") from None
        version = raw.get("schema_version") if isinstance(raw, dict) else None
        if version != SCHEMA_VERSION:
            raise BundleInvalid(
                f"{path} has schema version {version!r}, this image reads {SCHEMA_VERSION}; fetch and serve with the "
                "same image"
            )
        try:
            found: Self = validity.parse(content)  # type: ignore[assignment]
        except ValueError as error:
            raise BundleInvalid(f"{path} is not as a bundle's is: {error}. Write the bundle anew") from None
        return found


def signature_of(raw: Mapping[str, Any]) -> Signature:
    """From plain values, as in model.json and in the protocol's model metadata.

    Raises KeyError and TypeError where they are of another form, ValueError where they can be no model's.
    """
    inputs, outputs = (
        tuple(
            Tensor(each["name"], each["datatype"], tuple(each["shape"]), bool(each.get("any_rank", False)))
            for each in raw[side]
        )
        for side in ("inputs", "outputs")
    )
    signature = Signature(inputs, outputs)
    validity.check_signature(signature)
    return signature
