"""What is set up of features is read, or refused by its field's name with what to write."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelward_inference.errors import InvalidConfiguration
from modelward_inference.features.settings import Entity, FeatureSettings

LEAST: dict[str, Any] = {"url": "http://feast:6566/", "service": "s", "entities": {"driver_id": "Int64"}}


def read(**more: Any) -> FeatureSettings | None:
    return FeatureSettings.from_environment({"MODEL_FEATURES": json.dumps({**LEAST, **more})})


def test_without_a_variable_requests_bring_their_features() -> None:
    assert FeatureSettings.from_environment({}) is None
    assert FeatureSettings.from_environment({"MODEL_FEATURES": ""}) is None


def test_everything_that_can_be_said_is_read() -> None:
    found = read(
        entities={"driver_id": "Int64", "city": "String"}, onMissing="Default", onStale="Use", maxAge=3600,
        defaults={"trips": "0"}, timeout=0.25, maxConcurrent=7, tokenFile="/etc/token", digest="sha256:" + "0" * 64,
    )  # fmt: skip
    assert found == FeatureSettings(
        "http://feast:6566", "s", (Entity("driver_id", "INT64"), Entity("city", "BYTES")), "Default", "Use", 3600.0,
        {"trips": "0"}, 0.25, 7, Path("/etc/token"), "sha256:" + "0" * 64,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://feast"), ("url", "http://"), ("url", "http://feast:99999"), ("url", "http://a/\r\nX: y"),
        ("url", "http://feast/?a=b"), ("url", "http://feast/#a"), ("url", None), ("url", "http://ä"),
        ("service", ""), ("service", "a b"), ("service", 5),
        ("entities", {}), ("entities", []), ("entities", {"driver id": "Int64"}), ("entities", {"a": "Float"}),
        ("entities", {f"a{number}": "Int64" for number in range(9)}),
        ("onMissing", "Ignore"), ("onStale", "Null"), ("maxAge", 0), ("maxAge", "1h"), ("maxAge", True),
        ("defaults", {"a": 1}), ("defaults", []), ("timeout", -1), ("maxConcurrent", 0), ("maxConcurrent", 10_000),
        ("tokenFile", "token"), ("tokenFile", "/a b"), ("digest", "sha256:0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named_with_its_cure(field: str, value: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=rf"^MODEL_FEATURES\.{field} is .*; set it to "):
        read(**{field: value})


def test_a_login_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        read(url="https://ann:secret@feast")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", json.dumps({**LEAST, "extra": 1})])
def test_what_is_no_such_object_is_refused(text: str) -> None:
    with pytest.raises(InvalidConfiguration, match="MODEL_FEATURES"):
        FeatureSettings.from_environment({"MODEL_FEATURES": text})
