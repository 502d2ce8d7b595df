"""What a run is asked for, and what is planned of it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from modelward_batch import accounts, plan, spec
from modelward_batch.accounts import Receipt
from modelward_batch.errors import Incurable
from modelward_batch.plan import File, Plan, Unit

DIGEST = "sha256:" + "ab" * 32

ASKED: dict[str, Any] = {
    "run": "churn-2026-01-01", "input": {"uri": "s3://lake/in/", "format": "parquet"},
    "output": {"uri": "s3://lake/out/"}, "keys": ["id", "day"], "columns": {"age": "years"}, "maxRejectedShare": 0.01,
    "model": {"name": "churn", "version": "12", "revision": "churn-1f", "uri": "s3://m/x", "digest": DIGEST},
    "of a newer operator": {},
}  # fmt: skip


def environment(**changes: Any) -> dict[str, str]:
    pods = {name: changes.pop(name) for name in (spec.PODS, spec.INDEX) if name in changes}
    return {spec.VARIABLE: json.dumps({**ASKED, **changes}), spec.PODS: "4", spec.INDEX: "3", **pods}


def test_what_the_operator_asks_is_read() -> None:
    found = spec.load(environment())
    assert (found.run, found.input, found.output, found.format) == (
        "churn-2026-01-01", "s3://lake/in/", "s3://lake/out/", "parquet"
    )  # fmt: skip
    assert (found.keys, found.columns, found.max_rejected_share) == (("id", "day"), {"age": "years"}, 0.01)
    assert (found.pods, found.index, found.model.version) == (4, 3, "12")
    plain = {"name": "m", "digest": DIGEST}
    least = spec.load({spec.VARIABLE: json.dumps({**ASKED, "columns": None, "model": plain})})
    assert (least.columns, least.pods, least.index, least.model.version) == ({}, 1, 0, "")
    assert least.model.of(DIGEST).version == "abababababab"
    unknown = spec.load({spec.VARIABLE: json.dumps({**ASKED, "model": {"name": "m"}})}).model
    assert unknown.of(DIGEST) == least.model.of(DIGEST)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"run": "../x"}, "run is '../x'"), ({"run": "_x"}, "run is '_x'"), ({"run": "a/b"}, "run is 'a/b'"),
    ({"run": "x" * 201}, "run is"), ({"run": 7}, "run is 7; it has to be a text"),
    ({"input": "s3://x"}, "input is 's3://x'; it has to be an object"), ({"input": {}}, "input.uri is None"),
    ({"input": {"uri": "x", "format": "orc"}}, "input.format is 'orc'; set it to parquet or csv"),
    ({"output": {"uri": "s3://b/x"}}, "end it with a slash"), ({"keys": []}, "name at least one column"),
    ({"keys": "id"}, "keys is 'id'"), ({"keys": ["a", "a"]}, "name each column once"),
    ({"columns": ["a"]}, "columns is"), ({"columns": {"a": 1}}, "columns.a is 1"),
    ({"maxRejectedShare": 2}, "maxRejectedShare is 2; set it to a number from 0 to 1"),
    ({"maxRejectedShare": True}, "maxRejectedShare is True"), ({"model": {"digest": DIGEST}}, "model.name is None"),
    ({"model": None}, "model is None"), ({spec.PODS: "0"}, "MODELWARD_BATCH_PODS is '0'"),
    ({spec.INDEX: "4"}, "JOB_COMPLETION_INDEX is 4, and there are 4 pods"), ({spec.INDEX: "٣"}, "INDEX is"),
]  # fmt: skip


@pytest.mark.parametrize(("changes", "words"), WRONG)
def test_what_is_wrong_is_named_with_its_cure(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(Incurable) as caught:
        spec.load(environment(**changes))
    assert words in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 10_000])
def test_what_is_no_object_is_told(text: str) -> None:
    with pytest.raises(Incurable, match="MODELWARD_BATCH"):
        spec.load({spec.VARIABLE: text})


FILES = (
    File("a.parquet", 100, '"e1"', "parquet", 30),
    File("b.csv", 900, "7-1", "csv", None, ";", ("id", "day", "years")),
)
UNITS = (Unit(0, 0, 0, 10), Unit(1, 0, 1, 20), Unit(2, 1, begin=14, end=500), Unit(3, 1, begin=500, end=900))


def made() -> Plan:
    return plan.made(spec.load(environment()), FILES, UNITS)


def test_a_plan_is_the_same_bytes_for_all_and_reads_as_it_was_written() -> None:
    assert made().content == made().content
    read = Plan.parse(made().content)
    assert read == made()
    assert read.digest == made().digest
    assert made().where(UNITS[1]) == "a.parquet, row group 1"
    assert made().where(UNITS[2]) == "b.csv, bytes 14 to 500"
    assert made().rows is None
    assert plan.made(spec.load(environment()), FILES[:1], UNITS[:2]).rows == 30


@pytest.mark.parametrize("pods", [1, 2, 3, 4, 9])
def test_each_unit_is_one_pods(pods: int) -> None:
    found = [unit for index in range(pods) for unit in made().of_pod(index, pods)]
    assert sorted(unit.number for unit in found) == [0, 1, 2, 3]


def test_names_sort_as_units_do() -> None:
    assert [(unit.part, unit.rejects, unit.receipt) for unit in UNITS[:1]] == [
        ("part-00000.parquet", "_rejects/part-00000.parquet", "_units/00000.json")
    ]


def test_more_units_than_names_are_refused() -> None:
    units = [replace(UNITS[0], number=number) for number in range(plan.MAX_UNITS + 1)]
    with pytest.raises(Incurable, match="write fewer and larger"):
        plan.made(spec.load(environment()), FILES, units)


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"schema": 1}', b'{"schema": 2}', b"\xff"])
def test_what_is_no_plan_is_told(content: bytes) -> None:
    with pytest.raises(Incurable, match=r"_plan\.json"):
        Plan.parse(content)


def test_a_plan_of_another_run_is_told_with_what_differs() -> None:
    plan.check(made(), spec.load(environment(maxRejectedShare=0.5)))
    for changes, words in (
        ({"keys": ["id"]}, "keys"), ({"columns": {}}, "columns"), ({"input": {"uri": "s3://lake/other/"}}, "input.uri"),
        ({"model": {**ASKED["model"], "digest": "sha256:0"}}, "model.digest"),
        ({"model": {**ASKED["model"], "version": "13"}}, "model.version"),
    ):  # fmt: skip
        with pytest.raises(Incurable, match=f"was begun with {words} .* give the run another name"):
            plan.check(made(), spec.load(environment(**changes)))


def receipt(number: int, rows: int = 10, rejected: int = 0) -> Receipt:
    return Receipt(number, rows, rejected, 0.5, made().digest)


def test_receipts_count_for_their_unit_of_their_plan_alone() -> None:
    good = receipt(1)
    assert Receipt.parse(good.content, made(), UNITS[1]) == good
    assert Receipt.parse(good.content, made(), UNITS[0]) is None
    other = plan.made(spec.load(environment(run="other")), FILES, UNITS)
    assert Receipt.parse(good.content, other, UNITS[1]) is None
    for content in (b"", b"[]", b"{}", b"null", receipt(1, 1, 2).content, good.content.replace(b"10", b'"10"')):
        assert Receipt.parse(content, made(), UNITS[1]) is None


def test_the_manifest_names_what_readers_read() -> None:
    receipts = {number: receipt(number, 10, 2 if number == 2 else 0) for number in range(4)}
    found = json.loads(accounts.manifest(made(), receipts, "2026-01-01T00:00:00Z"))
    assert (found["rows"], found["rejected"], found["plan"]) == (40, 2, made().digest)
    assert [each["rows"] for each in found["files"]] == [10, 10, 8, 10]
    assert found["rejects"] == [{"name": "_rejects/part-00002.parquet", "rows": 2}]


@pytest.mark.parametrize(("rejected", "rows", "share", "fails"), [
    (0, 0, 0.0, False), (0, 10, 0.0, False), (1, 10, 0.0, True), (1, 10, 0.1, False), (2, 10, 0.1, True),
    (10, 10, 1.0, False), (7, 1000, 0.7 / 100, False), (8, 1000, 0.7 / 100, True), (29, 100, 0.29, False),
])  # fmt: skip
def test_the_share_of_refused_rows(rejected: int, rows: int, share: float, fails: bool) -> None:
    assert bool(accounts.too_many(rejected, rows, share)) is fails
