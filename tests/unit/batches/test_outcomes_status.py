"""What a batch's status says of outcomes: what the policies say that judge it, the worst first, and nothing else."""

from typing import Any

import pytest

from modelward.kube.cache import Cache, Key
from modelward.kube.resources import BATCH_INFERENCES, DRIFT_POLICIES
from modelward.reconcilers.batchinference.outcomes_status import condition
from modelward.reconcilers.batchinference.reconcile import judged_by
from modelward.reconcilers.batchinference.status import State, build_status
from unit.batches.batches import SPEC, batch
from unit.batches.test_drift import memory

BATCH = Key("ml", "nightly", BATCH_INFERENCES.kind)
TOLD = "rocAuc is 0.83 (0.81 to 0.85) of 500 rows until 2026-02-28T05:00:00Z"
WORSE = "rocAuc 0.7 (0.68 to 0.72) of 500 rows is surely below 0.75"


def measured(status: str = "True", reason: str = "Measured", message: str = TOLD) -> list[dict[str, str]]:
    return [
        {"type": "Drifted", "status": "True", "reason": "Drifted", "message": "x"},
        {"type": "Measured", "status": status, "reason": reason, "message": message},
    ]


def signal(kind: str = "quality", message: str = WORSE, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "name": "rocAuc", "breached": True, "message": message, **fields}


def policy(name: str = "churn-quality", of: Any = "nightly", signals: Any = (), **status: Any) -> dict[str, Any]:
    target = {"name": "churn", "signals": list(signals)}
    return {
        "metadata": {"namespace": "ml", "name": name, "uid": name, "resourceVersion": "1"},
        "spec": {"target": {"name": "churn"}, "quality": {"predictions": {"batchInference": of}}},
        "status": {"targets": [target], "conditions": measured(), **status},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("policies", "status", "reason", "message"),
    [
        ([policy()], False, "NotWorse", f"{TOLD}. By DriftPolicy churn-quality"),
        ([policy(signals=[signal()])], True, "Worse", f"{WORSE}. By DriftPolicy churn-quality"),
        ([policy(signals=[signal("fairness", "unfair.")])], True, "Worse", "unfair. By DriftPolicy churn-quality"),
        ([policy(signals=[signal("concept"), signal(breached=False)])], False, "NotWorse", f"{TOLD}. By"),
        ([policy(targets=[{"name": "fraud", "signals": [signal()]}])], False, "NotWorse", TOLD),
        ([policy(conditions=measured("False", "NoOutcomes", "None came"))], None, "NoOutcomes", "None came. By Drift"),
        ([policy(conditions=measured("Unknown", "Waiting", "soon"))], None, "Waiting", "soon. By DriftPolicy"),
        ([policy(conditions=[])], None, "Waiting", "Nothing is measured yet"),
        ([policy(conditions=measured("False", "no word", "x" * 2000))], None, "Waiting", "x" * 500 + ". By"),
        ([policy(targets="none")], None, "Waiting", "Its status can't be read. By DriftPolicy churn-quality"),
        (
            [policy("a"), policy("b", conditions=[]), policy("c", signals=[signal()])], True, "Worse",
            f"{WORSE}. By DriftPolicy c; Nothing is measured yet. By DriftPolicy b; {TOLD}. By DriftPolicy a",
        ),
    ],
)  # fmt: skip
def test_what_policies_say_is_told_and_the_worst_counts(
    policies: list[dict[str, Any]], status: bool | None, reason: str, message: str
) -> None:
    found = condition(batch(), policies)
    assert found is not None
    assert (found.type, found.status, found.reason) == ("OutcomesWorse", status, reason)
    assert found.message.startswith(message)
    shown = build_status(batch(), State(memory(), None, None, None, 0.0, found))["conditions"]
    assert [each["reason"] for each in shown if each["type"] == "OutcomesWorse"] == [reason]


@pytest.mark.parametrize("of", ["weekly", None, {"a": 1}])
def test_without_a_policy_that_judges_it_there_is_no_such_condition(of: Any) -> None:
    leaving = policy()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    plain = {"metadata": {"namespace": "ml", "name": "p"}, "spec": {"target": {"name": "churn"}}}
    assert condition(batch(), [policy(of=of), leaving, plain]) is None
    shown = build_status(batch(), State(memory(), None, None, None, 0.0))["conditions"]
    assert "OutcomesWorse" not in {each["type"] for each in shown}


def test_a_policy_wakes_the_batch_that_it_names_and_the_one_that_it_no_longer_names() -> None:
    cache = Cache()

    def body(name: str, *types: str) -> dict[str, Any]:
        metadata = {"namespace": "ml", "name": name, "uid": name, "resourceVersion": "1"}
        return {"metadata": metadata, "spec": SPEC, "status": {"conditions": [{"type": each} for each in types]}}

    for each in (body("nightly", "Ready"), body("weekly", "Ready", "OutcomesWorse"), body("monthly")):
        cache.upsert(BATCH_INFERENCES, each)
    cache.upsert(DRIFT_POLICIES, policy())
    assert {key.name for key in judged_by(cache, policy())} == {"nightly", "weekly"}
    assert {key.name for key in judged_by(cache, policy(of="no"))} == {"weekly"}
    assert BATCH in set(judged_by(cache, policy()))
