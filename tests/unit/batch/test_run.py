"""Runs over real models: the answers are the original library's own, each row once, whatever the file's form."""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelward_batch import parquetfile, stores
from modelward_batch.errors import FileChanged, Incurable
from modelward_batch.layout import Feature, Filled, Layout
from modelward_batch.plan import Unit
from modelward_batch.planning import Sizes
from modelward_batch.run import Loaded
from modelward_batch.values import kind_of
from modelward_inference.artifact.bundle import Tensor
from unit.inference.models import TEXTS, case, customers

from .worlds import World, bundle_of

Bundles = Callable[[str], Path]

SMALL = Sizes(rows=64, piece=2000, block=6000)
BY_NAME = "columns by name"


def customers_with_ids() -> pd.DataFrame:
    frame, _ = customers()
    return frame.assign(id=[f"c{number:04d}" for number in range(len(frame))])


def table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


@pytest.fixture
def world(bundles: Bundles, tmp_path: Path) -> World:
    """A run over a table of customers in three row groups, by two pods."""
    made = World(tmp_path, bundles(BY_NAME), pods=2, sizes=SMALL)
    pq.write_table(table(customers_with_ids()), made.input / "a.parquet", row_group_size=150)
    return made


@pytest.mark.parametrize("name", [BY_NAME, "columns by name, boosted", "columns by name, LightGBM"])
@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_answers_are_the_originals_own_and_stand_beside_their_keys(
    bundles: Bundles, tmp_path: Path, name: str, form: str
) -> None:
    world = World(tmp_path, bundles(name), pods=2, sizes=SMALL)
    frame = customers_with_ids()
    if form == "parquet":
        pq.write_table(table(frame), world.input / "a.parquet", row_group_size=150)
    else:
        frame.to_csv(world.input / "a.csv", index=False)
    told = world.all()
    found = world.answers().to_pandas().set_index("id")
    assert sorted(found.index) == sorted(frame["id"])
    model, features = case(name).model, frame.drop(columns="id")
    assert (found.loc[frame["id"], "output.predict"].to_numpy() == model.predict(features)).all()
    wanted = model.predict_proba(features)
    for place in (0, 1):
        answers = found.loc[frame["id"], f"output.predict_proba[{place}]"]
        np.testing.assert_allclose(answers, wanted[:, place], atol=1e-5)
    assert told.complete
    assert len(world.parts()) > 2
    assert set(found["model_version"]) == {"7"}
    assert set(found["revision"]) == {"m-abc"}
    assert str(found["predicted_at"].dtype) == "datetime64[us, UTC]"


def test_what_a_run_writes_and_what_it_tells(world: World) -> None:
    first = world.run(0)
    assert (first.rows, first.units, first.complete) == (250, 2, False)
    assert not (world.run_folder / "_manifest.json").exists()
    second = world.run(1)
    assert (second.rows, second.rejected, second.units, second.complete) == (150, 0, 1, True)
    names = sorted(path.relative_to(world.run_folder).as_posix() for path in world.run_folder.rglob("*.*"))
    assert names == [
        "_manifest.json", "_plan.json", "_units/00000.json", "_units/00001.json", "_units/00002.json",
        "part-00000.parquet", "part-00001.parquet", "part-00002.parquet",
    ]  # fmt: skip
    plan = (world.run_folder / "_plan.json").read_bytes()
    document = world.manifest_of_run()
    assert (document["rows"], document["rejected"], document["rejects"]) == (400, 0, [])
    assert document["model"]["digest"] == world.manifest.digest
    assert document["plan"] == json.loads((world.run_folder / "_units/00001.json").read_bytes())["plan"]
    assert [unit["rows"] for unit in json.loads(plan)["units"]] == [150, 150, 100]
    assert pq.read_schema(world.parts()[0]).metadata[b"modelward.plan"] == document["plan"].encode()


def test_a_complete_run_that_is_repeated_does_nothing_and_tells_the_same(world: World) -> None:
    told = [world.run(index) for index in (0, 1)]
    before = {path: path.stat().st_mtime_ns for path in world.run_folder.rglob("*")}

    def load() -> Any:
        raise AssertionError("the model is not needed")

    again = [world.run(index, load=load) for index in (0, 1)]
    assert [each.rows for each in again] == [each.rows for each in told]
    assert all(each.complete for each in again)
    assert {path: path.stat().st_mtime_ns for path in world.run_folder.rglob("*")} == before


def test_other_numbers_of_pods_go_on_with_what_there_is(world: World) -> None:
    world.run(0)
    world.pods = 5
    assert sum(world.run(index).units for index in range(5)) == 3
    assert len(world.answers()) == 400


@pytest.mark.parametrize(
    "name",
    ["logistic regression with names", "forest for two targets", "XGBoost", "histogram boosting regressor", "SVR"],
)
def test_columns_without_names_are_taken_in_their_order(bundles: Bundles, tmp_path: Path, name: str) -> None:
    world = World(tmp_path, bundles(name))
    rows = case(name).rows
    frame = pd.DataFrame(rows, columns=[f"c{place}" for place in range(rows.shape[1])])
    pq.write_table(table(frame.assign(id=range(len(frame)))), world.input / "a.parquet")
    world.run()
    found = world.answers().to_pandas()
    wanted = np.asarray(case(name).model.predict(rows)).reshape(len(rows), -1)
    names = [each for each in found if each == "output.predict" or each.startswith("output.predict[")]
    if wanted.dtype.kind == "f":
        np.testing.assert_allclose(found[names].to_numpy(), wanted, rtol=2e-4, atol=1e-4)
    else:
        assert (found[names].to_numpy() == wanted).all()


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_columns_without_names_have_one_order_in_all_files(bundles: Bundles, tmp_path: Path, form: str) -> None:
    world = World(tmp_path, bundles("logistic regression with names"))
    rows = pd.DataFrame(case("logistic regression with names").rows, columns=list("abcd"))
    for name, columns in (("1", "abcd"), ("2", "abdc")):
        frame = rows[list(columns)].assign(id=range(len(rows)))
        if form == "csv":
            frame.to_csv(world.input / f"{name}.csv", index=False)
        else:
            pq.write_table(table(frame), world.input / f"{name}.parquet")
    with pytest.raises(
        Incurable, match=rf"2.{form} has the columns 'a', 'b', 'd', 'c', and 1.{form} has 'a', 'b', 'c'"
    ):
        world.run()
    named = world.but(columns={f"input[{place}]": name for place, name in enumerate("abcd")})
    named.run()
    wanted = case("logistic regression with names").model.predict(rows.to_numpy()).tolist()
    assert named.answers()["output.predict"].to_pylist() == 2 * wanted


def test_lists_and_mapped_columns_fill_a_tensor_without_names(bundles: Bundles, tmp_path: Path) -> None:
    world = World(tmp_path, bundles("logistic regression with names"))
    rows = case("logistic regression with names").rows
    pq.write_table(pa.table({"id": range(len(rows)), "measured": rows.tolist(), "more": ["x"] * len(rows)}),
                   world.input / "a.parquet")  # fmt: skip
    wanted = case("logistic regression with names").model.predict(rows).tolist()
    world.but(columns={"input": "measured"}).run()
    assert world.answers()["output.predict"].to_pylist() == wanted
    other = World(tmp_path / "other", world.bundle)
    data = {f"m{place}": rows[:, place] for place in (3, 2, 1, 0)}
    pq.write_table(pa.table({"id": range(len(rows)), **data}), other.input / "a.parquet")
    other.but(columns={f"input[{place}]": f"m{place}" for place in range(4)}).run()
    assert other.answers()["output.predict"].to_pylist() == wanted


def test_texts_are_scored_from_csv_with_quotes_and_line_ends_in_them(bundles: Bundles, tmp_path: Path) -> None:
    texts = [f'{text},\n"{number}"' for number, text in enumerate(TEXTS)]
    world = World(tmp_path, bundles("texts"), sizes=Sizes(rows=7, piece=100, block=300))
    pd.DataFrame({"key": range(len(texts)), "said": texts}).to_csv(world.input / "a.csv", index=False, sep=";")
    world.asked = {"keys": ["key"], "columns": {"input": "said"}}
    world.run()
    assert len(world.parts()) > 3
    found = world.answers()
    assert found["key"].to_pylist() == [str(number) for number in range(len(texts))]
    assert found["output.predict"].to_pylist() == case("texts").model.predict(texts).tolist()


@pytest.mark.parametrize("piece", [16, 1 << 20])
def test_a_mark_of_byte_order_is_none_where_a_row_begins(bundles: Bundles, tmp_path: Path, piece: int) -> None:
    """A key that begins with one is the same wherever pieces of the file do."""
    world = World(tmp_path, bundles(BY_NAME), sizes=Sizes(piece=piece))
    keys = [f"\ufeffk{place}" for place in range(10)]
    customers_with_ids()[:10].assign(id=keys)[["id", "age", "income", "city", "plan"]].to_csv(
        world.input / "a.csv", index=False, encoding="utf-8-sig"
    )
    world.run()
    assert world.answers()["id"].to_pylist() == keys


def test_a_folder_is_read_with_its_folders_and_without_hidden_files(world: World) -> None:
    frame = customers_with_ids()
    more = world.input / "day=1"
    more.mkdir()
    (world.input / "_temporary").mkdir()
    (world.input / "_SUCCESS").write_text("")
    (world.input / "_temporary/half.parquet").write_text("no parquet")
    (world.input / ".crc").write_text("x")
    frame.assign(id="d" + frame["id"]).to_csv(more / "b.csv", index=False)
    assert world.all().complete
    assert len(set(world.answers()["id"].to_pylist())) == 800


def test_the_size_of_a_batch_counts_columns_that_have_dots_in_their_names(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    count = 400
    rows = {"id": range(count), "pixels.left": [[float(each)] * 9000 for each in range(count)], "other": ["x"] * count}
    pq.write_table(pa.table(rows), path, use_dictionary=False)
    tensor = Tensor("x", "FP64", (-1, 9000))
    layout = Layout((Filled(tensor, (Feature("x", "pixels.left", "FP64", (9000,)),)),), ("id",))
    with path.open("rb") as opened:
        file, _, groups = parquetfile.looked_at(opened, "a.parquet", path.stat().st_size, "t")
        found = list(parquetfile.batches(opened, file, Unit(0, 0, 0, groups[0]), layout, 8192))
    assert sum(each.num_rows for each in found) == count
    assert max(each.nbytes for each in found) < 1.1 * parquetfile.BATCH_BYTES


def test_one_file_is_an_input(world: World) -> None:
    (world.input / "b.parquet").write_text("another one's")
    world.but(input={"uri": f"file://{world.input}/a.parquet"}, output={"uri": f"{world.input}/out/"}).run()
    assert len(list((world.input / "out/r1").glob("part-*"))) == 2


REFUSED = {3: "missing", 170: "too large", 399: "infinite"}


@pytest.mark.parametrize("form", ["parquet", "csv"])
def test_rows_that_the_model_refuses_are_put_aside_with_their_reasons(tmp_path: Path, form: str) -> None:
    rows, labels = load_breast_cancer(return_X_y=True)
    names = [f"c{place}" for place in range(30)]
    model = RandomForestClassifier(5, random_state=0).fit(pd.DataFrame(rows, columns=names), labels)
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(pd.DataFrame(rows, columns=names), labels)
    for kind, each in (("forest", model), ("linear", linear)):
        world = World(tmp_path / kind, bundle_of(each, tmp_path / f"made-{kind}"), sizes=SMALL)
        frame = pd.DataFrame(rows[:400], columns=names).assign(id=range(400))
        frame.loc[170, "c7"], frame.loc[399, "c7"] = 1e300, np.inf
        frame.loc[3, "c0"] = np.nan
        refused = []
        for number in REFUSED:
            try:
                with np.errstate(over="ignore"):
                    each.predict(frame.loc[[number], names])
            except ValueError:
                refused.append(number)
        assert len(refused) >= 2
        if form == "parquet":
            pq.write_table(table(frame), world.input / "a.parquet", row_group_size=100)
        else:
            frame.to_csv(world.input / "a.csv", index=False)
        world.asked = {"maxRejectedShare": 0.01}
        told = world.run()
        assert (told.rows, told.rejected) == (400, len(refused))
        reasons = {int(key): reason for key, reason in world.rejects().items()}
        assert sorted(reasons) == refused
        assert all(f"is {REFUSED[number]}" in reason for number, reason in reasons.items())
        good = frame.drop(index=refused)
        found = world.answers().to_pandas()
        assert found["id"].astype(int).tolist() == good["id"].tolist()
        assert (found["output.predict"].to_numpy() == each.predict(good[names])).all()


def test_values_of_csv_that_are_none_are_put_aside(world: World) -> None:
    (world.input / "a.parquet").unlink()
    lines = ["id,age,income,city,plan", "a,30,1e4,Rome,a", "NA,thirty,1e4,Rome,a", "c,31,,Oslo,NA", "d,1_0,1,Rome,b"]
    (world.input / "a.csv").write_text("\n".join(lines))
    world.but(maxRejectedShare=0.5).run()
    assert world.rejects() == {
        "NA": "the column 'age' has 'thirty', which is no number",
        "d": "the column 'age' has '1_0', which is no number",
    }
    frame = pd.DataFrame({"age": [30.0, 31], "income": [1e4, np.nan], "city": ["Rome", "Oslo"], "plan": ["a", np.nan]})
    assert world.answers()["output.predict"].to_pylist() == case(BY_NAME).model.predict(frame).tolist()


def broken(world: World, **columns: Any) -> None:
    frame = customers_with_ids().assign(**columns)
    pq.write_table(table(frame), world.input / "b.parquet")


TROUBLE: dict[str, tuple[Callable[[World], None], str]] = {
    "no column": (
        lambda world: pq.write_table(table(customers_with_ids().drop(columns="age")), world.input / "b.parquet"),
        r"b.parquet has no column 'age', which the model takes; .*columns",
    ),
    "no key": (
        lambda world: pq.write_table(table(customers_with_ids().drop(columns="id")), world.input / "b.parquet"),
        r"b.parquet has no column 'id', which keys names",
    ),
    "texts for numbers": (
        lambda world: broken(world, age="old"),
        r"b.parquet: the column 'age' holds (large_)?string, and the model takes FP64",
    ),
    "numbers for texts": (lambda world: broken(world, city=7), "'city' holds int64, and the model takes BYTES"),
    "times": (lambda world: broken(world, income=pd.Timestamp(0)), "'income' holds timestamp"),
    "texts for numbers in CSV": (
        lambda world: customers_with_ids().assign(age="old").to_csv(world.input / "b.csv", index=False),
        "b.csv: the column 'age' holds none of the FP64 that the model takes, but 'old'",
    ),
    "a key of another type": (
        lambda world: broken(world, id=range(len(customers_with_ids()))),
        "b.parquet has the key 'id' as whole numbers, and a.parquet as texts; write all files with one type",
    ),
    "no Parquet": (lambda world: (world.input / "b.parquet").write_text("PAR1"), "b.parquet: it can't be read"),
    "an empty file": (lambda world: (world.input / "b.parquet").write_text(""), "b.parquet is an empty file"),
    "another ending": (lambda world: (world.input / "b.xlsx").write_text("x"), "b.xlsx is neither .parquet nor"),
    "no names": (
        lambda world: (world.input / "b.csv").write_text("1,2,3\n4,5,6\n"), "b.csv, line 1: 1, 2, 3 are numbers",
    ),
    "no UTF-8": (lambda world: (world.input / "b.csv").write_bytes(b"\xff,a\n1,2\n"), "b.csv: its first line is no"),
    "line ends of old": (
        lambda world: (world.input / "b.csv").write_bytes(b"id,a\r1,2\r"), "b.csv: its first line can't be read as CSV",
    ),
    "a huge name": (
        lambda world: (world.input / "b.csv").write_text(f"id,{'a' * 200_000}\n1,2\n"),
        "b.csv: its first line can't be read as CSV: field larger than field limit",
    ),
    "a name twice": (
        lambda world: (world.input / "b.csv").write_text("id,id\n1,2\n"), "b.csv has 'id' twice",
    ),
    "a link": (
        lambda world: (world.input / "b.parquet").symlink_to("/etc/hostname"), "b.parquet is no file of its folder",
    ),
    "a link to a folder": (lambda world: (world.input / "b").symlink_to("/etc"), "b is a link to a folder"),
}  # fmt: skip


@pytest.mark.parametrize("kind", TROUBLE)
def test_what_is_wrong_with_the_input_is_told_before_a_row_is_scored(world: World, kind: str) -> None:
    trouble, words = TROUBLE[kind]
    trouble(world)
    with pytest.raises(Exception, match=words) as caught:
        world.run()
    assert type(caught.value).__name__ in ("Incurable", "InvalidConfiguration")
    assert not world.run_folder.exists()


@pytest.mark.parametrize("asked", [
    ({"columns": {"agee": "age"}}, "columns names 'agee', which the model does not take; it takes 'age'"),
    ({"columns": {"age": "years"}}, "a.parquet has no column 'years', which `columns` names for 'age'"),
    ({"keys": ["age", "output.predict"]}, "has no column 'output.predict'"),
    ({"input": {"uri": "/etc"}}, "input.uri leads to /etc, and local files may lie below"),
    ({"input": {"uri": "/input/../etc"}}, "input.uri leads to /etc"),
    ({"output": {"uri": "/tmp/"}}, "output.uri leads to"),
    ({"input": {"uri": "ftp://host/x"}}, "it has to begin with s3://"),
    ({"input": {"uri": "file://host/input"}}, "it has to begin with s3://"),
])  # fmt: skip
def test_what_is_wrong_with_the_run_is_told_before_a_row_is_scored(world: World, asked: Any) -> None:
    with pytest.raises(Incurable, match=asked[1]):
        world.but(**asked[0]).run()
    assert not world.run_folder.exists()


def test_an_output_within_the_input_would_be_the_next_runs_input(world: World) -> None:
    with pytest.raises(Incurable, match="lies in the input"):
        world.but(output={"uri": f"{world.input}/out/"}).run()


def test_a_key_that_has_the_name_of_an_answer_is_refused(bundles: Bundles, tmp_path: Path) -> None:
    world = World(tmp_path, bundles(BY_NAME), {"keys": ["id", "revision"]})
    broken(world, revision=1)
    with pytest.raises(Incurable, match="keys names 'revision', which is a column of the output"):
        world.run()


@pytest.mark.parametrize("content", [None, "id,age,income,city,plan\n", "id,age,income,city,plan"])
def test_an_empty_input_is_told(bundles: Bundles, tmp_path: Path, content: str | None) -> None:
    world = World(tmp_path, bundles(BY_NAME))
    if content is not None:
        (world.input / "a.csv").write_text(content)
    with pytest.raises(Incurable, match=r"the input .* is empty"):
        world.run()


def test_a_table_without_rows_beside_others_is_none_of_the_units(world: World) -> None:
    pq.write_table(table(customers_with_ids()[:0]), world.input / "b.parquet")
    assert world.all().complete
    assert len(world.answers()) == 400


def test_nothing_but_blank_lines_is_empty(bundles: Bundles, tmp_path: Path) -> None:
    world = World(tmp_path, bundles(BY_NAME))
    (world.input / "a.csv").write_text("id,age,income,city,plan\n\n\n")
    with pytest.raises(Incurable, match="its files have no row"):
        world.run()
    assert not (world.run_folder / "_manifest.json").exists()


@pytest.mark.parametrize("where", ["values", "header"])
def test_a_corrupt_row_group_in_mid_run_is_named_and_what_came_before_stays(world: World, where: str) -> None:
    path = world.input / "a.parquet"
    if where == "values":  # only checksums tell
        pq.write_table(table(customers_with_ids()), path, row_group_size=150, write_page_checksum=True)
    column = pq.read_metadata(path).row_group(2).column(0)
    begin = column.dictionary_page_offset or column.data_page_offset
    begin += 100 if where == "values" else 0
    content = bytearray(path.read_bytes())
    content[begin : begin + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(
        Incurable, match=r"a.parquet, row group 2: it can't be read as Parquet: .*; write the file again"
    ):
        world.run(0)
    assert world.run(1).units == 1
    assert [each.name for each in world.parts()] == ["part-00000.parquet", "part-00001.parquet"]
    assert not (world.run_folder / "_manifest.json").exists()


@pytest.mark.parametrize(("line", "words"), [
    ("x,1,2,Rome", "a.csv, bytes 24 to .*: they can't be read as CSV in UTF-8 with 5 columns"),
    ('x,1,2,"Rome,a', "a.csv: a quotation mark is never closed"),
])  # fmt: skip
def test_corrupt_lines_are_named(bundles: Bundles, tmp_path: Path, line: str, words: str) -> None:
    world = World(tmp_path, bundles(BY_NAME))
    (world.input / "a.csv").write_text(f"id,age,income,city,plan\na,1,2,Rome,a\n{line}\n")
    with pytest.raises(Incurable, match=words):
        world.run()


@pytest.mark.parametrize("change", ["rewritten", "deleted"])
def test_a_file_that_changes_after_the_plan_ends_the_run(world: World, change: str) -> None:
    world.run(0)
    path = world.input / "a.parquet"
    if change == "deleted":
        path.unlink()
        (world.input / "c.parquet").write_bytes(b"")
    else:
        os.utime(path, ns=(1, 1))
    with pytest.raises(FileChanged, match=r"a.parquet was overwritten or deleted after the run had begun"):
        world.run(1)


def test_a_file_that_has_another_inode_in_another_pod_is_the_same(world: World) -> None:
    """As where a bucket is mounted: numbers are each mount's own."""
    world.run(0)
    path = world.input / "a.parquet"
    shutil.copy2(path, world.root / "again")
    (world.root / "again").replace(path)
    world.run(1)
    assert len(world.answers()) == 400


def test_a_file_that_is_replaced_while_it_is_read_is_another_one(world: World) -> None:
    source = stores.input_of(str(world.input), [world.root])
    path = world.input / "a.parquet"
    (found,) = source.files()
    with source.open(found):
        source.check(found)
        shutil.copy2(path, world.root / "again")
        (world.root / "again").replace(path)
        with pytest.raises(FileChanged):
            source.check(found)


def test_a_file_that_changes_while_it_is_read_ends_the_run_without_a_receipt(world: World) -> None:
    from modelward_batch import scoring

    path, once = world.input / "a.parquet", []
    original = scoring.Scorer.score

    def score(self: Any, batch: Any, layout: Any) -> Any:
        if not once:
            os.utime(path, ns=(1, 1))
        once.append(1)
        return original(self, batch, layout)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(scoring.Scorer, "score", score)
        with pytest.raises(FileChanged):
            world.run(0)
    assert not list(world.run_folder.glob("_units/*"))
    assert not world.parts()


@pytest.mark.parametrize(("share", "fails"), [(0.1, False), (0.0999, True)])
def test_too_many_refused_rows_fail_the_run_and_a_larger_share_ends_it(
    bundles: Bundles, tmp_path: Path, share: float, fails: bool
) -> None:
    world = World(tmp_path, bundles(BY_NAME), {"maxRejectedShare": share})
    lines = [f"k{row},{'x' if row % 10 == 0 else 30 + row},1e4,Rome,a" for row in range(50)]
    (world.input / "a.csv").write_text("\n".join(["id,age,income,city,plan", *lines]))
    if fails:
        words = r"the model refuses 5 of 50 rows \(10.00%\), and maxRejectedShare allows 9.99%; the files in _rejects"
        with pytest.raises(Incurable, match=words):
            world.run()
        assert not (world.run_folder / "_manifest.json").exists()
        world.asked["maxRejectedShare"] = 0.2
    assert world.run().rejected == 5
    assert sorted(world.rejects()) == ["k0", "k10", "k20", "k30", "k40"]


def test_a_run_that_can_not_get_well_ends_at_once(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": np.linspace(0, 1, 90), "b": np.linspace(1, 0, 90)})
    model = LogisticRegression().fit(frame, frame["a"] > 0.5)
    world = World(tmp_path, bundle_of(model, tmp_path / "made"), {"maxRejectedShare": 0.2})
    frame = frame.assign(id=range(90))
    frame.loc[:29, "a"] = np.nan
    pq.write_table(table(frame), world.input / "a.parquet", row_group_size=30)
    with pytest.raises(Incurable, match="refuses 30 of 90 rows"):
        world.run()
    assert len(world.parts()) == 1


def test_keys_are_alike_where_a_file_has_none(bundles: Bundles, tmp_path: Path) -> None:
    """And a key that is there twice is two rows."""
    assert kind_of(pa.int32()) == kind_of(pa.dictionary(pa.int8(), pa.uint64())) == kind_of(pa.int64())
    world, frame = World(tmp_path, bundles(BY_NAME)), customers_with_ids()
    ids = pa.array(range(len(frame)))
    for name, keys in (("a", ids), ("b", ids), ("c", pa.nulls(len(frame)))):
        made = table(frame.drop(columns="id")).append_column("id", keys)
        pq.write_table(made, world.input / f"{name}.parquet")
    world.run()
    found = world.answers()["id"].to_pylist()
    assert sorted(each for each in found if each is not None) == sorted(2 * list(range(len(frame))))
    assert found.count(None) == len(frame)


@pytest.mark.parametrize(("asked", "words"), [
    ({"keys": ["id", "plan"]}, "keys"),
    ({"columns": {"age": "income"}}, "columns"),
    ({"input": {"uri": "/input/other"}}, "input.uri"),
])  # fmt: skip
def test_another_run_of_the_same_name_is_refused(world: World, asked: Any, words: str) -> None:
    world.run(0)
    other = world.but(**asked)
    if "input" in asked:
        other.asked["input"] = {"uri": f"{world.input}/a.parquet"}
    with pytest.raises(Incurable, match=f"the run r1 was begun with {words} .*; give the run another name"):
        other.run(1)


def test_another_model_goes_on_with_no_run_and_is_not_taken_for_the_runs(world: World) -> None:
    world.run(0)
    model = {**world.document()["model"], "digest": "sha256:" + "0" * 64}
    with pytest.raises(Incurable, match=r"was begun with model.digest"):
        world.but(model=model).run(1)
    with pytest.raises(Incurable, match=r"the pod has the model sha256:.*, and the run is of sha256:000"):
        world.but(model=model, run="r2").run(1)


def test_where_nobody_knew_the_models_digest_the_first_pods_holds_for_all(world: World) -> None:
    model = {**world.document()["model"], "digest": "", "version": ""}
    several = world.but(model=model)
    several.run(0)
    plan = json.loads((several.run_folder / "_plan.json").read_bytes())
    assert plan["model"]["digest"] == world.manifest.digest
    assert plan["model"]["version"] == world.manifest.digest.removeprefix("sha256:")[:12]

    def overwritten() -> Loaded:
        found = several.loaded()
        return replace(found, manifest=replace(found.manifest, digest="sha256:" + "0" * 64))

    with pytest.raises(Incurable, match=r"the pod has the model sha256:000.*, and the run is of"):
        several.run(1, load=overwritten)
    assert several.run(1).complete


def test_what_is_no_plan_is_told(world: World) -> None:
    world.run_folder.mkdir(parents=True)
    (world.run_folder / "_plan.json").write_text('{"schema": 1, "run": ')
    with pytest.raises(Incurable, match=r"_plan.json can't be read"):
        world.run()


def test_a_receipt_that_is_none_is_written_anew(world: World) -> None:
    world.run(0)
    receipt = world.run_folder / "_units/00000.json"
    receipt.write_text('{"unit": 0, "rows": 5, "rejected": 9, "plan": "x"}')
    world.run(1)
    assert not (world.run_folder / "_manifest.json").exists()
    assert world.run(0).complete
    assert len(set(world.answers()["id"].to_pylist())) == 400
