"""Long-lived arms beside the stable: an A/B test, a permanent shadow, and users that a header leads to one arm."""

from collections.abc import Callable
from typing import Any

import pytest
from examples.demo.load import load
from examples.demo.model import Trained

from benchmarks.rollout.under_load import GOOD, OTHER, RATE, WRONG, address, body, publish_versions

from .model import Model, until


@pytest.fixture(scope="module", autouse=True)
def published(namespace: str, trained: Trained) -> None:
    publish_versions(namespace, trained)


def variant(name: str, key: str, **fields: Any) -> dict[str, Any]:
    model = {"uri": f"s3://models/{key}", "credentialsSecret": {"name": "s3-credentials"}}
    return {"name": name, "model": model, **fields}


def shown(model: Model) -> dict[str, dict[str, Any]]:
    return {each["name"]: each for each in model.get()["status"].get("variants", ())}


def compared(model: Model, name: str, measure: str) -> dict[str, Any] | None:
    found = shown(model).get(name, {}).get("comparisons", ())
    return next((each for each in found if each["name"] == measure), None)


def test_an_ab_test_and_a_permanent_shadow_are_measured_and_reported(
    model: Model, trained: Trained, measured: Callable[[str], None]
) -> None:
    variants = [variant("b", OTHER, weight=30), variant("dark", WRONG, mirrorPercent=100)]
    match = [{"header": "x-group", "value": "beta", "to": "b"}]
    model.apply(GOOD, variants=variants, traffic={"match": match})
    model.settle()
    until(lambda: shown(model)["b"].get("readyReplicas") == 1 and "message" not in shown(model)["b"], "the variant")
    stable, arm = model.stable(), shown(model)["b"]["revision"]
    assert model.get()["status"]["stable"]["weight"] == 70
    rows = [body(row) for row in trained.rows[:40].tolist()]
    to = (model.namespace, "rest", address(model))
    with load(*to, *rows, rate=RATE) as sent, load(*to, *rows, rate=20, headers={"x-group": "beta"}) as led:
        until(lambda: compared(model, "b", "errorRate"), "a comparison of the A/B test")
        until(lambda: compared(model, "dark", "disagreement"), "a comparison of the shadow")
    assert not sent.failed
    assert not led.failed
    assert set(led.revisions) == {arm}, "a header leads to the variant"
    assert set(sent.revisions) == {stable, arm}, "nobody sees the shadow's answers"
    share, total = sent.revisions[arm] / sum(sent.revisions.values()), sum(sent.revisions.values())
    assert abs(share - 0.3) <= 5 * (0.3 * 0.7 / total) ** 0.5
    errors, differing = compared(model, "b", "errorRate"), compared(model, "dark", "disagreement")
    assert errors is not None
    assert differing is not None
    assert errors["low"].startswith("-")
    assert differing["variant"]["bad"] > differing["variant"]["requests"] / 2, "it learned from labels in disorder"
    measured(f"A/B: {share:.1%} of {total} requests; errors {errors['low']} to {errors['high']}")
    measured(f"permanent shadow: {differing['difference']} disagree ({differing['low']} to {differing['high']})")
    model.apply(GOOD)
    until(lambda: not shown(model) and model.is_settled(), "the variants' end")
    until(lambda: not [name for name in model.objects() if arm in name], "the end of the variant's pods")


def test_a_variant_moves_to_its_next_revision_and_a_broken_one_takes_nothing(model: Model) -> None:
    model.apply(GOOD, variants=[variant("b", OTHER, weight=20)])
    model.settle()
    until(lambda: shown(model)["b"]["weight"] == 20, "its weight")
    first = shown(model)["b"]["revision"]
    model.apply(GOOD, variants=[variant("b", "nowhere/model.onnx", weight=20)])
    until(lambda: "being prepared" in shown(model)["b"].get("message", ""), "the next one, which never comes up")
    assert (shown(model)["b"]["revision"], shown(model)["b"]["weight"]) == (first, 20)
    model.apply(GOOD, variants=[variant("b", WRONG, weight=20)])
    until(lambda: shown(model)["b"]["revision"] != first and shown(model)["b"]["weight"] == 20, "the next one")
