"""The plan of a run: which files it reads and which unit of work is whose, fixed once by whoever is first.

A unit is a row group of a Parquet file, or bytes of a CSV file. Pure, and without times: of the same files any pod
makes the same plan, byte by byte. Invariant: units are disjoint and cover all rows, in the order of the files.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final, Self

from modelward_batch.errors import Incurable
from modelward_batch.spec import Asked, Spec

SCHEMA: Final = 1

PLAN, MANIFEST, DRIFT = "_plan.json", "_manifest.json", "_drift.json"
UNITS, REJECTS, COUNTS = "_units/", "_rejects/", "_counts/"

MAX_UNITS: Final = 100_000
"""Their numbers have five digits."""


@dataclass(frozen=True)
class File:
    """`name`: below the input's address; `tag`: another one for other bytes; `rows`: None where only reading tells.
    Of CSV, `separator` and `header`: how its first line names columns."""

    name: str
    size: int
    tag: str
    format: str
    rows: int | None = None
    separator: str = ""
    header: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unit:
    """`file`: its place in the plan. `group`: of Parquet, the row group, `rows` its rows; of CSV the bytes from `begin`
    until before `end`."""

    number: int
    file: int
    group: int | None = None
    rows: int | None = None
    begin: int = 0
    end: int = 0

    @property
    def part(self) -> str:
        return f"part-{self.number:05d}.parquet"

    @property
    def rejects(self) -> str:
        return f"{REJECTS}{self.part}"

    @property
    def receipt(self) -> str:
        return f"{UNITS}{self.number:05d}.json"

    @property
    def counts(self) -> str:
        return f"{COUNTS}{self.number:05d}.json"


@dataclass(frozen=True)
class Plan:
    """`input`: the address that the files are below."""

    run: str
    input: str
    keys: tuple[str, ...]
    columns: dict[str, str]
    model: Asked
    files: tuple[File, ...]
    units: tuple[Unit, ...]

    @cached_property
    def content(self) -> bytes:
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1, sort_keys=True).encode()

    @cached_property
    def digest(self) -> str:
        return f"sha256:{hashlib.sha256(self.content).hexdigest()}"

    @property
    def rows(self) -> int | None:
        """Of all units; None where only reading tells."""
        found = [each.rows for each in self.units]
        return None if None in found else sum(each for each in found if each is not None)

    def of_pod(self, index: int, pods: int) -> tuple[Unit, ...]:
        return tuple(unit for unit in self.units if unit.number % pods == index)

    def where(self, unit: Unit) -> str:
        """How messages call a unit."""
        name = self.files[unit.file].name
        part = f"bytes {unit.begin} to {unit.end}" if unit.group is None else f"row group {unit.group}"
        return f"{name}, {part}"

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Raises Incurable."""
        try:
            raw: dict[str, Any] = json.loads(content)
            if raw.pop("schema") != SCHEMA:
                raise Incurable(
                    f"{PLAN} is of another version of Modelward; give the run another name, or delete its folder"
                )
            found = cls(
                run=raw["run"], input=raw["input"], keys=tuple(raw["keys"]), columns=dict(raw["columns"]),
                model=Asked(**raw["model"]),
                files=tuple(File(**{**each, "header": tuple(each["header"])}) for each in raw["files"]),
                units=tuple(Unit(**each) for each in raw["units"]),
            )  # fmt: skip
            _check_places(found)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Incurable(f"{PLAN} can't be read ({error!r:.200}); delete the run's folder, and begin anew") from None
        return found


def _check_places(plan: Plan) -> None:
    """Whoever writes to the output may have written a plan, and names no file of the pod by it. Raises ValueError."""
    for file in plan.files:
        if "\0" in file.name or any(part in ("", ".", "..") for part in file.name.split("/")):
            raise ValueError(f"{file.name!r:.100} is no file below the input")
    for unit in plan.units:
        if not 0 <= unit.file < len(plan.files) or type(unit.number) is not int or unit.number < 0:
            raise ValueError(f"{unit!r:.100} is no unit of a file of the plan")


def made(spec: Spec, files: Sequence[File], units: Sequence[Unit]) -> Plan:
    """Raises Incurable where there is nothing to do, or too much."""
    if not units:
        what = "its files have no row" if files else "there is no file at it"
        raise Incurable(f"the input {spec.input} is empty: {what}; check input.uri, and that it was written before")
    if len(units) > MAX_UNITS:
        raise Incurable(
            f"the input has {len(units)} row groups and files, and a run may have {MAX_UNITS}; write fewer and larger "
            "ones (a row group of some ten MB), or split the input into several runs"
        )
    return Plan(spec.run, spec.input, spec.keys, dict(spec.columns), spec.model, tuple(files), tuple(units))


def check(plan: Plan, spec: Spec) -> None:
    """Raises Incurable where a run of that name was begun that is another one."""
    pairs = (
        ("input.uri", plan.input, spec.input), ("keys", plan.keys, spec.keys),
        ("columns", plan.columns, dict(spec.columns)),
        ("model.digest", plan.model.digest, spec.model.digest or plan.model.digest),
        ("model.version", plan.model.version, spec.model.version or plan.model.version),
    )  # fmt: skip
    for name, was, now in pairs:
        if was != now:
            raise Incurable(
                f"the run {spec.run} was begun with {name} {was!r:.200}, and is asked for {now!r:.200} now; give the "
                f"run another name, or delete its folder below {spec.output}"
            )
