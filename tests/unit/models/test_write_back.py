"""What is written into a registry, and that each fact is written once."""

import re
from typing import Any

import pytest

from modelward.api.modelregistry import WriteBack
from modelward.models.resolved import Resolution, Resolved
from modelward.models.write_back import (
    BEGUN,
    LONGEST_KEY,
    LONGEST_VALUE,
    Named,
    Registered,
    Rejected,
    SetAlias,
    SetTag,
    Written,
    begin,
    followed_alias,
    recorded,
    registered,
    registry_of,
    show,
    steps,
    tag_key,
    tag_value,
)

ONE, TWO, THREE = (Registered("fraud", version) for version in "123")
HOW, WHOSE = WriteBack(), ("ml", "fraud")
STAGE, REASON = "modelward.stage/ml/fraud", "modelward.rolled_back/ml/fraud"
ARN = "arn:aws:sagemaker:eu-west-1:123456789012:model-package/fraud/3"


def written(done: Written, wanted: Written) -> list[tuple[str, ...]]:
    return [
        (each.of.version, "@" + each.alias) if isinstance(each, SetAlias) else (each.of.version, each.key, each.value)
        for each in steps(done, wanted, HOW, WHOSE)
    ]


def test_a_promotion_gives_a_stage_moves_the_alias_and_takes_the_stage_from_the_one_before() -> None:
    first = Written(ONE, None, Named("champion", ONE))
    assert written(Written(), first) == [("1", STAGE, "stable"), ("1", "@champion")]
    second = Written(TWO, None, Named("champion", TWO))
    assert written(first, second) == [("2", STAGE, "stable"), ("2", "@champion"), ("1", STAGE, "replaced")]
    assert written(second, second) == []
    assert written(second, first)[0] == ("1", STAGE, "stable"), "and back"


def test_a_rollback_says_why_and_leaves_what_is_stable() -> None:
    why = "errorRate: 5% of 1,000 requests fail (limit 1%)"
    rejected = Written(ONE, Rejected(TWO, why))
    assert written(Written(ONE), rejected) == [
        ("2", STAGE, "rolled-back"), ("2", REASON, "errorRate: 5 of 1 000 requests fail limit 1"),
    ]  # fmt: skip
    assert written(rejected, rejected) == []
    assert written(rejected, Written(TWO)) == [("2", STAGE, "stable"), ("1", STAGE, "replaced")], "it was tried again"


def test_what_serves_from_elsewhere_now_leaves_no_version_stable() -> None:
    assert written(Written(ONE), Written()) == [("1", STAGE, "replaced")]


def test_that_a_version_gets_the_stage_is_recorded_before_and_undone_even_if_it_was_never_finished() -> None:
    first = begin(Written(ONE), Written(TWO))
    assert first == Written(ONE, begun=(TWO,))
    assert begin(first, Written(TWO)) is None
    second = begin(first, Written(THREE))
    assert second == Written(ONE, begun=(TWO, THREE))
    assert written(second, Written(THREE)) == [
        ("3", STAGE, "stable"), ("1", STAGE, "replaced"), ("2", STAGE, "replaced"),
    ]  # fmt: skip
    assert written(first, Written(ONE)) == [("1", STAGE, "stable"), ("2", STAGE, "replaced")], "it went back at once"
    assert begin(Written(ONE), Written(ONE, Rejected(TWO, "x"))) is None
    many = Written(ONE)
    for version in range(20):
        many = begin(many, Written(Registered("fraud", str(version + 10)))) or many
    assert len(many.begun) == BEGUN


def test_only_the_version_that_serves_has_to_be_there() -> None:
    found = steps(Written(ONE, begun=(TWO,)), Written(THREE, Rejected(TWO, "x")), HOW, WHOSE)
    assert [(each.of, each.optional) for each in found if isinstance(each, SetTag)] == [
        (THREE, False), (ONE, True), (TWO, True), (TWO, True), (TWO, True),
    ]  # fmt: skip


def test_two_models_and_two_clusters_do_not_fight_over_a_key() -> None:
    keys = {
        tag_key("modelward.stage", how, whose)
        for how in (HOW, WriteBack(cluster="prod"), WriteBack(cluster="ml"))
        for whose in (("ml", "fraud"), ("ml", "other"), ("team", "fraud"))
    }
    assert len(keys) == 9


def test_keys_and_values_are_what_both_registries_take() -> None:
    longest = ("n" * 63, "m" * 40)
    for how in (HOW, WriteBack(cluster="c" * 40)):
        for what in ("modelward.stage", "modelward.rolled_back"):
            key = tag_key(what, how, longest)
            assert len(key) <= LONGEST_KEY
            assert re.fullmatch(r"[\w.:/=+@-]+", key)
    for text in ("x" * 5000, "é\n\x00“quoted” <b>", "https://ann:hunter2@host/x?sig=hunter2", ""):
        value = tag_value(text)
        assert len(value) <= LONGEST_VALUE
        assert re.fullmatch(r"[A-Za-z0-9 _.:/=+@-]*", value)
        assert "hunter2" not in value


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("models:/fraud@champion", Registered("fraud", "3")),
        ("models:/fraud%20model@champion", Registered("fraud model", "3")),
        ("models:/fraud/3", Registered("fraud", "3")),
        ("sagemaker://fraud", Registered("fraud", "3", ARN)),
        (ARN, Registered("fraud", "3", ARN)),
        (f"models:/m-{'0' * 32}", None),
        (f"runs:/{'0' * 32}/model", None),
    ],
)
def test_only_versions_of_registered_models_are_told_of(reference: str, expected: Registered | None) -> None:
    found = Resolved("s3://m/3", "3", lineage={"modelId": ARN} if "sagemaker" in reference else {})
    assert registered(Resolution(reference, "r", "a", 0.0, found)) == expected


def test_a_package_without_an_arn_can_not_be_told_of() -> None:
    assert registered(Resolution("sagemaker://fraud", "r", "a", 0.0, Resolved("s3://m/3", "3"))) is None


@pytest.mark.parametrize(
    ("reference", "alias"),
    [("models:/fraud@champion", "champion"), ("models:/fraud@%63hampion", "champion"), ("models:/fraud/3", None),
     ("s3://m/3", None)],
)  # fmt: skip
def test_the_alias_that_is_followed(reference: str, alias: str | None) -> None:
    assert followed_alias(reference) == alias


@pytest.mark.parametrize(
    "one",
    [
        Written(), Written(ONE), Written(ONE, Rejected(TWO, "why"), Named("champion", ONE), (THREE,)),
        Written(Registered("fraud", "3", ARN)), Written(begun=(ONE,)),
    ],
)  # fmt: skip
def test_what_is_recorded_is_read_again_of_the_same_registry_alone(one: Written) -> None:
    status = {"writeBack": show(one, "mlflow", "http://a")}
    assert recorded(status, "mlflow", "http://a") == one
    assert recorded(status, "mlflow", "http://b") == recorded(status, "other", "http://a") == Written()
    assert registry_of(status) == (None if one == Written() else "mlflow")


@pytest.mark.parametrize("broken", [7, {"stable": 7}, {"registry": 7}, {"registry": "r", "address": "a", "stable": {}}])
def test_a_record_that_somebody_broke_is_none(broken: Any) -> None:
    assert recorded({"writeBack": broken}, "r", "a") == Written()
    assert registry_of({"writeBack": broken}) is None
