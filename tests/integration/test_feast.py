"""A real Feast with sqlite as its online store: what tests/feastserver/recorded.py pretends is what it says, and a
model that is asked by keys answers as it does on what get_historical_features says of the same moment.
"""

import http.client
import json
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from feastserver.recorded import KEY, SERVICE, Recorded, Rows
from feastserver.server import FeastServer
from localcluster.loopback import DIRECT
from modelward_evaluate import parity
from modelward_monitor.predictionlog import schema, table
from modelward_monitor.predictionlog.names import File, Folder
from modelward_monitor.predictionlog.settings import Columns
from unit.inference.fake_monitor import FakeMonitor
from unit.inference.features.drivers import model
from unit.inference.processes import DEADLINE, ServerProcess

KNOWN, UNRATED, OLD, UNKNOWN = 1, 2, 3, 99


@pytest.fixture(scope="module")
def feast(in_sight: Callable[[], AbstractContextManager[None]]) -> Iterator[FeastServer]:
    with in_sight(), FeastServer() as server:
        yield server


@dataclass
class Served:
    """The model `m`, asked by REST."""

    process: ServerProcess

    def ask(self, *drivers: int, path: str = "/v2/models/m/infer") -> tuple[int, Any]:
        inputs = [{"name": KEY, "shape": [len(drivers)], "datatype": "INT64", "data": drivers}]
        connection = http.client.HTTPConnection("127.0.0.1", self.process.port, timeout=DEADLINE)
        try:
            connection.request("POST", path, json.dumps({"inputs": inputs}))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def answers(self, *drivers: int) -> dict[str, list[Any]]:
        status, answer = self.ask(*drivers)
        assert status == 200, answer
        return {each["name"]: each["data"] for each in answer["outputs"]}


def serving(folder: Path, feast: FeastServer, more: dict[str, str] | None = None, **features: Any) -> ServerProcess:
    told = {"url": feast.url, "service": SERVICE, "entities": {KEY: "Int64"}, "timeout": DEADLINE, **features}
    folder.mkdir()
    settings = {"MODEL_FEATURES": json.dumps(told), "DRAIN_SECONDS": "0", **(more or {})}
    return ServerProcess(folder, model=model(), **settings)


def post(url: str, **body: Any) -> tuple[int, Any]:
    request = urllib.request.Request(
        f"{url}/get-online-features", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    try:
        with DIRECT.open(request, timeout=DEADLINE) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def sorted_by_name(answer: dict[str, Any]) -> list[Any]:
    """Feast gives features in an order of chance; times are those of each server's own data."""
    names = answer["metadata"]["feature_names"]
    columns = [(name, {**each, "event_timestamps": len(each["event_timestamps"])}) for name, each in
               zip(names, answer["results"], strict=True)]  # fmt: skip
    return [*sorted(columns, key=lambda each: each[0]), answer["metadata"]["feature_view_metadata"]]


def test_the_recorded_server_answers_as_the_real_one(feast: FeastServer) -> None:
    asked = {"full_feature_names": True, "include_feature_view_version_metadata": True}
    rows: Rows = {
        KNOWN: {"trips": 5, "rating": 4.5, "city": "a"}, UNRATED: {"trips": 7, "rating": None, "city": "b"},
        OLD: {"trips": 9, "rating": 3.25, "city": "c"},
    }  # fmt: skip
    with Recorded(rows) as recorded:
        both = [
            [
                post(url, feature_service=SERVICE, entities={KEY: [1, 2, 3, 99]}, **asked),
                post(url, feature_service="nope", entities={KEY: [1]}),
            ]
            for url in (feast.url, recorded.url)
        ]
    (real, unknown), (told, told_unknown) = both
    assert (real[0], sorted_by_name(real[1])) == (told[0], sorted_by_name(told[1]))
    assert (unknown[0], "FeatureServiceNotFoundException" in unknown[1]) == (404, True)
    assert (told_unknown[0], "FeatureServiceNotFoundException" in told_unknown[1]) == (404, True)


def test_what_is_missing_and_what_is_stale_have_their_rules(feast: FeastServer, tmp_path: Path) -> None:
    with serving(tmp_path / "b", feast, maxAge=86_400) as process:
        served = Served(process)
        assert served.answers(KNOWN) == {"score": [9.5], "where": ["a"]}, "the newest row, and not the one before"
        for driver, why in ((UNKNOWN, "no such entity"), (UNRATED, "no value"), (OLD, "too old")):
            status, answer = served.ask(KNOWN, driver)
            assert (status, f"{KEY}={driver}" in answer["error"], why in answer["error"]) == (422, True, True), answer
    rules: dict[str, Any] = {
        "onMissing": "Default",
        "defaults": {"trips": "0", "rating": "2", "city": "-"},
        "onStale": "Use",
    }
    with serving(tmp_path / "c", feast, maxAge=86_400, **rules) as process:
        answers = Served(process).answers(KNOWN, UNRATED, OLD, UNKNOWN)
    assert answers == {"score": [9.5, 9.0, 12.25, 2.0], "where": ["a", "b", "c", "-"]}


def test_a_model_gets_what_training_would_have_got(feast: FeastServer, tmp_path: Path) -> None:
    """Answers, and by `parity-check` every logged feature, against get_historical_features at the same moment."""
    history = {row[KEY]: row for row in parquet.read_table(feast.history / "features.parquet").to_pylist()}
    (tmp_path / "m").mkdir()
    monitor_path = tmp_path / "m" / "s"
    more = {"CAPTURE_SOCKET": str(monitor_path)}
    with (
        FakeMonitor(monitor_path) as monitor,
        serving(tmp_path / "b", feast, more, onMissing="Default", defaults={"rating": "nan"}) as process,
    ):
        served = Served(process)
        manifest = process.manifest
        drivers = (KNOWN, OLD, KNOWN)
        answers = served.answers(*drivers)
        assert answers["score"] == [history[each]["trips"] + history[each]["rating"] for each in drivers]
        assert answers["where"] == [history[each]["city"] for each in drivers]
        served.answers(UNRATED)
        monitor.wait(lambda: monitor.rows_seen() == 4)
    columns = [*schema.columns_of(manifest, None), *schema.keys_of({KEY: "INT64"})]
    kept, fields, unknown = schema.changed(columns, Columns())
    assert not unknown
    rules = table.Rules(tuple(kept), fields, Columns(), "1")
    parts = [part for batch in monitor.disk.batches for part in table.parts(batch, rules, table.Tally())]
    rows = pa.concat_tables(part.table for part in parts)
    assert sorted(rows.column("entity.driver_id").to_pylist()) == [KNOWN, KNOWN, UNRATED, OLD]
    lake = tmp_path / "lake"
    where = lake / Folder.at("ml", "m", "r1", int(time.time()) // 3600).path
    where.mkdir(parents=True)
    parquet.write_table(rows, where / File("pod", "0123456789abcdef", 1, 1).name)
    spec = {
        "predictions": {"path": str(lake)}, "key": "entity.driver_id",
        "features": {"path": str(feast.history), "key": KEY, "time": "event_timestamp"},
    }  # fmt: skip
    (tmp_path / "parity.json").write_text(json.dumps(spec))
    assert parity.main([str(tmp_path / "parity.json"), "--out", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["unequal"] == []
    assert {each["column"]: each["share"]["value"] for each in found["columns"]} == {
        "input.trips": 0.0, "input.rating": 0.0, "input.city": 0.0,
    }  # fmt: skip
    assert found["counts"]["compared"] == 4
