"""What a batch is asked for: MODELWARD_BATCH, as the operator writes it, and the pod's own number.

Fields that are not known here are left alone: an operator may be newer than the image. Failure: Incurable, with the
field's name.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from modelward_batch.errors import Incurable

VARIABLE: Final = "MODELWARD_BATCH"
PODS: Final = "MODELWARD_BATCH_PODS"
INDEX: Final = "JOB_COMPLETION_INDEX"

PARQUET, CSV = "parquet", "csv"
FORMATS: Final = (PARQUET, CSV)

_RUN: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,199}")
"""It becomes a folder's name below the output's, and no other: no slash, no dot at the beginning."""


@dataclass(frozen=True)
class Asked:
    """The model that a run is made with. `version`: as its users call it, else the beginning of its digest; `digest`:
    empty where nobody knew it before the model was there: that of the pod that plans holds for all of them then."""

    name: str
    version: str
    revision: str
    uri: str
    digest: str

    def of(self, digest: str) -> Self:
        """With the digest that the model which is there has. Raises Incurable where it is another one."""
        if self.digest and self.digest != digest:
            raise Incurable(
                f"the pod has the model {digest}, and the run is of {self.digest}; let it begin anew with the model "
                "that is there, under another name"
            )
        return replace(self, digest=digest, version=self.version or digest.removeprefix("sha256:")[:12])


@dataclass(frozen=True)
class Spec:
    """`input`, `output`: addresses, the latter's ends in `/`; `format`: None: by each file's ending; `keys`: columns
    of the input that name a row, and stand beside its prediction; `columns`: a column of the input by what the model
    calls it, where that differs; `max_rejected_share`: of all rows, 0 to 1; `pods`: of the run; `index`: this pod's,
    from 0; `drift`: the rules by which the rows are judged, as in a DriftPolicy's spec, None: nobody asks; `of_table`:
    whether `input` is no address but says which table the rows are of (tables.py)."""

    run: str
    input: str
    format: str | None
    output: str
    keys: tuple[str, ...]
    columns: Mapping[str, str]
    max_rejected_share: float
    model: Asked
    pods: int = 1
    index: int = 0
    drift: Mapping[str, Any] | None = None
    of_table: bool = False


def load(environment: Mapping[str, str] = os.environ) -> Spec:
    """Raises Incurable."""
    text = environment.get(VARIABLE, "")
    if not text:
        raise Incurable(f"{VARIABLE} is not set; it has the run as JSON, see docs/batch-output.md")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Incurable(f"{VARIABLE} is no JSON ({error}); write it as docs/batch-output.md says") from None
    whole = _object(raw, VARIABLE)
    source, target, model = (_object(whole.get(name), name) for name in ("input", "output", "model"))
    pods = _whole(environment, PODS, "1", 1)
    index = _whole(environment, INDEX, "0", 0)
    if index >= pods:
        raise Incurable(f"{INDEX} is {index}, and there are {pods} pods ({PODS}); it counts from 0")
    return Spec(
        run=_run(_text(whole, "run")),
        input=_input(source),
        format=_format(source.get("format")),
        output=_output(_text(target, "uri", "output.")),
        keys=_keys(whole.get("keys")),
        columns=_columns(whole.get("columns")),
        max_rejected_share=_share(whole.get("maxRejectedShare", 0)),
        model=Asked(
            name=_text(model, "name", "model."),
            version=str(model.get("version") or ""),
            revision=str(model.get("revision") or ""),
            uri=str(model.get("uri") or ""),
            digest=str(model.get("digest") or ""),
        ),
        pods=pods,
        index=index,
        drift=None if whole.get("drift") is None else _object(whole["drift"], "drift"),
        of_table="table" in source,
    )


def _input(source: Mapping[str, Any]) -> str:
    """The address of files, or how messages and the plan call a table."""
    if "table" not in source:
        return _text(source, "uri", "input.")
    if source.get("uri") or source.get("format"):
        raise Incurable("input has a table and uri or format; write a table, or the address of files")
    table = _object(source["table"], "input.table")
    url, name = (_text(table, each, "input.table.") for each in ("url", "name"))
    schema = table.get("schema")
    return f"table {f'{schema}.' if schema else ''}{name} of {url}"


def _object(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Incurable(f"{where} is {_shown(value)}; it has to be an object")
    return value


def _text(raw: Mapping[str, Any], name: str, of: str = "") -> str:
    value = raw.get(name)
    if not isinstance(value, str) or not value:
        raise Incurable(f"{of}{name} is {_shown(value)}; it has to be a text")
    return value


def _run(name: str) -> str:
    if not _RUN.fullmatch(name):
        raise Incurable(
            f"run is {_shown(name)}; it names a folder of the output: letters, digits, dots, underscores and hyphens, "
            "200 at most, the first a letter or a digit"
        )
    return name


def _format(value: Any) -> str | None:
    if value not in (None, "", *FORMATS):
        raise Incurable(f"input.format is {_shown(value)}; set it to {' or '.join(FORMATS)}, or leave it out")
    return value or None


def _output(uri: str) -> str:
    if not uri.endswith("/"):
        raise Incurable(f"output.uri is {_shown(uri)}; it names a folder: end it with a slash")
    return uri


def _keys(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not value or not all(isinstance(each, str) and each for each in value):
        raise Incurable(
            f"keys is {_shown(value)}; name at least one column of the input that tells rows apart: without one no "
            "prediction can be found again"
        )
    if len(set(value)) != len(value):
        raise Incurable(f"keys is {_shown(value)}; name each column once")
    return tuple(value)


def _columns(value: Any) -> dict[str, str]:
    found = {} if value is None else _object(value, "columns")
    for name, column in found.items():
        if not isinstance(column, str) or not column:
            raise Incurable(f"columns.{name} is {_shown(column)}; it has to be the name of a column of the input")
    return found


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Incurable(f"maxRejectedShare is {_shown(value)}; set it to a number from 0 to 1, such as 0.01")
    return float(value)


def _whole(environment: Mapping[str, str], name: str, default: str, least: int) -> int:
    text = environment.get(name, default)
    if not (text.isascii() and text.isdecimal()) or int(text) < least:
        raise Incurable(f"{name} is {_shown(text)}; set it to a whole number, {least} or more")
    return int(text)


def _shown(value: Any) -> str:
    return f"{value!r:.100}"
