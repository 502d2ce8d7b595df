"""The schema that a pipeline makes of a champion's reference is read, and held against data, by a real pandera."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from foreign import environment
from modelward_drift.building.builder import profile_of
from modelward_drift.profiles.profile import Kind

TESTS = Path(__file__).parents[1]
STEPS = TESTS.parent / "examples/pipelines/steps"
ROWS = 400


def rows() -> pd.DataFrame:
    drawn = np.random.default_rng(0)
    return pd.DataFrame({
        "amount": drawn.uniform(0, 100, ROWS),
        "age": np.where(np.arange(ROWS) % 10 == 0, np.nan, drawn.uniform(18, 80, ROWS)),
        "city": drawn.choice(["Rome", "Oslo"], ROWS),
        "user": [f"u{each}" for each in range(ROWS)],
        "member": drawn.random(ROWS) < 0.5,
        "unasked": 1,
    })  # fmt: skip


def test_pandera_finds_each_fault_by_the_schema_of_a_reference(tmp_path: Path) -> None:
    data = rows()
    kinds: dict[str, Kind] = {
        "amount": "numeric", "age": "numeric", "city": "categorical", "user": "categorical", "member": "boolean",
    }  # fmt: skip
    profiles = [profile_of(name, kind, data[name].to_numpy(), levels=10) for name, kind in kinds.items()]
    (tmp_path / "schema.yaml").write_text(yaml.safe_dump(made(profiles)))
    changed: dict[str, Any] = {
        "as it is": {}, "another unit": {"amount": data["amount"] * 1000}, "a new city": {"city": "Bonn"},
        "gaps": {"amount": np.nan}, "words": {"age": "n/a"}, "new users": {"user": "somebody"},
        "no truths": {"member": "maybe"},
    }  # fmt: skip
    frames = {name: data.assign(**columns) for name, columns in changed.items()} | {"no age": data.drop(columns="age")}
    for name, frame in frames.items():
        frame.to_parquet(tmp_path / f"{name}.parquet")
    python = environment("panderaschema", TESTS / "panderaschema/requirements.lock") / "python"
    judged = subprocess.run(
        [python, TESTS / "panderaschema/judge.py", "schema.yaml", *(f"{name}.parquet" for name in frames)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": ""}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stderr[-3000:]
    found = {name: {(each[0], each[1].partition("(")[0]) for each in rules}
             for name, rules in zip(frames, json.loads(judged.stdout), strict=True)}  # fmt: skip
    assert found["as it is"] == found["new users"] == set(), "a column with more categories than have a cell is open"
    assert found["another unit"] == {("amount", "in_range")}
    assert found["a new city"] == {("city", "isin")}
    assert ("amount", "not_nullable") in found["gaps"]
    assert {column for column, _ in found["words"]} == {"age"}
    assert {column for column, _ in found["no truths"]} == {"member"}
    assert found["no age"] == {("age", "column_in_dataframe")}


def made(profiles: list[Any]) -> dict[str, Any]:
    """By the step, which finds the others beside it as in a pipeline."""
    sys.path.insert(0, str(STEPS))
    try:
        return dict(importlib.import_module("schema").document(profiles))
    finally:
        sys.path.remove(str(STEPS))
        for name in ("schema", "validate", "table"):
            sys.modules.pop(name, None)
