"""Which volume keeps a pod from starting."""

from dataclasses import replace
from typing import Any

import pytest

from builders import container, observed, pod, revision
from modelward.facts import Clock, Source
from modelward.revisions.health.diagnosis import diagnose
from modelward.revisions.health.pod_volumes import (
    CLAIM,
    CONFIG_MAP,
    FIELDS,
    LOG_FIELD,
    REASONS,
    SECRET,
    State,
    blamed,
    log_claim,
    look_again_in,
    needs,
    state_of,
    told,
    waits,
)

LOG = Source(CLAIM, "lake", LOG_FIELD)
LOGIN = Source(SECRET, "login", "spec.model.credentialsSecret")
BUNDLE = Source(CONFIG_MAP, "ca", "spec.caBundle of its ModelRegistry")
CREATING = container("download", waiting_reason="PodInitializing")
NOW = 1000.0


def held(*sources: Source, since: float = NOW - 301, **facts: Any) -> Any:
    return pod(ready=False, waits_since=since, containers=(CREATING,), needs=sources, **facts)


def test_what_a_pod_can_not_be_without_is_read_from_its_own_spec() -> None:
    volumes = [
        {"name": "model", "persistentVolumeClaim": {"claimName": "models", "readOnly": True}},
        {"name": "prediction-log", "persistentVolumeClaim": {"claimName": "lake"}},
        {"name": "credentials", "secret": {"secretName": "login"}},
        {"name": "registry-ca", "configMap": {"name": "ca"}},
        {"name": "modelward-features-token", "secret": {"secretName": "feast"}},
        {"name": "log-key", "secret": {"secretName": "k", "optional": True}},
        {"name": "cache", "persistentVolumeClaim": {"claimName": "shared"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    assert needs({"spec": {"volumes": volumes}}) == (
        Source(CLAIM, "models", "spec.model.uri"), LOG, LOGIN, BUNDLE,
        Source(SECRET, "feast", "spec.features.tokenSecret"),
    )  # fmt: skip
    optional = [{"name": "credentials", "secret": {"secretName": "login", "optional": True}}]
    assert needs({"spec": {"volumes": optional}}) == needs({}) == ()
    assert set(FIELDS) <= {each["name"] for each in volumes}


@pytest.mark.parametrize(
    ("told_by_scheduler", "expected"),
    [
        ('0/1 nodes are available: persistentvolumeclaim "lake" not found.', True),
        ("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.", True),
        ("0/1 nodes are available: 1 Insufficient memory.", False),
    ],
)
def test_what_the_scheduler_says_of_claims_is_looked_at(told_by_scheduler: str, expected: bool) -> None:
    assert waits(held(LOG, since=NOW, unschedulable=told_by_scheduler), NOW) == expected
    assert not waits(held(since=NOW, unschedulable=told_by_scheduler), NOW)


def test_a_pod_is_given_time_and_the_end_of_it_is_known() -> None:
    young = held(LOG, since=NOW - 100)
    assert not waits(young, NOW)
    assert look_again_in([young, held(LOG), pod(needs=(LOG,)), held(since=NOW)], NOW) == 200
    assert waits(held(LOG), NOW)
    assert not waits(replace(held(LOG), terminating=True), NOW)
    assert not waits(replace(held(LOG), containers=(container("download", running=True),)), NOW)


CAUSES: dict[str, tuple[Source, State, str]] = {
    "no claim": (LOG, State(found=False), "ClaimMissing"),
    "no Secret": (LOGIN, State(found=False), "SecretMissing"),
    "no ConfigMap": (BUNDLE, State(found=False), "ConfigMapMissing"),
    "going": (LOG, State(deleting=True), "ClaimDeleting"),
    "pending": (LOG, State(phase="Pending"), "ClaimNotBound"),
    "one node's": (LOG, State(phase="Bound", shared=False), "ClaimNotShared"),
    "a device": (LOG, State(phase="Bound", block=True), "ClaimNotShared"),
}


@pytest.mark.parametrize("case", CAUSES)
def test_what_is_wrong_is_named_with_its_field_whatever_else_the_pod_mounts(case: str) -> None:
    source, state, reason = CAUSES[case]
    for cached in (True, False):
        found = blamed(held(LOGIN if source is LOG else LOG, source), {source: state}, cached=cached)
        assert found is not None
        assert (found.source, found.reason) == (source, reason)
        assert f"{source.kind} {source.name} ({source.field})" in found.message
    assert reason in REASONS


def test_a_model_s_claim_of_one_node_may_be_right_so_the_cache_goes_first() -> None:
    models = Source(CLAIM, "models", "spec.model.uri")
    states = {models: State(phase="Bound", shared=False)}
    assert blamed(held(models), states, cached=True) is None
    found = blamed(held(models), states, cached=False)
    assert found is not None
    assert (found.reason, found.patience) == ("ClaimNotShared", 3600.0)


def test_a_claim_of_one_node_is_no_fault_of_a_pod_that_no_node_takes() -> None:
    no_node = held(LOG, unschedulable="pod has unbound immediate PersistentVolumeClaims")
    assert blamed(no_node, {LOG: State(phase="Bound", shared=False)}, cached=False) is None


def test_nothing_is_blamed_that_nobody_has_looked_at() -> None:
    assert blamed(held(LOG), {}, cached=False) is None
    assert blamed(held(LOG, LOGIN), {LOG: State(phase="Bound")}, cached=False) is None
    unseen = blamed(held(LOG), {LOG: State(readable=False)}, cached=False)
    assert unseen is not None
    assert unseen.reason == "ClaimNotMounted", "it waits all the same"
    assert blamed(held(LOGIN), {LOGIN: State()}, cached=False) is None, "no claim, so rather its image"


def test_a_claim_as_the_api_server_has_it() -> None:
    def body(**status: Any) -> dict[str, Any]:
        return {"metadata": {}, "spec": {"accessModes": ["ReadWriteOnce"]}, "status": status}

    assert state_of(LOG, None) == State(found=False)
    assert state_of(LOG, body()) == State(phase="Pending", shared=False)
    assert state_of(LOG, body(phase="Bound", accessModes=["ReadOnlyMany"])) == State(phase="Bound")
    assert state_of(LOGIN, {"metadata": {"deletionTimestamp": "x"}}) == State()


def test_the_cause_is_the_diagnosis_of_the_pods_and_of_the_log() -> None:
    facts = revision("m-a", ready=0, pods=(held(LOG, unschedulable='persistentvolumeclaim "lake" not found'),))
    seen = replace(observed("m-a", facts), clock=Clock(now=NOW))
    found = told(seen, {LOG: State(found=False)}, ())
    problem = diagnose(found.revisions["m-a"].workload, "spec.resources.limits.memory")
    assert problem is not None
    assert problem.reason == "ClaimMissing"
    assert problem.may_pass(NOW - 2)
    assert not problem.may_pass(NOW)
    assert (log_claim(seen), log_claim(found)) == (None, found.revisions["m-a"].workload.pods[0].unmounted)
    assert told(seen, {}, ()) is seen
