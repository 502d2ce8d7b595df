"""Runs over real models: the answers are the original library's own, each row once, whatever the file's form."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from modelward_batch.planning import Sizes
from unit.inference.models import case, customers

from .worlds import World, bundle_of

ROWS = 400


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Any:
    made: dict[str, Path] = {}

    def of(name: str) -> Path:
        if name not in made:
            made[name] = bundle_of(case(name).model, tmp_path_factory.mktemp("bundle"))
        return made[name]

    return of


def customers_with_ids() -> pd.DataFrame:
    frame, _ = customers()
    return frame.assign(id=[f"c{number:04d}" for number in range(len(frame))])


def table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


NAMED = ("columns by name", "columns by name, boosted", "columns by name, LightGBM")


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_answers_are_the_originals_own_and_stand_beside_their_keys(
    bundles: Any, tmp_path: Path, name: str, form: str
) -> None:
    world = World(tmp_path, bundles(name), pods=2, sizes=Sizes(rows=64, piece=2000, block=6000))
    frame = customers_with_ids()
    if form == "parquet":
        pq.write_table(table(frame), world.input / "a.parquet", row_group_size=150)
    else:
        frame.to_csv(world.input / "a.csv", index=False)
    told = world.all()
    found = world.answers().to_pandas().set_index("id")
    assert sorted(found.index) == sorted(frame["id"])
    model = case(name).model
    features = frame.drop(columns="id")
    assert (found.loc[frame["id"], "output.predict"].to_numpy() == model.predict(features)).all()
    wanted = model.predict_proba(features)
    for place in (0, 1):
        np.testing.assert_allclose(
            found.loc[frame["id"], f"output.predict_proba[{place}]"], wanted[:, place], atol=1e-5
        )
    assert told.complete
    assert world.manifest_of_run()["rows"] == ROWS
    assert len(world.parts()) > 2
    assert set(found["model_version"]) == {"7"}
    assert set(found["revision"]) == {"m-abc"}
    assert str(found["predicted_at"].dtype) == "datetime64[us, UTC]"
