"""Batches over a real S3 store, versitygw: conditional writes, objects that change, a store that goes away."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LogisticRegression

from modelward_batch import stores
from modelward_batch.errors import FileChanged, Incurable, Passing
from modelward_batch.planning import Sizes
from modelward_batch.run import Bundle, Run, loaded
from modelward_batch.s3 import S3Input, S3Output
from modelward_batch.stores import Found
from modelward_inference.fetch.sources.source import ATTEMPTS
from s3store import S3Store
from unit.batch.worlds import Dying, Killed, World, bundle_of

BUCKET = "lake"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Store]:
    made = S3Store(tmp_path_factory.mktemp("s3"))
    made.client.create_bucket(Bucket=BUCKET)
    yield made
    made.stop()


@pytest.fixture(autouse=True)
def asked(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in store.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(scope="module")
def data() -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame({"a": rng.normal(size=3000), "b": rng.normal(size=3000), "id": np.arange(3000)})


@pytest.fixture(scope="module")
def model(data: pd.DataFrame) -> LogisticRegression:
    return LogisticRegression().fit(data[["a", "b"]], data["a"] + data["b"] > 0)


@pytest.fixture(scope="module")
def bundle(model: LogisticRegression, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bundle_of(model, tmp_path_factory.mktemp("bundle"))


def put(store: S3Store, key: str, content: bytes) -> None:
    store.client.put_object(Bucket=BUCKET, Key=key, Body=content)


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink, row_group_size=500)
    return bytes(sink.getvalue())


def world_of(folder: Path, bundle: Path, store: S3Store, prefix: str, data: pd.DataFrame) -> World:
    """Half of the rows as Parquet, the others as CSV, by two pods."""
    put(store, f"{prefix}/in/a.parquet", parquet_bytes(data[:1500].astype({"id": str})))  # as CSV has them
    put(store, f"{prefix}/in/day=2/b.csv", data[1500:].to_csv(index=False).encode())
    put(store, f"{prefix}/in/_SUCCESS", b"")
    put(store, f"{prefix}/in/", b"")
    uris = {"input": {"uri": f"s3://{BUCKET}/{prefix}/in"}, "output": {"uri": f"s3://{BUCKET}/{prefix}/out/"}}
    return World(folder, bundle, uris, pods=2, sizes=Sizes(piece=9000, block=20_000))


def run(world: World, index: int, around: Callable[[Any], Any] = lambda output: output) -> Any:
    spec = world.spec(index)
    source, output = stores.input_of(spec.input), around(stores.output_of(spec.output, spec.run))
    return Run(spec, source, output, lambda: loaded(Bundle(world.bundle), spec), world.sizes).run()


def answers(store: S3Store, prefix: str) -> pd.DataFrame:
    import json

    folder = f"{prefix}/out/r1/"
    manifest = json.loads(store.client.get_object(Bucket=BUCKET, Key=f"{folder}_manifest.json")["Body"].read())
    tables = []
    for each in manifest["files"]:
        content = store.client.get_object(Bucket=BUCKET, Key=f"{folder}{each['name']}")["Body"].read()
        tables.append(pq.read_table(pa.BufferReader(content)).to_pandas().astype({"id": int}))
    return pd.concat(tables)


@pytest.mark.parametrize("at", [1, 3, 6])
@pytest.mark.parametrize("after", [False, True])
def test_a_killed_run_over_a_store_has_each_row_once(
    store: S3Store, bundle: Path, tmp_path: Path, data: pd.DataFrame, model: LogisticRegression, at: int, after: bool
) -> None:
    prefix = f"kill-{at}-{after}"
    world = world_of(tmp_path, bundle, store, prefix, data)
    with pytest.raises(Killed):
        run(world, 0, partial(Dying, at=at, after=after))
    run(world, 1)
    assert run(world, 0).complete
    found = answers(store, prefix)
    assert sorted(found["id"]) == data["id"].tolist()
    wanted = model.predict(data.set_index("id").loc[found["id"], ["a", "b"]])
    assert (found["output.predict"].to_numpy() == wanted).all()


def test_only_the_first_of_two_is_kept(store: S3Store) -> None:
    output = S3Output(f"s3://{BUCKET}/first/r/")
    assert output.get("_plan.json") is None
    assert output.create("_plan.json", b"one")
    assert not output.create("_plan.json", b"two")
    assert output.get("_plan.json") == b"one"
    for number in range(3):
        output.put_bytes(f"_units/{number}.json", b"x")
    assert output.names("_units/") == {f"_units/{number}.json" for number in range(3)}


def test_an_object_that_was_overwritten_is_not_read_on(store: S3Store) -> None:
    put(store, "changed/x.csv", b"a" * 100)
    source = S3Input(f"s3://{BUCKET}/changed/")
    [file] = source.files()
    opened = source.open(file)
    assert opened.read(10) == b"a" * 10
    put(store, "changed/x.csv", b"b" * 100)
    with pytest.raises(FileChanged, match=r"x\.csv was overwritten"):
        opened.read(10)
    store.client.delete_object(Bucket=BUCKET, Key="changed/x.csv")
    with pytest.raises(FileChanged):
        opened.read(10)


def test_an_address_is_an_object_or_a_folder_whichever_is_there(store: S3Store) -> None:
    put(store, "either/one/x.csv", b"1")
    assert S3Input(f"s3://{BUCKET}/either/one").is_folder
    one = S3Input(f"s3://{BUCKET}/either/one/x.csv")
    assert (one.is_folder, [each.name for each in one.files()]) == (False, ["x.csv"])
    assert one.open(one.files()[0]).read() == b"1"


def test_bytes_are_found_wherever_one_begins(store: S3Store) -> None:
    content = np.random.default_rng(0).bytes(5000)
    put(store, "bytes/x", content)
    source = S3Input(f"s3://{BUCKET}/bytes/x")
    opened = source.open(source.files()[0])
    for begin, size in ((0, 10), (4990, 100), (5000, 5), (6000, 1), (123, -1)):
        opened.seek(begin)
        assert opened.read(size) == content[begin : begin + size if size >= 0 else None]
    opened.seek(-7, 2)
    assert opened.read() == content[-7:]


@pytest.mark.parametrize(("uri", "words"), [
    ("s3://no-such-bucket/x/", "there is no bucket no-such-bucket"),
    ("s3:///x/", "names no bucket"),
    ("s3://UPPER case/x/", "is no address of S3"),
])  # fmt: skip
def test_what_is_no_place_is_told(uri: str, words: str) -> None:
    with pytest.raises(Incurable, match=words):
        S3Input(uri).files()


def test_wrong_keys_are_told_with_the_rights_that_a_run_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another one")
    with pytest.raises(Incurable, match=r"is refused \(SignatureDoesNotMatch\); .*s3:PutObject"):
        S3Output(f"s3://{BUCKET}/x/").get("_plan.json")


def test_a_store_that_is_away_is_asked_again_and_then_the_pod_gives_up(store: S3Store) -> None:
    put(store, "away/x.csv", b"abc")
    slept: list[float] = []
    source = S3Input(f"s3://{BUCKET}/away/x.csv", sleep=slept.append)
    store.stop()
    try:
        with pytest.raises(Passing, match=f"failed in {ATTEMPTS} attempts"):
            source.open(Found("x.csv", 3, source.files()[0].tag)).read()
        assert len(slept) == ATTEMPTS - 1
        back = S3Input(f"s3://{BUCKET}/away/x.csv", sleep=lambda _: store.start())
    finally:
        if store._process.poll() is not None:
            store.start()
    assert back.open(back.files()[0]).read() == b"abc"
