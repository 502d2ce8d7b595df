"""What becomes of a feature server's answers: values by name and type, the rules, and what is none."""

import copy
import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from feastserver.recorded import ANSWER
from modelward_inference.features import answers
from modelward_inference.features.answers import AnswerError, Found, MissingFeaturesError
from modelward_inference.features.settings import Entity, FeatureSettings
from modelward_inference.features.wanted import keys_of, wanted_of
from modelward_inference.protocol.messages import InferRequest, Input

from .drivers import SIGNATURE, asking, settings

NOW = datetime(2026, 11, 30, 13, 27, tzinfo=UTC).timestamp()
DRIVERS = (1, 2, 3, 99)


def found(how: FeatureSettings, answer: Any = ANSWER, drivers: tuple[int, ...] = DRIVERS, **own: Any) -> Found:
    keys = keys_of(asking(*drivers, **own), how.entities, wanted_of(SIGNATURE, (), how))
    assert keys is not None
    return answers.found(how, keys, answers.read(json.dumps(answer).encode(), len(drivers)), NOW)


def of(*rows: int) -> dict[str, Any]:
    """The recorded answer, of some of its drivers."""
    made = copy.deepcopy(ANSWER)
    for each in made["results"]:
        for name, values in each.items():
            each[name] = [values[row] for row in rows]
    return made


def changed(feature: str, **columns: Any) -> dict[str, Any]:
    """The recorded answer of driver 1, with other columns of one feature."""
    made = of(0)
    made["results"][made["metadata"]["feature_names"].index(feature)].update(columns)
    return made


DEFAULTS: dict[str, Any] = {"on_missing": "Default", "defaults": {"trips": "-1", "rating": "2.5", "city": "none"}}


def test_the_question_is_feasts() -> None:
    how = settings()
    keys = keys_of(asking(1, 99), how.entities, wanted_of(SIGNATURE, (), how))
    assert keys is not None
    assert json.loads(answers.question(how, keys)) == {
        "feature_service": "drivers_v1", "entities": {"driver_id": [1, 99]}, "full_feature_names": True,
        "include_feature_view_version_metadata": True,
    }  # fmt: skip


def test_values_come_by_name_in_the_models_types() -> None:
    got = {each.name: (each.datatype, each.array) for each in found(settings(), of(0), (1,)).inputs}
    assert {name: datatype for name, (datatype, _) in got.items()} == {
        "trips": "INT64", "rating": "FP32", "city": "BYTES",
    }  # fmt: skip
    assert {name: (array.dtype.str, array.tolist()) for name, (_, array) in got.items()} == {
        "trips": ("<i8", [[5]]), "rating": ("<f4", [[4.5]]), "city": ("|O", [["a"]]),
    }  # fmt: skip


def test_what_is_missing_is_refused_and_named_and_everything_is_counted() -> None:
    with pytest.raises(MissingFeaturesError) as caught:
        found(settings())
    words = str(caught.value)
    assert "trips of row 3 (driver_id=99): the store has no such entity" in words
    assert "rating of row 1 (driver_id=2): the store has no value" in words
    assert "and 2 more" in words
    assert caught.value.counts == {"present": 7, "missing_refused": 5}


def test_what_is_missing_is_a_default_where_there_is_one() -> None:
    got = found(settings(**DEFAULTS))
    columns = {each.name: each.array.ravel().tolist() for each in got.inputs}
    assert columns == {"trips": [5, 7, 9, -1], "rating": [4.5, 2.5, 3.25, 2.5], "city": ["a", "b", "none", "none"]}
    assert got.counts == {"present": 7, "missing_default": 5}


def test_a_feature_without_a_default_is_refused() -> None:
    how = settings(on_missing="Default", defaults={"trips": "0", "rating": "0"})
    with pytest.raises(MissingFeaturesError, match="city of row 2"):
        found(how)


def test_null_is_nan_and_no_text() -> None:
    how = settings(on_missing="Null", entities=settings().entities)
    small = type(SIGNATURE)(SIGNATURE.inputs[1:], SIGNATURE.outputs)
    keys = keys_of(asking(*DRIVERS), how.entities, wanted_of(small, (), how))
    assert keys is not None
    got = answers.found(how, keys, answers.read(json.dumps(ANSWER).encode(), 4), NOW)
    rating, city = (each.array.ravel() for each in got.inputs)
    np.testing.assert_array_equal(rating, np.array([4.5, np.nan, 3.25, np.nan], np.float32))
    assert city.tolist() == ["a", "b", None, None]
    assert got.counts == {"present": 4, "missing_null": 4}


@pytest.mark.parametrize(
    ("columns", "outcome"),
    [
        ({"statuses": ["NULL_VALUE"], "values": [None]}, "missing_default"),
        ({"statuses": ["NOT_FOUND"], "values": [7.0]}, "missing_default"),
        ({"values": ["NaN"]}, "missing_default"),
        ({"values": ["Infinity"]}, "present"),
        ({"statuses": ["OUTSIDE_MAX_AGE"]}, "stale_used"),
        ({"statuses": ["OUTSIDE_MAX_AGE"], "values": [None]}, "missing_default"),
    ],
)
def test_each_status_has_its_rule(columns: dict[str, list[Any]], outcome: str) -> None:
    got = found(settings(**DEFAULTS, on_stale="Use"), changed("driver_stats__rating", **columns), (1,))
    assert got.counts[outcome] == (3 if outcome == "present" else 1)


@pytest.mark.parametrize(
    ("max_age", "stale"), [(3600 * 2, 0), (3600, 0), (3599, 3), (None, 0)], ids=["young", "just", "old", "no limit"]
)
def test_a_value_is_stale_by_its_own_time(max_age: float | None, stale: int) -> None:
    """The driver's values are an hour old. Feast itself says PRESENT of whatever its store has."""
    got = found(settings(max_age=max_age, on_stale="Use"), of(0), (1,))
    assert got.counts.get("stale_used", 0) == stale


def test_what_is_stale_is_refused_with_its_age() -> None:
    with pytest.raises(
        MissingFeaturesError, match=r"trips of row 0 \(driver_id=3\): its value is too old \(259200 s\)"
    ):
        found(settings(max_age=86400, on_missing="Default", defaults={"city": "x"}), of(2), (3,))


def test_what_has_no_time_is_never_stale() -> None:
    """Features that are computed on demand. With a limit it is told that nobody knows whether it holds."""
    columns = {"event_timestamps": ["1970-01-01T00:00:00Z"]}
    made = changed("driver_stats__rating", **columns)
    got = found(settings(max_age=7200), made, (1,))
    assert got.counts == {"present": 2, "present_ageless": 1}
    assert found(settings(), made, (1,)).counts == {"present": 3}


@pytest.mark.parametrize("times", [None, []])
def test_a_server_that_tells_no_times_is_refused_where_values_may_be_too_old(times: list[str] | None) -> None:
    made = of(0)
    for each in made["results"]:
        each["event_timestamps"] = times
    assert found(settings(), made, (1,)).counts == {"present": 3}
    with pytest.raises(AnswerError, match=r"tells no event timestamps of 'trips'.*leave maxAge out") as refused:
        found(settings(max_age=1), made, (1,))
    assert refused.value.reason == "untimed"


def test_what_is_missing_or_old_by_its_status_needs_no_time() -> None:
    made = of(0)
    statuses = {"driver_stats__trips": "NOT_FOUND", "driver_stats__rating": "OUTSIDE_MAX_AGE"}
    for name, each in zip(made["metadata"]["feature_names"], made["results"], strict=True):
        each |= {"event_timestamps": [], "statuses": [statuses.get(name, "NULL_VALUE")]}
    got = found(settings(max_age=1, on_stale="Use", **DEFAULTS), made, (1,))
    assert got.counts == {"missing_default": 2, "stale_used": 1}


def test_only_what_the_request_lacks_is_taken() -> None:
    got = found(settings(), of(0), (1,), trips=[4])
    assert [each.name for each in got.inputs] == ["rating", "city"]


@pytest.mark.parametrize(
    ("feature", "value", "words"),
    [
        ("driver_stats__trips", 4.5, "'trips' has a value of type float, and the model takes INT64"),
        ("driver_stats__trips", "5", "type str"), ("driver_stats__rating", "4.5", "type str"),
        ("driver_stats__city", 5, "'city' has a value of type int, and the model takes BYTES"),
        ("driver_stats__rating", [1.0], "type list"), ("driver_stats__trips", 2**63, "too large for INT64"),
        ("driver_stats__rating", 1e300, "too large for FP32"),
    ],
)  # fmt: skip
def test_a_value_of_another_type_is_the_stores_fault(feature: str, value: Any, words: str) -> None:
    with pytest.raises(AnswerError, match=words) as caught:
        found(settings(), changed(feature, values=[value]), (1,))
    assert caught.value.reason == "types"
    assert "'5'" not in str(caught.value), "a value is nobody's but the model's"


def test_whole_numbers_and_truths_are_numbers() -> None:
    for value in (4, True):
        rating = found(settings(), changed("driver_stats__rating", values=[value]), (1,)).inputs[1]
        assert rating.array.tolist() == [[float(value)]]


def renamed(*names: str) -> dict[str, Any]:
    made = of(0)
    made["metadata"]["feature_names"] = ["driver_id", *names]
    return made


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("a__trips", "b__trips", "a__rating"), "several times: a__trips, b__trips"),
        (("a__town", "a__trips", "a__rating"), "has no feature 'city'"),
        (("a__velocity", "a__trips", "a__rating"), "has no feature 'city'"),
        (("driver_stats__home__city", "a__trips", "a__rating"), "has no feature 'city'"),
        (("driver_stats__trips", "a__trips", "a__rating"), "several times: driver_stats__trips, a__trips"),
    ],
)
def test_features_that_do_not_fit_the_model_are_told(names: tuple[str, ...], words: str) -> None:
    with pytest.raises(AnswerError, match=words) as caught:
        found(settings(), renamed(*names), (1,))
    assert caught.value.reason == "definitions"


def test_a_feature_with_two_underscores_is_not_the_one_that_it_ends_as() -> None:
    """As tools call them that make features of series: `mean`, and `value__mean`."""
    made = renamed("driver_stats__city", "driver_stats__trips", "driver_stats__rating", "driver_stats__last__trips")
    made["results"].append({"values": [1], "statuses": ["PRESENT"]})
    assert found(settings(), made, (1,)).inputs[0].array.tolist() == [[5]]


def test_a_key_is_no_feature() -> None:
    how = settings(entities=(Entity("last__trips", "INT64"),))
    keys = keys_of(
        InferRequest((Input("last__trips", "INT64", np.array([1])),)), how.entities, wanted_of(SIGNATURE, (), how)
    )
    assert keys is not None
    made = renamed("a__city", "a__trips", "a__rating")
    made["metadata"]["feature_names"][0] = "last__trips"
    got = answers.found(how, keys, answers.read(json.dumps(made).encode(), 1), NOW)
    assert got.inputs[0].array.tolist() == [[5]]


def test_a_features_whole_name_comes_first() -> None:
    small = type(SIGNATURE)((type(SIGNATURE.inputs[0])("b__trips", "INT64", (-1, 1)),), SIGNATURE.outputs)
    how = settings()
    keys = keys_of(asking(1), how.entities, wanted_of(small, (), how))
    assert keys is not None
    made = renamed("a__trips", "b__trips", "a__b__trips")
    made["results"] = [{"values": [value], "statuses": ["PRESENT"]} for value in (1, 5, 6, 7)]
    got = answers.found(how, keys, answers.read(json.dumps(made).encode(), 1), NOW)
    assert got.inputs[0].array.tolist() == [[6]]


def test_the_digest_is_of_the_definitions_and_not_of_values_or_their_order() -> None:
    """Feast gives features in an order of chance, and another one after each start."""
    first, turned = found(settings(), of(0), (1,)), of(0)
    turned["results"] = [turned["results"][0], *reversed(turned["results"][1:])]
    names = turned["metadata"]["feature_names"]
    turned["metadata"]["feature_names"] = [names[0], *reversed(names[1:])]
    turned["results"][1]["values"] = [1.5]
    assert found(settings(), turned, (1,)).digest == first.digest
    versioned = of(0)
    versioned["metadata"]["feature_view_metadata"] = [{"name": "driver_stats", "version": 2}]
    assert found(settings(), versioned, (1,)).digest != first.digest
    assert found(settings(service="drivers_v2"), of(0), (1,)).digest != first.digest


def test_definitions_that_are_pinned_have_to_be_these() -> None:
    known = found(settings(), of(0), (1,)).digest
    assert found(settings(digest=known), of(0), (1,)).digest == known
    with pytest.raises(AnswerError, match=r"spec\.features\.digest pins sha256:0") as caught:
        found(settings(digest="sha256:" + "0" * 64), of(0), (1,))
    assert caught.value.reason == "definitions"


def without(path: str) -> Any:
    made: Any = of(0)
    holder = made
    *way, last = path.split(".")
    for part in way:
        holder = holder[int(part) if part.isdecimal() else part]
    del holder[last]
    return made


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"null", b"{}", b'{"results": 5, "metadata": {"feature_names": []}}', b"\xff",
        *(json.dumps(without(each)).encode() for each in ("results", "metadata", "results.0.values",
          "results.1.statuses", "metadata.feature_names")),
        json.dumps(changed("driver_stats__trips", values=[1, 2])).encode(),
        json.dumps(changed("driver_stats__trips", values={"0": 1})).encode(),
        json.dumps(changed("driver_stats__trips", statuses=["NICE"])).encode(),
        json.dumps(changed("driver_stats__trips", statuses=[None])).encode(),
        json.dumps(changed("driver_stats__trips", event_timestamps=["a", "b"])).encode(),
        json.dumps(renamed("a")).encode(),
        json.dumps({**of(0), "metadata": {"feature_names": [1, 2, 3, 4]}}).encode(),
    ],
)  # fmt: skip
def test_what_is_no_answer_is_told(body: bytes) -> None:
    with pytest.raises(AnswerError, match="can't be read") as caught:
        answers.read(body, 1)
    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("time", ["yesterday", "", 5, None, "2026-11-30T12:27:00", "9999999-01-01T00:00:00Z"])
def test_a_time_that_is_none_is_told(time: Any) -> None:
    with pytest.raises(AnswerError, match="time that is none"):
        found(settings(max_age=1), changed("driver_stats__trips", event_timestamps=[time]), (1,))


def test_fractions_of_seconds_and_zones_are_read() -> None:
    for time in ("2026-11-30T13:26:00.123456Z", "2026-11-30T14:26:00+01:00"):
        columns = {"event_timestamps": [time]}
        made = changed("driver_stats__trips", **columns)
        got = found(settings(max_age=1800, on_stale="Use"), made, (1,))
        assert got.counts == {"present": 1, "stale_used": 2}
