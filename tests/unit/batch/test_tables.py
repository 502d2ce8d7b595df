"""Rows of a table: brought to the run's folder once, whoever is killed, and scored there by all pods."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression

from modelward_batch import progress, stores, tables
from modelward_batch.__main__ import main
from modelward_batch.errors import Incurable, Passing
from modelward_batch.stores import Output

from .worlds import Dying, Killed, World, bundle_of, lost_and_doubled

TABLE = {"url": "postgres://db.example.com/crm", "name": "customers", "schema": "sales"}


def frame(rows: int = 90) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame({"a": rng.normal(size=rows), "b": rng.normal(size=rows), "id": range(rows)})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = frame(200)
    return bundle_of(LogisticRegression().fit(rows[["a", "b"]], rows["a"] > 0), tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def world(bundle: Path, tmp_path: Path) -> World:
    """Two pods, and what the step before has left in the first one."""
    made = World(tmp_path, bundle, {"input": {"table": TABLE}}, pods=2)
    (tmp_path / "out").mkdir()
    leave(made, frame())
    return made


def leave(world: World, rows: pd.DataFrame) -> None:
    for number, part in enumerate(np.array_split(np.arange(len(rows)), 2)):
        each = pa.Table.from_pandas(rows.iloc[part], preserve_index=False)
        pq.write_table(each, world.root / f"rows-0000{number}.parquet", row_group_size=20)
    tell(world, files=["rows-00000.parquet", "rows-00001.parquet"])


def tell(world: World, **told: object) -> None:
    (world.root / "told.json").write_text(json.dumps(told))


def output_of(world: World) -> Output:
    return stores.output_of(f"{world.root}/out/", "r1", [world.root])


def never(_: float) -> None:
    raise AssertionError("it waits")


def test_pods_score_the_rows_that_the_first_has_brought(world: World) -> None:
    for index, place in ((0, str(world.root)), (1, "/nowhere")):
        assert main(["--allow", str(world.root)], world.environment(index) | {"TABLE_DIR": place}) == progress.DONE
    assert world.message(1)["complete"]
    found = world.answers().to_pydict()
    assert lost_and_doubled({"all": found["id"]}, list(range(90))) == (0, 0)
    plan = json.loads((world.run_folder / "_plan.json").read_bytes())
    assert plan["input"] == "table sales.customers of postgres://db.example.com/crm"


def test_who_reads_no_table_waits_for_who_does(world: World) -> None:
    output = output_of(world)
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            tables.rows_of(output, world.root, 0, never)

    snapshot = tables.rows_of(output, Path("/nowhere"), 1, sleep)
    assert len(waited) == 2
    assert [each.name for each in tables.opened(output, snapshot, [world.root]).files()] == list(snapshot.files)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_kill_at_any_write_leaves_one_snapshot(world: World, at: int, after: bool) -> None:
    """The pod that takes the place reads the table anew, which has other rows then."""
    output = output_of(world)
    with pytest.raises(Killed):
        tables.rows_of(Dying(output, at, after), world.root, 0, never)
    leave(world, frame(40))
    snapshot = tables.rows_of(output, world.root, 0, never)
    assert tables.rows_of(output, Path("/nowhere"), 1, never) == snapshot
    folder = world.run_folder / snapshot.folder
    whole = 90 if (at, after) == (3, True) else 40
    assert sum(len(pq.read_table(folder / name)) for name in snapshot.files) == whole
    assert len(tables.opened(output, snapshot, [world.root]).files()) == 2


def test_of_two_that_bring_rows_one_is_read(world: World) -> None:
    output = output_of(world)

    class Late:
        """It has looked before the other one's receipt was there."""

        uri = output.uri
        put, create = output.put, output.create
        looks = 0

        def get(self, name: str) -> bytes | None:
            self.looks += 1
            return None if self.looks == 1 else output.get(name)

    first = tables.rows_of(output, world.root, 0, never)
    assert tables.rows_of(Late(), world.root, 0, never) == first  # type: ignore[arg-type]


def test_where_the_rows_are_brought_the_database_may_be_away(world: World) -> None:
    output = output_of(world)
    first = tables.rows_of(output, world.root, 0, never)
    tell(world, problem="the database is away", passes=True)
    assert tables.rows_of(output, world.root, 0, never) == first


def test_what_went_wrong_before_is_this_pods_end(world: World) -> None:
    for passes, kind in ((True, Passing), (False, Incurable)):
        tell(world, problem="no column 'a'", passes=passes)
        with pytest.raises(kind, match="no column 'a'"):
            tables.rows_of(output_of(world), world.root, 0, never)


def test_a_column_of_another_type_is_refused_as_in_a_file(world: World) -> None:
    leave(world, frame().assign(a="x"))
    code = main(["--allow", str(world.root)], world.environment() | {"TABLE_DIR": str(world.root)})
    assert code == progress.INCURABLE
    assert "rows-00000.parquet: the column 'a' holds string, and the model takes" in world.message()["problem"]


def test_a_table_without_rows_is_told(world: World) -> None:
    leave(world, frame(0))
    code = main(["--allow", str(world.root)], world.environment() | {"TABLE_DIR": str(world.root)})
    assert code == progress.INCURABLE
    assert "table sales.customers of postgres://db.example.com/crm is empty" in world.message()["problem"]


@pytest.mark.parametrize("left", [None, b"{", b"[]", b'{"files": []}', b'{"files": ["../../etc/passwd"]}'])
def test_a_step_that_left_nothing_of_use_is_told(world: World, left: bytes | None) -> None:
    (world.root / "told.json").unlink()
    if left is not None:
        (world.root / "told.json").write_bytes(left)
    with pytest.raises(Passing, match="left nothing that can be used"):
        tables.rows_of(output_of(world), world.root, 0, never)


@pytest.mark.parametrize(
    "planted",
    [
        b"{", b"[]", b'{"attempt": "../../../secrets", "files": ["rows-00000.parquet"]}',
        b'{"attempt": "0123456789abcdef0123456789abcdef", "files": ["../../plan"]}',
    ],
)  # fmt: skip
def test_a_planted_receipt_names_no_other_folder(world: World, planted: bytes) -> None:
    output = output_of(world)
    output.put_bytes(tables.RECEIPT, planted)
    with pytest.raises(Incurable, match=r"_table\.json can't be read"):
        tables.rows_of(output, world.root, 0, never)


def test_a_file_that_a_pod_does_not_see_is_no_lost_row(world: World) -> None:
    output = output_of(world)
    snapshot = tables.rows_of(output, world.root, 0, never)
    (world.run_folder / snapshot.folder / snapshot.files[0]).unlink()
    with pytest.raises(Passing, match=r"has 1 files, and _table\.json names 2"):
        tables.opened(output, snapshot, [world.root])
