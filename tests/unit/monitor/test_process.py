"""The monitor as a process: what a pod sees of it."""

import asyncio
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pytest

from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import Counts
from modelward_drift.counting.reading import Reading
from modelward_drift.profiles.reference import FILE, Reference
from modelward_inference.capture.wire import Batch

from .worlds import DEADLINE, MonitorProcess, Sender, batch, reference, send, write_bundle

KILLS = 5


def counted(of: Reference, batches: list[Batch]) -> list[Counts]:
    """What is to come out."""
    found = []
    for feature in of.features:
        columns = []
        for each in batches:
            tensor = (each.inputs if feature.side == "input" else each.outputs)[feature.tensor]
            columns.append(tensor.reshape(each.rows, -1)[:, feature.column or 0])
        found.append(count(feature.profile, np.concatenate(columns)))
    return found


def test_rows_are_counted_and_shown_and_survive_a_kill(tmp_path: Path) -> None:
    of = reference()
    write_bundle(tmp_path, of)
    batches = [batch(number, 10 * number, dropped=3, sampled_out=number) for number in (1, 2, 3)]
    with MonitorProcess(tmp_path) as monitor:
        send(monitor.socket, *batches)
        status, raw = monitor.get("/v1/counts")
        first = Reading.from_dict(raw, of)
        assert status == 200
        assert first.counts == tuple(counted(of, batches))
        assert (first.pod, first.final) == ("pod-1", False)
        assert (first.intake.counted, first.intake.dropped, first.intake.sampled_out) == (60, 3, 3)
        monitor.kill()
        monitor.start()
        assert monitor.get("/v1/counts") == (200, raw)
        send(monitor.socket, *batches, batch(4, 5))
        later = Reading.from_dict(monitor.get("/v1/counts")[1], of)
        assert later.epoch == first.epoch
        assert later.sequence > first.sequence
        assert later.counts == tuple(counted(of, [*batches, batch(4, 5)]))


def test_a_monitor_killed_at_any_moment_counts_every_row_once(tmp_path: Path) -> None:
    of = reference()
    write_bundle(tmp_path, of)
    random = np.random.default_rng(4)
    batches = [batch(number, int(random.integers(1, 40))) for number in range(1, 2001)]
    with MonitorProcess(tmp_path) as monitor:
        sender = Sender(monitor.socket, ())
        thread = threading.Thread(target=lambda: asyncio.run(_hand_over(sender, batches)))
        thread.start()
        readings = []
        for pause in random.uniform(0, 1.5, KILLS):
            thread.join(pause)  # any moment will do: of starting, of counting, of writing
            monitor.kill()
            monitor.start(wait=pause > 0.7)
            if pause > 0.7:
                readings.append(Reading.from_dict(monitor.get("/v1/counts")[1], of))
        thread.join(DEADLINE)
        monitor.kill()
        monitor.start()
        readings.append(Reading.from_dict(monitor.get("/v1/counts")[1], of))
    assert not sender.waiting
    assert readings[-1].counts == tuple(counted(of, batches))
    assert {each.epoch for each in readings} == {readings[-1].epoch}
    for earlier, later in pairwise(readings):
        assert all((one - other).rows >= 0 for one, other in zip(later.counts, earlier.counts, strict=True))
    assert readings[-1].intake.lost == 0


async def _hand_over(sender: Sender, batches: list[Batch]) -> None:
    """A few at a time, so that there is always something under way."""
    for start in range(0, len(batches), 250):
        sender.waiting |= {each.number: each for each in batches[start : start + 250]}
        await sender.run()


def test_a_damaged_snapshot_begins_an_epoch_and_says_what_is_lost(tmp_path: Path) -> None:
    of = reference()
    write_bundle(tmp_path, of)
    with MonitorProcess(tmp_path) as monitor:
        send(monitor.socket, batch(1, 70))
        epoch = monitor.get("/v1/counts")[1]["epoch"]
        monitor.kill()
        snapshot = monitor.folder / "state" / "snapshot"
        content = bytearray(snapshot.read_bytes())
        content[len(content) // 2] ^= 1
        snapshot.write_bytes(content)
        monitor.start()
        send(monitor.socket, batch(2, 5))
        found = Reading.from_dict(monitor.get("/v1/counts")[1], of)
        assert found.epoch != epoch
        assert (found.intake.counted, found.intake.lost) == (5, 70)
        assert snapshot.with_name("snapshot.damaged").exists()
        assert 'modelward_monitor_rows_total{result="lost"}' in monitor.metrics()


def test_a_reference_is_learned_from_the_first_rows_and_none_of_them_is_lost(tmp_path: Path) -> None:
    write_bundle(tmp_path, None)
    batches = [batch(number, 40) for number in range(1, 6)]
    with MonitorProcess(tmp_path, LEARN_ROWS="150") as monitor:
        send(monitor.socket, *batches[:2])
        status, answer = monitor.get("/v1/reference")
        assert (status, answer["learning"]) == (404, {"rows": 80, "of": 150})
        assert monitor.get("/v1/counts")[1]["learning"] == answer["learning"]
        assert monitor.metrics()["modelward_monitor_learning_rows"] == 80
        monitor.kill()
        monitor.start()
        send(monitor.socket, *batches[2:])
        status, raw = monitor.get("/v1/reference")
        of = Reference.from_dict(raw)
        assert of.source == "learned"
        assert [each.name for each in of.features] == ["x[0]", "x[1]", "city", "output:label"]
        found = Reading.from_dict(monitor.get("/v1/counts")[1], of)
        assert found.counts == tuple(counted(of, batches))
        assert found.intake.counted == 200
        assert monitor.request("PUT", "/v1/reference", body=orjson.dumps(raw))[0] == 200
        other = orjson.dumps(reference().to_dict())
        assert monitor.request("PUT", "/v1/reference", body=other)[0] == 409
        monitor.kill()
        monitor.start()
        assert Reading.from_dict(monitor.get("/v1/counts")[1], of) == found


def test_every_metric_says_of_which_revision_it_is(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    with MonitorProcess(tmp_path, MODEL_REVISION="fraud-7c1") as monitor:
        send(monitor.socket, batch(1, 30))
        shown = monitor.metrics()
    assert shown['modelward_monitor_rows_total{result="counted",revision="fraud-7c1"}'] == 30
    assert all('revision="fraud-7c1"' in name for name in shown)


def test_a_reference_that_is_given_counts_what_was_held_back(tmp_path: Path) -> None:
    write_bundle(tmp_path, None)
    of = reference()
    with MonitorProcess(tmp_path) as monitor:
        send(monitor.socket, batch(1, 30))
        assert monitor.request("PUT", "/v1/reference", body=b"{}")[0] == 400
        assert monitor.request("PUT", "/v1/reference", body=orjson.dumps(of.to_dict()))[0] == 200
        assert Reading.from_dict(monitor.get("/v1/counts")[1], of).counts == tuple(counted(of, [batch(1, 30)]))


@pytest.mark.parametrize("content", [b"{", b'{"schema_version": 9}', b"\xff"])
def test_an_unreadable_reference_is_a_problem_and_is_not_replaced(tmp_path: Path, content: bytes) -> None:
    write_bundle(tmp_path, None)
    (tmp_path / FILE).write_bytes(content)
    with MonitorProcess(tmp_path, LEARN_ROWS="100") as monitor:
        send(monitor.socket, batch(1, 300))
        status, answer = monitor.get("/v1/reference")
        assert (status, answer["problem"]) == (404, True)
        assert "modelward reference" in answer["error"]
        assert monitor.get("/v1/counts")[0] == 404
        assert monitor.request("PUT", "/v1/reference", body=orjson.dumps(reference().to_dict()))[0] == 409
        metrics = monitor.metrics()
        assert metrics["modelward_monitor_reference_problem"] == 1
        assert metrics['modelward_monitor_rows_total{result="refused"}'] == 300


def test_after_sigterm_the_last_counts_are_handed_over(tmp_path: Path) -> None:
    of = reference()
    write_bundle(tmp_path, of)
    with MonitorProcess(tmp_path, MONITOR_FAREWELL_SECONDS="50") as monitor:
        send(monitor.socket, batch(1, 30))
        assert monitor.get("/v1/counts?final=1")[1]["final"] is False
        monitor.terminate()
        reading = Reading.from_dict(monitor.get("/v1/counts")[1], of)
        while not reading.final:
            reading = Reading.from_dict(monitor.get("/v1/counts")[1], of)
        assert reading.intake.counted == 30
        assert monitor.process.poll() is None
        assert monitor.request("POST", "/", body=b"{}")[0] == 503
        assert monitor.get("/v1/counts?final=1")[1]["final"] is True
        assert monitor.process.wait(DEADLINE) == 0


def test_the_farewell_has_an_end_and_rows_in_flight_are_taken_first(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    with MonitorProcess(tmp_path, MONITOR_FAREWELL_SECONDS="0") as monitor:
        monitor.terminate()
        assert monitor.process.wait(DEADLINE) == 0


def test_events_of_kserves_logger_are_counted(tmp_path: Path) -> None:
    of = reference()
    write_bundle(tmp_path, of)
    with MonitorProcess(tmp_path, MONITOR_EVENTS="true") as monitor:

        def post(kind: str, document: object) -> tuple[int, object]:
            head = {"ce-type": f"org.kubeflow.serving.inference.{kind}", "ce-id": "1", "ce-specversion": "1.0"}
            return monitor.request("POST", "/", body=orjson.dumps(document), headers=head)

        assert post("request", {"instances": [{"x": [0.1, 0.2], "city": "bern"}, {"x": [1, None]}]}) == (
            200,
            {"rows": 2},
        )
        assert post("response", {"predictions": [1, 0]}) == (200, {"rows": 2})
        tensor = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1.0, 2.0]}
        assert post("request", {"inputs": [tensor]})[0] == 200
        status, answer = post("request", {"inputs": [{**tensor, "datatype": "COMPLEX"}]})
        assert status == 400
        assert "datatype" in str(answer)
        assert post("request", {"instances": ["a" * (5 << 20)]})[0] == 413
        found = Reading.from_dict(monitor.get("/v1/counts")[1], of)
        assert (found.intake.counted, found.intake.refused) == (3, 2)
        assert [each.rows for each in found.counts] == [3, 3, 3, 2]
        assert [int(each.cells[-1]) for each in found.counts] == [0, 1, 2, 0]


def test_events_are_refused_where_nobody_asked_for_them(tmp_path: Path) -> None:
    of = reference()
    write_bundle(tmp_path, of)
    with MonitorProcess(tmp_path) as monitor:
        head = {"ce-type": "org.kubeflow.serving.inference.request", "ce-id": "1", "ce-specversion": "1.0"}
        body = orjson.dumps({"instances": [{"x": [9.0, 9.0], "city": "bern"}] * 500})
        for _ in range(3):
            status, answer = monitor.request("POST", "/", body=body, headers=head)
            assert status == 403
            assert "MONITOR_EVENTS=true" in str(answer)
        found = Reading.from_dict(monitor.get("/v1/counts")[1], of)
        assert (found.intake.counted, found.intake.refused) == (0, 0)


def test_the_page_documents_every_endpoint(tmp_path: Path) -> None:
    write_bundle(tmp_path, reference())
    with MonitorProcess(tmp_path) as monitor:
        paths = monitor.get("/openapi.json")[1]["paths"]
        assert set(paths) == {"/healthz", "/metrics", "/v1/reference", "/v1/counts", "/v1/log", "/v1/windows", "/"}
        assert monitor.get("/docs")[0] == 200
        assert monitor.get("/nothing") == (404, {"error": "Not Found"})
        status, answer = monitor.get("/v1/windows")
        assert (status, answer["windows"][0]["rows"]) == (200, 0)
