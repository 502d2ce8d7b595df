"""The page says what the evaluator found, whether from its result or from what an operator remembers of it."""

import base64
import json
import random
import re
import zlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from modelward_evaluate.job import VARIABLE, main
from modelward_inference import cli
from modelward_inference.drift_report.command import write
from modelward_inference.drift_report.from_memory import UNPACKED, read_memory, unpacked
from modelward_inference.drift_report.from_result import read_parity, read_result
from modelward_inference.drift_report.worth import Worth
from modelward_inference.errors import InvalidConfiguration
from unit.evaluate.lakes import START, Lake, outcome, prediction

from .test_page import EVIL, Page

TASK = {"task": "classes", "label": "output.label", "score": "output.score", "positive": "1"}
DAY = 86400.0
DAYS = 8
"""Of predictions; on the last three the labels mean something else."""

NOW = START + timedelta(days=DAYS + 1)


def rows() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    chance, predicted, told = random.Random(5), [], []
    for number in range(DAYS * 150):
        day, score = divmod(number, 150)[0], chance.random()
        time = START + timedelta(days=day, seconds=number)
        columns = {"output.score": score, "input.country": chance.choice(["DE", EVIL]), "time": time,
                   "input.sex": "x" if number % 150 < 2 else chance.choice("fm")}  # fmt: skip
        predicted.append(prediction(number, int(score > 0.5), **columns))
        truth = chance.random() < (1 - score if day >= 5 else score)
        arrived = time + timedelta(hours=1)
        told.append(outcome(number, int(truth), time=arrived, arrived=arrived))
    return predicted, told


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same rows as a result, and as the message of a Job."""
    folder = tmp_path_factory.mktemp("lake")
    lake, (predicted, told) = Lake(folder), rows()
    lake.predict(predicted)
    lake.tell(told)
    spec = {
        "task": TASK, "label_window_seconds": 2 * DAY, "now": NOW.isoformat(),
        "segments": [{"name": "country", "column": "input.country"}],
        "fairness": {"name": "sex", "column": "input.sex"},
    }  # fmt: skip
    watched = {"reference_days": 4, "budget": 0.05}
    job = {
        "evaluation": {"predictions": {"path": str(lake.log)}, "outcomes": {"path": str(lake.outcomes)}, **spec},
        "revision": "r1", "metrics": ["rocAuc", "recall"], "level": 0.99,
        "concept": {"begin": START.isoformat(), "end": NOW.isoformat(), "asked": watched},
    }  # fmt: skip
    assert main({VARIABLE: json.dumps(job)}, folder / "message") == 0
    return {"result": lake.said(**spec, concept=watched), "message": (folder / "message").read_text()}


@pytest.fixture
def result(found: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "result.json"
    path.write_text(json.dumps(found["result"]))
    return path


def remembered(message: str, **others: Any) -> dict[str, Any]:
    matured = (NOW - timedelta(days=2)).timestamp()
    cohort = {"slot": NOW.timestamp(), "begin": START.timestamp(), "end": matured, "level": 0.99, "basis": "b"}
    quality = {"message": message, "cohort": cohort, **others.pop("quality", {})}
    return {"data": {"memory": json.dumps({"name": "fraud", "quality": quality, **others})}}


def memory(tmp_path: Path, message: str, **others: Any) -> Path:
    path = tmp_path / "memory.json"
    path.write_text(json.dumps(remembered(message, **others)))
    return path


def test_a_result_is_shown_as_it_is_with_its_pictures_in_words(result: Path, found: dict[str, Any]) -> None:
    page = write(result.with_name("page.html"), outcomes=result).read_text()
    seen = Page(page)
    (whole,) = [each for each in found["result"]["values"] if not each["segment"]]
    auc = whole["metrics"]["rocAuc"]
    assert f"{auc['value']:.4g}" in seen.text
    assert f"{auc['low'] - auc['within']:.4g} to {auc['high'] + auc['within']:.4g}" in seen.text
    assert "The loss has risen since 6 Mar" in seen.text
    pictures = seen.count("svg")
    assert pictures >= 6
    assert all("img" in of["role"] for tag, of in seen.tags if tag == "svg")
    titles = re.findall(r'<svg [^>]*role="img"><title>([^<]+)</title>', page)
    assert len(titles) == pictures, "each says in words what it shows"
    assert any("the loss rose since 6 Mar" in each for each in titles)


def test_what_has_not_matured_is_shaded_and_only_that(result: Path, found: dict[str, Any]) -> None:
    page = write(result.with_name("page.html"), outcomes=result).read_text()
    assert page.count('class="waiting"') == 2, "in both pictures by day"
    assert "outcomes still to come" in page
    at_once = result.with_name("at_once.json")
    at_once.write_text(json.dumps(found["result"] | {"matured": NOW.isoformat(), "now": NOW.isoformat()}))
    assert 'class="waiting"' not in write(result.with_name("page.html"), outcomes=at_once).read_text()


def test_the_message_of_a_job_says_the_same_as_its_result(result: Path, found: dict[str, Any]) -> None:
    one, other = read_result(result), read_memory(memory(result.parent, found["message"]))[0]
    assert isinstance(other, Worth)
    assert other.metrics[:2] == ("rocAuc", "recall")
    for name in ("rocAuc", "recall", "brier"):
        assert other.values[name].value == pytest.approx(one.values[name].value, rel=1e-6)
        assert other.values[name].rows == one.values[name].rows
    drawn = {(each.day, each.metric): each.measure.value for each in one.days}
    assert other.days
    assert all(each.measure.value == pytest.approx(drawn[each.day, each.metric], rel=1e-3) for each in other.days)
    assert [each.share.rows for each in other.calibration] == [each.share.rows for each in one.calibration]
    assert {each.name for each in other.gaps} == {each.name for each in one.gaps}
    # A Job's message has no concept drift of groups of people: they are no segments of its policy.
    rises = [(each.segment, each.part) for each in one.shifts if each.alarm and each.segment != "sex"]
    assert sorted((each.segment, each.part) for each in other.shifts if each.alarm) == sorted(rises)
    for each in (one, other):
        assert {group.part for group in each.groups} == {"f", "m"}, "nothing is said of sixteen people"


def test_what_the_operator_remembers_stands_beside_drift(found: dict[str, Any], tmp_path: Path) -> None:
    history = [["2026-02-27", "r0", "rocAuc", 0.9, 0.8, 0.95, 70], ["2026-03-01", "r1", "rocAuc", 0.123, 0.1, 0.2, 149]]
    signals = [
        {"kind": "quality", "name": "rocAuc", "breached": True, "since": "2026-03-07T00:00:00Z", "message": "too low"},
        {"kind": "fairness", "name": "equalizedOdds", "message": f"small {EVIL}"},
        {"kind": "window", "name": "amount", "breached": True, "message": "of drift"},
    ]
    columns = [["input.amount", "amount", 1, 0.2, 0.1, 0.3, 500, 100, 1, 2, "2026-03-05"]]
    told = {"v": 1, "revision": "r1", "rows": 500, "checked": 3, "unequal": 1, "columns": columns}
    packed = "modelward-quality:" + base64.b85encode(zlib.compress(json.dumps(told).encode())).decode()
    parity = {"message": packed, "since": {"input.amount": "2026-02-20"}}
    path = memory(tmp_path, found["message"], quality={"history": history}, signals=signals, parity=parity)
    page = Page(write(tmp_path / "page.html", memory=path).read_text())
    assert "1 of 2 rules about outcomes are broken" in page.text
    assert "since 7 Mar" in page.text
    assert "of drift" not in page.text
    assert "0.123" in page.text, "a whole day that is remembered goes before a part of it"
    assert "r0" in page.text
    assert "input.amount" in page.text
    assert "2026-02-20" in page.text


def test_names_do_nothing(result: Path) -> None:
    text = write(result.with_name("page.html"), outcomes=result).read_text()
    page = Page(text)
    assert page.count("script") == 0
    assert "<script" not in text
    assert not [tag for tag, of in page.tags if {"src", "onerror", "onload"} & of.keys() or tag in ("img", "link")]
    assert [of["href"] for tag, of in page.tags if tag == "a"] == ["#quality", "#segments", "#fairness"]


def test_parity_alone_is_a_page(tmp_path: Path) -> None:
    share = {"value": 0.25, "low": 0.2, "high": 0.3, "rows": 400, "within": 0.0}
    column = {
        "column": "input.a",
        "feature": "a",
        "share": share,
        "loggedMissing": 0,
        "featureMissing": 3,
        "since": None,
    }
    path = tmp_path / "parity.json"
    path.write_text(json.dumps({"counts": {"compared": 400}, "columns": [column], "unequal": ["input.a"]}))
    assert read_parity(path).columns[0].wrong
    page = Page(write(tmp_path / "page.html", parity=path).read_text())
    assert "1 column of requests is unequal" in page.text
    assert "25.00%" in page.text


def test_nothing_is_green_of_which_nobody_knows_anything(tmp_path: Path) -> None:
    def page(**memory_of: Any) -> tuple[str, str]:
        written = write(tmp_path / "page.html", memory=memory(tmp_path, "", **memory_of)).read_text()
        return re.findall(r'<header class="(\w+)">', written)[0], " ".join(Page(written).text.split())

    problem = {"reason": "NoLog", "message": "there is no <log>"}
    state, text = page(parity={"problem": problem})
    assert state == "none"
    assert "Nothing is known of feature parity yet" in text
    assert ": there is no <log>" in text
    blank = {"kind": "quality", "name": "rocAuc", "breached": False, "bound": "0.8"}
    state, text = page(signals=[blank | {"message": "no outcomes are known yet"}])
    assert (state, "Not known ROC AUC" in text) == ("none", True)
    _, text = page(signals=[blank | {"value": "0.9", "missing": "the log is gone"}])
    assert "Not known ROC AUC" in text
    _, text = page(signals=[blank | {"value": "0.9", "message": "well"}])
    assert "Not broken ROC AUC" in text
    _, text = page(signals=[blank | {"breached": True, "value": "0.7", "missing": "the log is gone"}])
    assert "Broken ROC AUC" in text


def test_parity_of_no_rows_is_not_known(tmp_path: Path) -> None:
    column = {"column": "input.a", "feature": "a", "share": None}
    path = tmp_path / "parity.json"
    path.write_text(json.dumps({"counts": {"compared": 0}, "columns": [column], "unequal": []}))
    page = write(tmp_path / "page.html", parity=path).read_text()
    assert '<header class="none">' in page
    assert "Nothing is known of feature parity yet" in page


@pytest.mark.parametrize("strange", [1e300, -1.0, "soon", None])
def test_what_is_no_time_is_refused(found: dict[str, Any], tmp_path: Path, strange: Any) -> None:
    body = json.loads(remembered(found["message"])["data"]["memory"])
    body["quality"]["cohort"]["begin"] = strange
    path = tmp_path / "memory.json"
    path.write_text(json.dumps({"data": {"memory": json.dumps(body)}}))
    with pytest.raises(InvalidConfiguration, match="kubectl get configmap"):
        read_memory(path)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"values": []}, "no prediction in it has matured"),
        ({"matured": "soon"}, "soon"),
        ({"counts": {"matured": -1}}, "no number of rows"),
        (
            {"pictures": [{"revision": "r1", "arm": "stable", "days": [["2026-03-01", "f1", float("nan"), 0, 0, 1]]}]},
            "nan",
        ),
        ({"pictures": "none"}, "pictures is no list"),
        ({"values": [{"revision": "r1"}]}, "arm"),
    ],
)
def test_what_is_no_result_is_refused_with_its_name(
    result: Path, found: dict[str, Any], changes: dict[str, Any], why: str
) -> None:
    result.write_text(json.dumps(found["result"] | changes))
    with pytest.raises(InvalidConfiguration, match=re.escape(str(result))) as raised:
        read_result(result)
    assert why in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"data": {"memory": "["}}', '{"data": {"memory": "{\\"quality\\": 3}"}}']
)
def test_what_is_no_memory_is_refused_with_the_command_that_gives_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "memory.json"
    path.write_text(text)
    with pytest.raises(InvalidConfiguration, match="kubectl get configmap"):
        read_memory(path)


def test_a_message_is_unpacked_to_a_bound(tmp_path: Path) -> None:
    bomb = "modelward-quality:" + base64.b85encode(zlib.compress(b" " * (UNPACKED + 1) + b"{}")).decode()
    with pytest.raises(ValueError, match="too long"):
        unpacked(bomb)
    with pytest.raises(InvalidConfiguration, match="too long"):
        read_memory(memory(tmp_path, bomb))


def test_a_policy_that_knows_nothing_yet_has_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = memory(tmp_path, "")
    assert cli.main(["drift", "report", "--memory", str(path), "--out", str(tmp_path / "page.html")]) != 0
    assert "says nothing of outcomes yet" in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


def test_why_nothing_newer_is_known_is_said(found: dict[str, Any], tmp_path: Path) -> None:
    problem = {"reason": "NoOutcomes", "message": "No outcome came <at all>"}
    path = memory(tmp_path, found["message"], quality={"problem": problem})
    page = write(tmp_path / "page.html", memory=path).read_text()
    assert "No outcome came &lt;at all&gt;" in page
