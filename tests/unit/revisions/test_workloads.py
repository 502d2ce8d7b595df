"""From objects as the API server stores them to facts."""

import pytest

from modelward.revisions.observed.workloads import pod_facts, workload_facts


def test_a_deployment_whose_controller_has_not_seen_the_newest_manifest_is_not_settled() -> None:
    body = {"metadata": {"generation": 3}, "spec": {"replicas": 2}}
    behind = {"observedGeneration": 2, "updatedReplicas": 2, "availableReplicas": 2, "readyReplicas": 2}
    assert not workload_facts({**body, "status": behind}, []).complete
    assert workload_facts({**body, "status": {**behind, "observedGeneration": 3}}, []).complete


def test_a_pod_of_the_manifest_before_makes_nothing_complete() -> None:
    """The new one is there and not ready; what is available is the old one."""
    body = {"metadata": {"generation": 2}, "spec": {"replicas": 1}}
    between = {"observedGeneration": 2, "replicas": 2, "updatedReplicas": 1, "readyReplicas": 1, "availableReplicas": 1}
    assert not workload_facts({**body, "status": between}, []).complete
    assert workload_facts({**body, "status": {**between, "replicas": 1}}, []).complete


def test_fewer_pods_are_complete_while_the_others_leave() -> None:
    body = {"metadata": {"generation": 2}, "spec": {"replicas": 1}}
    leaving = {"observedGeneration": 2, "replicas": 3, "updatedReplicas": 3, "readyReplicas": 3, "availableReplicas": 3}
    assert workload_facts({**body, "status": leaving}, []).complete


def test_why_a_deployment_can_not_make_pods() -> None:
    condition = {"type": "ReplicaFailure", "status": "True", "message": "violates PodSecurity"}
    body = {"metadata": {}, "spec": {}, "status": {"conditions": [condition]}}
    assert workload_facts(body, []).failure == "violates PodSecurity"


def test_the_end_of_the_run_before_is_seen_while_a_container_waits() -> None:
    terminated = {"exitCode": 1, "reason": "Error", "message": "m"}
    body = {
        "metadata": {"name": "p", "uid": "u"},
        "status": {
            "conditions": [{"type": "Ready", "status": "False"}],
            "initContainerStatuses": [
                {
                    "name": "download",
                    "ready": False,
                    "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                    "lastState": {"terminated": terminated},
                }
            ],
        },
    }
    (container,) = pod_facts(body).containers
    assert (container.waiting_reason, container.exit_code, container.exit_message) == ("CrashLoopBackOff", 1, "m")


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
def test_a_pod_that_has_ended_for_good_is_none(phase: str) -> None:
    """Evicted ones are kept with their address and the last state of their containers, until somebody deletes them."""
    killed = {"name": "server", "ready": False, "state": {"terminated": {"exitCode": 137}}}
    evicted = {
        "metadata": {"name": "evicted", "uid": "e"},
        "status": {"phase": phase, "reason": "Evicted", "podIP": "10.0.0.9", "containerStatuses": [killed]},
    }
    running = {"metadata": {"name": "running", "uid": "r"}, "status": {"phase": "Running", "podIP": "10.0.0.8"}}
    body = {"metadata": {}, "spec": {"replicas": 1}, "status": {}}
    assert [each.name for each in workload_facts(body, [evicted, running]).pods] == ["running"]


def test_a_pod_that_no_node_takes() -> None:
    condition = {
        "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes",
        "lastTransitionTime": "1970-01-01T00:01:00Z",
    }  # fmt: skip
    body = {"metadata": {"name": "p", "uid": "u"}, "status": {"conditions": [condition]}}
    assert (pod_facts(body).unschedulable, pod_facts(body).waits_since) == ("0/1 nodes", 60.0)


@pytest.mark.parametrize(
    ("ready", "since"),
    [
        ({"status": "False", "lastTransitionTime": "1970-01-01T00:02:00Z"}, 120.0),
        ({"status": "True", "lastTransitionTime": "1970-01-01T00:02:00Z"}, None),
        ({"status": "False"}, None),
        ({"status": "False", "lastTransitionTime": "yesterday"}, None),
        ({"status": "False", "lastTransitionTime": 7}, None),
    ],
)
def test_since_when_a_pod_is_not_ready(ready: dict[str, object], since: float | None) -> None:
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": "1970-01-01T00:01:00Z"}
    body = {"metadata": {"name": "p", "uid": "u"}, "status": {"conditions": [scheduled, {"type": "Ready", **ready}]}}
    assert pod_facts(body).waits_since == since
