"""What the page is made of, from files. Raises InvalidConfiguration, which names the file, the place and the cure."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np

from modelward_drift.counting.counting import count_table
from modelward_drift.counting.counts import Counts, zero
from modelward_drift.errors import DriftError
from modelward_drift.profiles.profile import Kind
from modelward_drift.profiles.reference import OUTPUT_PREFIX, Reference
from modelward_inference.artifact.arrays import Array
from modelward_inference.drift_report.findings import Window
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference.numerals import Notation, notations, number
from modelward_inference.reference.source import open_source
from modelward_inference.reference.types import NULLS

_TRUTHS: Final = {"true": 1.0, "false": 0.0}


def read_reference(path: Path) -> Reference:
    try:
        return Reference.from_dict(_json(path, path.read_text()))
    except DriftError as error:
        raise InvalidConfiguration(f"{path}: {error}") from None


def read_windows(path: Path, reference: Reference) -> tuple[Window, ...]:
    """JSON lines, one a window: {"start", "end", "digest", "counts": [Counts.to_dict(), …]}, in any order of time."""
    found = []
    for place, line in enumerate(path.read_text().splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {place}"
        raw = _json(where, line)
        try:
            if raw["digest"] != reference.digest:
                raise InvalidConfiguration(
                    f"{where}: the window was counted against the reference {raw['digest']}, not against "
                    f"{reference.digest}; give the reference of these windows"
                )
            counts = tuple(
                Counts.from_dict(each, profile) for each, profile in zip(raw["counts"], reference.profiles, strict=True)
            )
            found.append(Window(counts, float(raw["start"]), float(raw["end"])))
        except (KeyError, TypeError, ValueError) as error:  # DriftError is a ValueError
            raise InvalidConfiguration(f"{where} is no window: {type(error).__name__}: {error}") from None
    if not found:
        raise InvalidConfiguration(f"{path} has no window; give it one a line")
    return tuple(sorted(found, key=lambda each: each.end or 0.0))


def read_data(path: Path, reference: Reference, warn: Callable[[str], None] | None = None) -> Window:
    """A table as one window, its columns found by the features' names; of a matrix without names, by their places.
    Features that it does not have are null in all rows, but for outputs: a table of inputs has none. `warn`: gets what
    was not taken as it may have been meant, in words."""
    kinds = {each.name: each.profile.kind for each in reference.features}
    texts = {each.name for each in reference.features if each.profile.texts}
    source = open_source(path, texts=texts.__contains__)
    total = [zero(profile) for profile in reference.profiles]
    for chunk in source.chunks():
        table = chunk.table
        columns = table if isinstance(table, Mapping) else _by_place(np.asarray(table), reference)
        typed = {name: _typed(columns[name], kind) for name, kind in kinds.items() if name in columns}
        if not typed:
            names = ", ".join(kinds)[:500]
            raise InvalidConfiguration(f"{path} has no column of the reference; it needs {names}")
        counts = count_table(reference.profiles, typed, chunk.rows)
        total = [before + more for before, more in zip(total, counts, strict=True)]
    if warn is not None:
        for note in source.notes:
            warn(note)
    return Window(tuple(total))


def without_absent_outputs(window: Window, reference: Reference) -> frozenset[str]:
    """Outputs that a table did not have: they are not judged."""
    return frozenset(
        each.name
        for each, counts in zip(reference.features, window.counts, strict=True)
        if each.name.startswith(OUTPUT_PREFIX) and counts.rows == counts.cells[-1]
    )


def _json(where: object, text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InvalidConfiguration(f"{where} is no JSON: {error}") from None


def _by_place(matrix: Array, reference: Reference) -> dict[str, Array]:
    rows = matrix.reshape(len(matrix), -1) if matrix.ndim else matrix.reshape(1, 1)
    inputs = [each for each in reference.features if each.side == "input"]
    if rows.shape[1] != len(inputs):
        raise InvalidConfiguration(f"the table has {rows.shape[1]} columns, the reference {len(inputs)} inputs")
    return {each.name: rows[:, place] for place, each in enumerate(inputs)}


def _typed(column: Array, kind: Kind) -> Array:
    """Texts of a CSV as what the feature is; what can't be read stays a text, and is counted as a type error."""
    if column.dtype.kind not in "UO" or kind not in ("numeric", "boolean"):
        return column
    texts = column.tolist()
    found = [notations(each) for each in texts if isinstance(each, str)]
    most = max(Notation, key=lambda notation: sum(notation in each for each in found))  # PLAIN is the first of equals
    values = np.empty(len(column), object)
    values[:] = [_number(value, most) for value in texts]
    return values


def _number(text: Any, notation: Notation) -> Any:
    if not isinstance(text, str):
        return text
    if text.strip() in NULLS:
        return None
    try:
        return _TRUTHS[text.lower()] if text.lower() in _TRUTHS else number(text, notation)
    except ValueError:
        return text
