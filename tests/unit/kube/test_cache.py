"""The cache keeps the newer of two versions, and never brings back what was deleted."""

from typing import Any

from modelward.kube.cache import Cache, Key
from modelward.kube.resources import DEPLOYMENTS, MODEL_DEPLOYMENTS, NAMESPACES, PODS, SERVICES

OWNER = Key("ml", "fraud")


def body(
    name: str = "fraud", version: int = 1, uid: str | None = None, instance: str | None = "fraud"
) -> dict[str, Any]:
    labels = {"app.kubernetes.io/instance": instance} if instance else {}
    return {
        "metadata": {
            "namespace": "ml", "name": name, "uid": uid or f"uid-{name}", "resourceVersion": str(version),
            "labels": labels, "managedFields": [{"much": "text"}],
        },
        "spec": {"version": version},
    }  # fmt: skip


def test_an_older_version_does_not_replace_a_newer_one() -> None:
    cache = Cache()
    assert cache.upsert(SERVICES, body(version=10)) == OWNER
    assert cache.upsert(SERVICES, body(version=9)) is None
    assert cache.upsert(SERVICES, body(version=10)) is None
    found = cache.get(SERVICES, "ml", "fraud")
    assert found is not None
    assert found["spec"]["version"] == 10


def test_what_the_answer_to_a_write_brings_of_others_is_told_of_for_its_event_is_no_news() -> None:
    cache = Cache()
    told: list[Key] = []
    cache.on_foreign = told.append
    cache.upsert(MODEL_DEPLOYMENTS, body(version=1))
    answer = {**body(version=1), "status": {"phase": "Ready"}}
    answer["metadata"]["resourceVersion"] = "2"
    cache.upsert_answer(MODEL_DEPLOYMENTS, answer)
    assert told == [], "it has what we have written, and nothing else"
    for number, (part, value) in enumerate(OTHERS.items(), 3):
        changed = body(version=1)
        changed["metadata"] |= {"resourceVersion": str(number), **value}
        if part == "spec":
            changed["spec"] = {"version": number}
        cache.upsert_answer(MODEL_DEPLOYMENTS, {**changed, "status": {"phase": "Ready"}})
        assert told == [OWNER] * (number - 2), part
        assert cache.upsert(MODEL_DEPLOYMENTS, {**changed, "status": {"phase": "Ready"}}) is None


OTHERS: dict[str, dict[str, Any]] = {
    "a command": {"annotations": {"modelward.io/rollout": "abort"}},
    "spec": {"generation": 2},
    "a label": {"labels": {"team": "risk"}},
    "the end": {"deletionTimestamp": "2026-01-01T00:00:00Z"},
}


def test_what_others_write_into_what_we_apply_is_told_of() -> None:
    cache = Cache()
    told: list[Key] = []
    cache.on_foreign = told.append
    cache.upsert_answer(DEPLOYMENTS, body(version=1))
    assert told == [], "it was made just now"
    cache.upsert_answer(DEPLOYMENTS, {**body(version=2), "status": {"readyReplicas": 1}})
    assert told == [OWNER]
    cache.upsert_answer(DEPLOYMENTS, {**body(version=2), "status": {"readyReplicas": 1}})
    assert told == [OWNER]


def test_a_deleted_object_does_not_come_back_by_a_late_event() -> None:
    cache = Cache()
    cache.upsert(SERVICES, body(version=1))
    assert cache.remove(SERVICES, body(version=5)) == OWNER
    assert cache.upsert(SERVICES, body(version=3)) is None
    assert cache.get(SERVICES, "ml", "fraud") is None
    assert cache.upsert(SERVICES, body(version=6, uid="another")) == OWNER


def test_an_object_that_lost_its_label_and_has_it_again_is_heard_of() -> None:
    cache = Cache()
    cache.upsert(SERVICES, body(version=1))
    assert cache.remove(SERVICES, body(version=5)) == OWNER, "a watch by label says that it was deleted"
    assert cache.upsert(SERVICES, body(version=6)) == OWNER


def test_an_answer_that_is_newer_than_the_loss_of_a_label_stays() -> None:
    cache = Cache()
    cache.upsert(SERVICES, body(version=6))
    assert cache.remove(SERVICES, body(version=5)) is None
    assert cache.get(SERVICES, "ml", "fraud") is not None


def test_what_we_deleted_ourselves_never_comes_back() -> None:
    cache = Cache()
    cache.upsert(SERVICES, body(version=1))
    assert cache.remove(SERVICES, body(version=1), final=True) == OWNER
    assert cache.upsert(SERVICES, body(version=3)) is None


def test_a_child_is_its_owners_by_reference_whatever_its_labels() -> None:
    cache = Cache()
    child = body("a", instance="other")
    child["metadata"]["ownerReferences"] = [
        {"apiVersion": "modelward.io/v1", "kind": "ModelDeployment", "name": "fraud", "uid": "u"}
    ]
    assert cache.upsert(SERVICES, child) == OWNER
    assert len(cache.children(OWNER, SERVICES)) == 1


def test_children_are_found_by_their_owner() -> None:
    cache = Cache()
    cache.upsert(SERVICES, body("b"))
    cache.upsert(SERVICES, body("a"))
    cache.upsert(SERVICES, body("c", instance="other"))
    assert [child["metadata"]["name"] for child in cache.children(OWNER, SERVICES)] == ["a", "b"]
    cache.remove(SERVICES, body("a"))
    assert [child["metadata"]["name"] for child in cache.children(OWNER, SERVICES)] == ["b"]


def test_a_child_that_changes_its_label_changes_its_owner() -> None:
    cache = Cache()
    cache.upsert(SERVICES, body("a", version=1))
    cache.upsert(SERVICES, body("a", version=2, instance="other"))
    assert cache.children(OWNER, SERVICES) == []
    assert len(cache.children(Key("ml", "other"), SERVICES)) == 1


def test_a_relist_prunes_what_vanished_and_keeps_what_is_newer_than_the_list() -> None:
    cache = Cache()
    cache.upsert(SERVICES, body("gone", version=1))
    cache.upsert(SERVICES, body("changed", version=2))
    before = cache.snapshot(SERVICES)
    cache.upsert(SERVICES, body("changed", version=9))
    cache.upsert(SERVICES, body("new", version=8))
    repaired = cache.reconcile_with(SERVICES, before, [body("missed", version=3)])
    assert repaired == {OWNER}
    assert [child["metadata"]["name"] for child in cache.children(OWNER, SERVICES)] == ["changed", "missed", "new"]


def test_a_relist_that_agrees_repairs_nothing() -> None:
    cache = Cache()
    cache.upsert(MODEL_DEPLOYMENTS, body(version=4))
    assert cache.reconcile_with(MODEL_DEPLOYMENTS, cache.snapshot(MODEL_DEPLOYMENTS), [body(version=4)]) == set()
    assert list(cache.keys()) == [OWNER]


def test_pods_are_pruned_to_what_decisions_need() -> None:
    cache = Cache()
    cache.upsert(PODS, {**body("p"), "spec": {"containers": ["much"]}, "status": {"podIP": "1.2.3.4", "hostIP": "h"}})
    found = cache.get(PODS, "ml", "p")
    assert found is not None
    assert found["status"] == {"podIP": "1.2.3.4"}
    assert "spec" not in found
    assert "managedFields" not in found["metadata"]


def namespace(version: int, label: str | None = "sklearn") -> dict[str, Any]:
    labels = {} if label is None else {"modelward.io/allowed-formats": label}
    return {"metadata": {"name": "ml", "uid": "uid-ml", "resourceVersion": str(version), "labels": labels}}


def consent(cache: Cache) -> str | None:
    found = cache.get(NAMESPACES, "", "ml")
    return None if found is None else found["metadata"]["labels"].get("modelward.io/allowed-formats")


def test_a_namespace_s_consent_comes_goes_and_comes_again() -> None:
    cache = Cache()
    assert cache.upsert(NAMESPACES, namespace(1)) is None
    assert consent(cache) == "sklearn"
    cache.remove(NAMESPACES, namespace(2))
    assert consent(cache) is None
    cache.upsert(NAMESPACES, namespace(1))
    assert consent(cache) is None, "an older list brings nothing back"
    cache.upsert(NAMESPACES, namespace(3))
    assert consent(cache) == "sklearn"


def test_a_list_that_lacks_a_namespace_takes_its_consent_away() -> None:
    cache = Cache()
    cache.upsert(NAMESPACES, namespace(1))
    cache.reconcile_with(NAMESPACES, cache.snapshot(NAMESPACES), [])
    assert consent(cache) is None
    cache.upsert(NAMESPACES, namespace(2))
    assert consent(cache) == "sklearn"


def test_the_models_of_a_namespace() -> None:
    cache = Cache()
    cache.upsert(MODEL_DEPLOYMENTS, body("fraud"))
    cache.upsert(SERVICES, body("other"))
    assert (cache.in_namespace("ml"), cache.in_namespace("elsewhere")) == ([OWNER], [])
