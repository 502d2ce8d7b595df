"""The stage before the model: what it fills, what it refuses with which status, and what it counts."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import REGISTRY

from feastserver.recorded import Recorded, send
from modelward_inference import authorities
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.features.stage import LARGE, MAX_ROWS, Clock, Stage
from modelward_inference.protocol.messages import ModelRefusedError, RequestError, UnavailableError

from .drivers import SIGNATURE, asking, settings

LONG = 60.0


def stage(store: Recorded, version: str = "1", wall: Clock = time.time, **more: Any) -> Stage:
    manifest = Manifest(
        "m", "onnx", "model.onnx", "sha256:" + "a" * 64, 1, "s3://b/m", "2026-01-01T00:00:00Z", SIGNATURE
    )
    return Stage(settings(store.url, **{"timeout": LONG, **more}), manifest, version, authorities.trust, wall)


def value(name: str, version: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"modelward_features_{name}", {"model": "m", "version": version, **labels}) or 0.0


async def test_it_fills_what_the_request_lacks() -> None:
    with Recorded() as store:
        made = stage(store, "fills")
        request = asking(1, trips=[8])
        filled = await made.filled(request, time.monotonic() + LONG)
        made.close()
    assert {each.name: each.array.tolist() for each in filled.inputs} == {
        "trips": [[8]], "rating": [[4.5]], "city": [["a"]],
    }  # fmt: skip
    assert {name: keys.tolist() for name, keys in filled.entities.items()} == {"modelward.entity/driver_id": [1]}
    assert filled.told == {"features": f"drivers_v1@{made.digest}"}
    assert made.definitions()["digest"] == made.digest
    assert value("values_total", "fills", outcome="present") == 2
    assert value("request_duration_seconds_count", "fills", result="ok") == 1


async def test_a_request_that_brings_everything_asks_nobody() -> None:
    with Recorded() as store:
        made = stage(store)
        for request in (asking(1, trips=[1], rating=[1], city=["a"]), asking(trips=[1])):
            assert await made.filled(request, time.monotonic() + LONG) is request
        made.close()
    assert store.asked == []


async def test_rules_that_refuse_are_422_and_count_values_and_no_failure() -> None:
    with Recorded() as store:
        made = stage(store, "refuses", max_age=3600.0)
        with pytest.raises(ModelRefusedError, match="no such entity") as caught:
            await made.filled(asking(99), time.monotonic() + LONG)
        assert (caught.value.status, caught.value.by) == (422, "features")
        store.ages[1] = 7200.0
        with pytest.raises(ModelRefusedError, match="too old"):
            await made.filled(asking(1), time.monotonic() + LONG)
        made.close()
    assert value("values_total", "refuses", outcome="missing_refused") == 3
    assert value("values_total", "refuses", outcome="stale_refused") == 3
    assert value("request_duration_seconds_count", "refuses", result="failed") == 0


async def test_a_store_that_fails_is_503_with_its_reason_and_says_nothing_of_its_words() -> None:
    with Recorded() as store:
        store.instead = lambda handler: send(handler, 500, "secret words")
        made = stage(store, "fails")
        with pytest.raises(UnavailableError, match=r"^features can't be had \(failed\): .* answers 500$") as caught:
            await made.filled(asking(1), time.monotonic() + LONG)
        made.close()
    assert (caught.value.status, caught.value.again) == (503, False)
    assert value("failures_total", "fails", reason="failed") == 1
    assert value("request_duration_seconds_count", "fails", result="failed") == 1


async def test_an_unknown_service_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with Recorded() as store:
        made = stage(store, service="nope")
        with pytest.raises(UnavailableError, match="denied"):
            await made.filled(asking(1), time.monotonic() + LONG)
        made.close()
    assert "Feature service nope does not exist" in caplog.text


async def test_a_late_answer_is_504_by_the_requests_own_deadline() -> None:
    with Recorded() as store:
        made = stage(store)
        with pytest.raises(UnavailableError, match="timeout") as caught:
            await made.filled(asking(1), time.monotonic())
        made.close()
    assert caught.value.status == 504


async def test_too_many_keys_are_refused_before_anybody_is_asked() -> None:
    with Recorded() as store:
        made = stage(store)
        with pytest.raises(RequestError, match=f"{MAX_ROWS} rows") as caught:
            await made.filled(asking(*range(MAX_ROWS + 1)), time.monotonic() + LONG)
        made.close()
    assert caught.value.status == 413
    assert store.asked == []


async def test_many_rows_are_filled_in_their_order() -> None:
    rows = {number: {"trips": number, "rating": number / 2, "city": str(number)} for number in range(MAX_ROWS)}
    with Recorded(rows) as store:
        made = stage(store)
        filled = await made.filled(asking(*reversed(range(MAX_ROWS))), time.monotonic() + LONG)
        made.close()
    trips = next(each for each in filled.inputs if each.name == "trips")
    assert trips.array.ravel().tolist() == list(reversed(range(MAX_ROWS)))


@pytest.mark.parametrize("large", [False, True])
async def test_an_answer_with_much_that_the_model_does_not_take_holds_up_no_other_request(large: bool) -> None:
    with Recorded() as store:
        answer = store.answer([1])
        if large:
            answer["metadata"]["feature_names"].append("driver_stats__text")
            answer["results"].append({"values": ["x" * LARGE], "statuses": ["PRESENT"]})
        store.instead = lambda handler: send(handler, 200, json.dumps(answer))
        read_by: list[threading.Thread] = []

        def now() -> float:
            read_by.append(threading.current_thread())
            return time.time()

        made = stage(store, wall=now)
        filled = await made.filled(asking(1), time.monotonic() + LONG)
        made.close()
    assert len(filled.inputs) == 3
    assert [each is threading.current_thread() for each in read_by] == [not large]


async def test_the_token_may_change_and_go(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with Recorded() as store:
        with pytest.raises(InvalidConfiguration, match="holds no token"):
            stage(store, token=token)
        token.write_text("first\n")
        made = stage(store, token=token)
        await made.filled(asking(1), time.monotonic() + LONG)
        assert store.headers["Authorization"] == "Bearer first"
        token.write_text("second")
        await made.filled(asking(1), time.monotonic() + LONG)
        assert store.headers["Authorization"] == "Bearer second"
        token.write_text("two words\r\nX-Forged: 1")
        with pytest.raises(UnavailableError, match="no token to ask with"):
            await made.filled(asking(1), time.monotonic() + LONG)
        made.close()


async def test_the_definitions_are_one_series() -> None:
    with Recorded() as store:
        made = stage(store)
        await made.filled(asking(1), time.monotonic() + LONG)
        before = made.digest
        answer = store.answer([1])
        answer["metadata"]["feature_view_metadata"][0]["version"] = 3
        store.instead = lambda handler: send(handler, 200, json.dumps(answer))
        await made.filled(asking(1), time.monotonic() + LONG)
        made.close()
    assert made.digest != before

    def info(digest: str | None) -> float | None:
        return REGISTRY.get_sample_value("modelward_features_info", {"service": "drivers_v1", "digest": str(digest)})

    assert (info(before), info(made.digest)) == (None, 1.0)
