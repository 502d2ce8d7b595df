"""The same data give the same reference, whatever they come in; what can't be read says why and what to do."""

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from pyarrow import feather, parquet

from modelward_inference import make_reference
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference import source
from modelward_inference.reference.source import open_source, spread

ROWS = 300


def frame() -> pd.DataFrame:
    """Numbers with nulls, whole numbers, categories with nulls, codes, free text, truths with nulls, and only nulls."""
    rng = np.random.default_rng(3)
    amount = rng.normal(size=ROWS)
    amount[::7] = np.nan
    return pd.DataFrame(
        {
            "amount": amount,
            "count": rng.integers(0, 50, ROWS),
            "city": pd.Series(np.where(rng.random(ROWS) < 0.1, None, rng.choice(["Rome", "Oslo, N", 'B"n'], ROWS))),
            "code": pd.Series([f"0{each}" for each in rng.integers(10, 14, ROWS)], dtype=object),
            "words": pd.Series([f"text {index}\nof many" for index in range(ROWS)], dtype=object),
            "member": pd.Series([None if each == 2 else bool(each) for each in rng.integers(0, 3, ROWS)], dtype=object),
            "nothing": pd.Series([None] * ROWS, dtype=object),
        }
    )


def table() -> Any:
    return pa.Table.from_pandas(frame(), preserve_index=False)


def written(folder: Path, name: str, write: Callable[[str], Any]) -> Path:
    write(str(folder / name))
    return folder / name


def zipped(folder: Path) -> Path:
    (folder / "d.csv.gz").write_bytes(gzip.compress(frame().to_csv(index=False).encode()))
    return folder / "d.csv.gz"


def stream(target: str) -> None:
    with pa.ipc.new_stream(target, table().schema) as opened:
        opened.write_table(table(), max_chunksize=77)


def grouped(target: str) -> None:
    parquet.write_table(table(), target, row_group_size=90)


def pieces() -> Any:
    return [frame().iloc[:100], frame().iloc[100:101], frame().iloc[101:]]


FORMATS: dict[str, Callable[[Path], Any]] = {
    "parquet": lambda folder: written(folder, "d.parquet", grouped),
    "feather": lambda folder: written(folder, "d.feather", lambda to: feather.write_feather(table(), to, chunksize=64)),
    "arrow stream": lambda folder: written(folder, "d.arrow", stream),
    "csv": lambda folder: written(folder, "d.csv", lambda to: frame().to_csv(to, index=False)),
    "csv.gz": zipped,
    "csv with a byte order mark": lambda folder: written(
        folder, "b.csv", lambda to: frame().to_csv(to, index=False, encoding="utf-8-sig", lineterminator="\r\n")
    ),
    "table": lambda _: table(),
    "dictionary column": lambda _: table().set_column(2, "city", table()["city"].dictionary_encode()),
    "mapping": lambda _: {name: frame()[name].to_numpy() for name in frame()},
    "lists": lambda _: {name: frame()[name].replace(np.nan, None).tolist() for name in frame()},
    "parquet with an index": lambda folder: written(folder, "i.parquet", frame().iloc[::-1].to_parquet),
    "pandas' own types": lambda _: frame().convert_dtypes(),
    "pandas' categories": lambda _: frame().astype({"city": "category"}),
    "chunks": lambda _: pieces(),
    "a function of chunks": lambda _: lambda: iter(pieces()),
    "chunks of a table": lambda _: lambda: iter(table().to_batches(max_chunksize=50)),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_data_in_every_format(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_ROWS", 64)
    reference = make_reference(FORMATS[name](tmp_path))
    profiles = {profile.name: profile for profile in reference.profiles}
    assert {name: profile.kind for name, profile in profiles.items()} == {
        "amount": "numeric", "count": "numeric", "city": "categorical", "code": "categorical", "words": "text",
        "member": "boolean", "nothing": "categorical",
    }  # fmt: skip
    assert {feature.tensor: feature.column for feature in reference.features} == dict.fromkeys(profiles)
    assert profiles["code"].levels == ("010", "011", "012", "013")
    assert profiles["city"].counts[-1] == frame()["city"].isna().sum()
    assert reference.digest == make_reference(frame()).digest


def test_an_iterator_of_chunks() -> None:
    alike = [{"a": np.arange(5.0), "b": np.array(list("xyxyx"), object)} for _ in range(3)]
    assert make_reference(iter(alike)).digest == make_reference(alike).digest


MATRIX = np.random.default_rng(1).normal(size=(500, 3))
MATRIX[7, 1] = np.nan

ARRAYS: dict[str, Callable[[Path], Any]] = {
    "array": lambda _: MATRIX,
    "npy": lambda folder: written(folder, "d.npy", lambda to: np.save(to, MATRIX)),
    "npy in Fortran's order": lambda folder: written(
        folder, "f.npy", lambda to: np.save(to, np.asfortranarray(MATRIX))
    ),
    "lists": lambda _: MATRIX.tolist(),
    "objects": lambda _: MATRIX.astype(object),
    "masked": lambda _: np.ma.masked_invalid(MATRIX),
    "chunks": lambda _: lambda: iter(np.array_split(MATRIX, 7)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_columns_without_names(tmp_path: Path, name: str) -> None:
    reference = make_reference(ARRAYS[name](tmp_path))
    assert [(each.name, each.tensor, each.column) for each in reference.features] == [
        (f"input[{column}]", "input", column) for column in range(3)
    ]
    assert reference.digest == make_reference(MATRIX).digest


def test_a_structured_npy_has_names(tmp_path: Path) -> None:
    rows = np.array([(1.5, b"x"), (2.5, b"y")], dtype=[("a", "f8"), ("b", "S1")])
    np.save(tmp_path / "s.npy", rows)
    reference = make_reference(tmp_path / "s.npy")
    assert [(each.name, each.profile.kind) for each in reference.features] == [("a", "numeric"), ("b", "categorical")]


CSV_TYPES: list[tuple[list[str], str, tuple[str, ...]]] = [
    (["1", "2.5", "-3e4", "", "NA", "nan", "null"], "numeric", ()),
    (["1"] * 200 + ["many"], "categorical", ("1", "many")),
    (["01", "2"], "categorical", ("01", "2")),
    (["0", "0.5", "-0.5"], "numeric", ()),
    (["1_000", "2"], "categorical", ("1_000", "2")),
    (["true", "False", "", "TRUE"], "boolean", ("false", "true")),
    (["true", "1"], "categorical", ("1", "true")),
    (["", "NA"], "categorical", ()),
    (["inf", "1"], "numeric", ()),
]


@pytest.mark.parametrize("rows", [2, 1 << 16])
@pytest.mark.parametrize(("texts", "kind", "levels"), CSV_TYPES)
def test_types_of_text_columns(
    tmp_path: Path, texts: list[str], kind: str, levels: tuple[str, ...], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All rows decide, so chunks are no matter: a word in the last row makes a column of texts."""
    monkeypatch.setattr(source, "MOST_ROWS", rows)
    (tmp_path / "d.csv").write_text("x,y\n" + "".join(f"{text},1\n" for text in texts))
    profile = make_reference(tmp_path / "d.csv").profiles[0]
    assert (profile.kind, profile.levels) == (kind, levels)
    assert profile.rows == len(texts)


def unreadable(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def cut(folder: Path) -> Path:
    whole = written(folder, "d.parquet", lambda to: parquet.write_table(table(), to))
    whole.write_bytes(whole.read_bytes()[:-100])
    return whole


def damaged(folder: Path) -> Path:
    whole = written(folder, "d.parquet", lambda to: parquet.write_table(table(), to, compression="gzip"))
    content = bytearray(whole.read_bytes())
    content[200:1500] = b"\xff" * 1300
    whole.write_bytes(content)
    return whole


def objects(folder: Path) -> Path:
    np.save(folder / "o.npy", np.array([{}], object), allow_pickle=True)
    return folder / "o.npy"


def times() -> Any:
    return {"at": pd.date_range("2026-01-01", periods=3)}


WRONG: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no file": (lambda folder: folder / "d.csv", "is no file; name a file of training data"),
    "an empty file": (unreadable("d.csv", b""), "is empty"),
    "only names": (unreadable("d.csv", b"a,b\n"), "the data have no rows"),
    "ragged rows": (unreadable("d.csv", b"a,b\n1,2\n1\n"), "line 3: 1 values for 2 columns"),
    "a long row": (unreadable("d.csv", b"a,b\n1,2,3\n"), "line 2: 3 values for 2 columns"),
    "a name twice": (unreadable("d.csv", b"a,b,a\n1,2,3\n"), "has a twice"),
    "a column without a name": (unreadable("d.csv", b",b\n1,2\n"), r"to_csv\(index=False\)"),
    "an open quote": (unreadable("d.csv", b'a,b\n1,"2\n'), "line 3, can't be read as CSV"),
    "no UTF-8": (unreadable("d.csv", b"a,b\n1,\xff\n"), "can't be read as CSV in UTF-8"),
    "no gzip": (unreadable("d.csv.gz", b"a,b\n1,2\n"), "can't be read as CSV"),
    "gzip cut off": (unreadable("d.csv.gz", gzip.compress(b"a,b\n1,2\n")[:-4]), "can't be read as CSV"),
    "an unknown suffix": (unreadable("d.xlsx", b"PK"), "is none of .parquet"),
    "no parquet": (unreadable("d.parquet", b"a,b\n1,2\n"), "can't be read as Parquet"),
    "parquet cut off": (cut, "can't be read as Parquet"),
    "parquet damaged": (damaged, "the data can't be read after row 0"),
    "no arrow": (unreadable("d.feather", b"a,b\n1,2\n"), "can't be read as Arrow"),
    "no npy": (unreadable("d.npy", b"a,b\n1,2\n"), "can't be read as .npy"),
    "npy cut off": (unreadable("d.npy", b"\x93NUMPY\x01\x00"), "can't be read as .npy"),
    "npy of objects": (objects, "an array of objects has to be saved as Parquet"),
    "columns of different lengths": (lambda _: {"a": [1], "b": [1, 2]}, "different lengths"),
    "a scalar": (lambda _: {"a": 1}, "'a' is a int, not one value a row"),
    "rows of different lengths": (lambda _: [[1, 2], [1]], "is no column of one value a row"),
    "no rows": (lambda _: np.empty((0, 3)), "the data have no rows"),
    "a frame with a name twice": (lambda _: pd.DataFrame([[1, 2]], columns=["a", "a"]), "has a twice"),
    "a table with a name twice": (lambda _: pa.table([[1], [2]], names=["a", "a"]), "have a twice"),
    "only times": (lambda _: times(), "no feature is left"),
    "no chunk": (lambda _: iter(()), "gives no chunk"),
    "chunks of other columns": (lambda _: [{"a": [1]}, {"b": [1]}], r"chunk 1 has the columns \['b'\]"),
    "chunks of other shapes": (lambda _: [np.zeros((2, 2)), np.zeros((2, 3))], "and then of"),
    "an iterator that changes its mind": (
        lambda _: iter([{"a": [1]}, {"a": ["x"]}]), "'a' holds numbers in the first chunk, and texts in a later one",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_can_not_be_read_says_why(tmp_path: Path, name: str) -> None:
    data, words = WRONG[name]
    with pytest.raises(InvalidConfiguration, match=words):
        make_reference(data(tmp_path))


def test_without_pyarrow_parquet_says_how_to_get_it(tmp_path: Path) -> None:
    (tmp_path / "d.parquet").write_bytes(b"PAR1")
    (tmp_path / "d.csv").write_text("a\n1\n")
    program = f"""
import sys
sys.modules["pyarrow"] = None
from modelward_inference import make_reference
assert make_reference({str(tmp_path / "d.csv")!r}).rows == 1
assert "pandas" not in sys.modules
make_reference({str(tmp_path / "d.parquet")!r})
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "pip install 'modelward[reference]', or save the training data as .csv or .npy" in ended.stderr


def test_nothing_large_is_imported_at_once() -> None:
    program = (
        "import sys, modelward_inference.training.save, modelward_inference.cli\n"
        "import modelward_inference.fetch.contents.reference\n"
        "print(sorted({'pyarrow', 'pandas'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True).stdout == "[]\n"


@pytest.mark.parametrize("rows", [1, 5, 100, 199, 200, 201, 299, 1000, 12345])
@pytest.mark.parametrize("most", [7, 150, 1 << 16])
def test_evenly_spaced_rows(rows: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "MOST_ROWS", most)
    kept: Any = spread(open_source(np.arange(float(rows))), 100)
    assert min(rows, 100) <= len(kept) <= 200
    assert set(np.diff(kept)) == {max(1.0, kept[1] - kept[0])} if len(kept) > 1 else kept == [0]
    assert rows - kept[-1] <= kept[1] - kept[0] if len(kept) > 1 else True
