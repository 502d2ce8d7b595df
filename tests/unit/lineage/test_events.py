"""What statuses stand for, by the official schemas."""

import copy
import json
from typing import Any

import pytest

from modelward.lineage.events import Event, essence, of_model, of_run, retraining_id
from openlineage import problems

NAMESPACE = "prod-eu"
COMMIT = "5be0e9c1c5f8b6d0f2f1c0b2a79a4e3d6c8f7a11"
LINEAGE: dict[str, Any] = {
    "name": "fraud", "commit": COMMIT, "repository": "https://bot:hunter2@git.example.com/fraud.git",
    "dataSets": [
        {"name": "fraud-train", "digest": "81835f75", "source": "s3://data/fraud/train.parquet"}, {"name": "other"},
    ],
}  # fmt: skip
REFERENCE = {
    "uri": "models:/fraud@champion", "registry": "mlflow", "address": "http://mlflow.ml.svc:5000", "version": "7",
    "source": "s3://models/fraud/7", "alias": "champion", "since": "2026-01-01T00:00:00Z",
}  # fmt: skip
STARTED, ENDED = "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"
GATES = [{"name": "errorRate", "verdict": "Pass", "limit": "1%", "message": "0.1% of 10,000", "against": "-3"}]


def rollout(phase: str = "Promoted", **more: Any) -> dict[str, Any]:
    told = {
        "revision": "fraud-b", "attempt": 1, "uri": "s3://models/fraud/7", "from": "fraud-a", "strategy": "Canary",
        "phase": phase, "startedAt": STARTED, "message": "fraud-b is the stable revision now", "gates": GATES,
    }  # fmt: skip
    return told | ({"endedAt": ENDED} if phase in ("Promoted", "RolledBack", "Aborted") else {}) | more


def model(**status: Any) -> dict[str, Any]:
    served = {"uri": "s3://models/fraud/7", "source": "Registry", "version": "7", "lineage": LINEAGE}
    told = {"stable": {"revision": "fraud-b", "uri": "s3://models/fraud/7", "version": "7", "format": "onnx"}}
    metadata = {"namespace": "ml", "name": "fraud", "uid": "uid-1", "creationTimestamp": STARTED}
    return {
        "metadata": metadata, "spec": {"model": {"uri": "models:/fraud@champion"}},
        "status": told | {"model": served | {"reference": REFERENCE}} | status,
    }  # fmt: skip


def events(body: dict[str, Any], first: bool | None = False, **more: Any) -> tuple[Event, ...]:
    found = of_model(body, NAMESPACE, first, **more)
    assert found is not None
    for each in found:
        assert problems(json.loads(each.body())) == []
    return found


def facets(event: Event) -> dict[str, Any]:
    return dict(event.document["run"]["facets"])


@pytest.mark.parametrize(
    ("phase", "types"),
    [
        ("Preparing", ["START"]), ("Progressing", ["START"]), ("Paused", ["START"]), ("Promoting", ["START"]),
        ("Promoted", ["START", "COMPLETE"]), ("RolledBack", ["START", "FAIL"]), ("Aborted", ["START", "ABORT"]),
    ],
)  # fmt: skip
def test_a_rollout_has_a_beginning_and_the_end_that_it_took(phase: str, types: list[str]) -> None:
    found = events(model(rollout=rollout(phase)))
    assert [each.type for each in found] == types
    assert len({each.run for each in found}) == 1
    assert [each.document["eventTime"] for each in found] == ["2026-01-01T00:00:00.000Z", "2026-01-01T01:00:00.000Z"][
        : len(types)
    ]
    assert ("errorMessage" in facets(found[-1])) == (phase in ("RolledBack", "Aborted"))


def test_what_an_event_of_a_promotion_tells() -> None:
    start, end = events(model(rollout=rollout()))
    document = json.loads(end.body())
    assert (document["job"]["namespace"], document["job"]["name"]) == (NAMESPACE, "ml/fraud")
    told = {name: value for name, value in facets(end)["modelward_model"].items() if name[0] != "_"}
    assert told == {
        "kind": "Rollout", "revision": "fraud-b", "uri": "s3://models/fraud/7", "version": "7", "alias": "champion",
        "format": "onnx", "strategy": "Canary", "attempt": 1, "from": "fraud-a", "result": "Promoted",
        "gates": [{"name": "errorRate", "verdict": "Pass", "limit": "1%", "message": "0.1% of 10,000"}],
    }  # fmt: skip
    assert not {"gates", "result"} & set(facets(start)["modelward_model"])
    assert [(each["namespace"], each["name"]) for each in document["inputs"]] == [
        (REFERENCE["address"], "fraud"), (REFERENCE["address"], "fraud-train"), (REFERENCE["address"], "other"),
    ]  # fmt: skip
    learnt = document["inputs"][1]["facets"]
    assert learnt["version"]["datasetVersion"] == "81835f75"
    link = {"namespace": "s3://data", "name": "fraud/train.parquet", "type": "LOCATION"}
    assert learnt["symlinks"]["identifiers"] == [link]
    (output,) = document["outputs"]
    assert (output["namespace"], output["name"]) == (NAMESPACE, "ml/fraud")
    assert output["facets"]["version"]["datasetVersion"] == "7"
    source = document["job"]["facets"]["sourceCodeLocation"]
    assert (source["url"], source["version"]) == ("https://git.example.com/fraud.git", COMMIT)


def test_an_event_tells_by_which_definitions_features_are_looked_up() -> None:
    told = {"revision": "fraud-b", "uri": "s3://models/fraud/7", "features": {"service": "v1", "digest": "sha256:1"}}
    for body in (model(stable=told, rollout=rollout()), model(stable=told)):
        for each in events(body, first=True):
            assert facets(each)["modelward_model"]["features"] == {"service": "v1", "digest": "sha256:1"}
    assert "features" not in facets(events(model(rollout=rollout()))[0])["modelward_model"]


def test_the_same_status_is_the_same_run_and_another_attempt_is_another_one() -> None:
    again = model(rollout=rollout(message="other words"))
    assert [each.run for each in events(model(rollout=rollout()))] == [each.run for each in events(again)]
    others = [
        model(rollout=rollout(attempt=2)), model(rollout=rollout(startedAt="2026-01-02T00:00:00Z")),
        model(rollout=rollout(revision="fraud-c")),
    ]  # fmt: skip
    namesake = model(rollout=rollout())
    namesake["metadata"]["uid"] = "uid-2"
    ids = {events(each)[0].run for each in (again, *others, namesake)}
    assert len(ids) == 5


def test_the_first_deployment_is_a_run_of_its_own_and_an_earlier_one_is_none() -> None:
    body = model()
    assert [each.type for each in events(body, True)] == ["START"]
    ready = [{"type": "Ready", "status": "True", "lastTransitionTime": ENDED}]
    start, end = events(model(conditions=ready), True)
    assert (start.type, end.type, start.run) == ("START", "COMPLETE", end.run)
    assert facets(end)["modelward_model"]["kind"] == "Deploy"
    assert events(body, False) == ()
    assert of_model(body, NAMESPACE, None) is None, "nobody knows whether it is the first"
    assert events({**body, "status": {}}, None) == ()


def test_nothing_secret_of_an_address_leaves_the_cluster() -> None:
    signed = "https://bucket.example.com/m.onnx?X-Amz-Signature=hunter2"
    status = rollout("RolledBack", uri=signed, message=f"{signed} and https://ann:hunter2@host/x#hunter2 answer 403")
    body = model(rollout=status, candidate={"revision": "fraud-b", "uri": signed}, model={
        "uri": signed, "source": "Spec",
        "lineage": LINEAGE | {"dataSets": [{"name": "d", "source": "s3://hunter2@data/x?token=hunter2"}]},
    })  # fmt: skip
    body["spec"]["model"]["uri"] = signed
    told = b"".join(each.body() for each in events(body))
    assert b"hunter2" not in told
    assert b"https://bucket.example.com/m.onnx and https://host/x answer 403" in told


@pytest.mark.parametrize(
    ("repository", "url"),
    [
        ("git@github.com:org/fraud.git", "ssh://github.com/org/fraud.git"),
        ("https://token@github.com/org/fraud", "https://github.com/org/fraud"),
        ("ssh://git@host/fraud.git", "ssh://host/fraud.git"),
        ("file:///home/ann/fraud", None),
        ("/home/ann/fraud", None),
        ("javascript:alert(1)", None),
        ("https://host/" + "x" * 400, None),
        ("", None),
    ],
)
def test_a_repository_is_named_by_an_address_or_not_at_all(repository: str, url: str | None) -> None:
    body = model(rollout=rollout())
    body["status"]["model"]["lineage"] = LINEAGE | {"repository": repository}
    found = events(body)[0].document["job"]["facets"].get("sourceCodeLocation")
    assert (None if found is None else found["url"]) == url


def test_a_flood_is_cut() -> None:
    much = "x" * 100_000
    sets = [{"name": f"{each}{much}", "digest": much, "source": f"s3://{much}/x"} for each in range(20)]
    status = rollout("RolledBack", message=much, gates=[{"name": much, "message": much, "verdict": much}] * 100)
    body = model(rollout=status)
    body["status"]["model"]["lineage"] = LINEAGE | {"dataSets": sets, "commit": much, "repository": much}
    assert all(len(each.body()) < 100_000 for each in events(body))


@pytest.mark.parametrize("broken", [{"startedAt": "soon"}, {"startedAt": 7}, {"gates": 7}, {"startedAt": "0001-01-01"}])
def test_a_status_that_somebody_broke_stands_for_nothing(broken: dict[str, Any]) -> None:
    assert of_model(model(rollout=rollout(**broken)), NAMESPACE, False) is None


def test_counts_and_words_make_no_events_and_each_end_does() -> None:
    body = model(rollout=rollout("Progressing"))
    assert essence(body) == essence(model(rollout=rollout("Progressing", message="other words", gates=[])))
    others = [
        model(rollout=rollout("Promoted")), model(rollout=rollout("Progressing", attempt=2)), model(),
        model(rollout=rollout("Progressing"), conditions=[{"type": "Ready", "status": "True"}]),
    ]  # fmt: skip
    assert len({essence(each) for each in (body, *others)}) == 5
    assert essence(model(conditions=[7])) == essence(model(rollout=7)) == ()


def run(phase: str = "Running", trigger: str = "Drift", **status: Any) -> dict[str, Any]:
    spec = {
        "target": {"name": "fraud", "uid": "uid-1", "revision": "fraud-a", "model": {"uri": "s3://models/fraud/6"}},
        "trigger": trigger, "kind": "Job", "key": "k", "requestedAt": STARTED, "reason": "amount drifted",
        "occasion": "2025-12-31T23:00:00Z",
    }  # fmt: skip
    told = {"phase": phase, **status}
    return {
        "metadata": {"namespace": "ml", "name": "fraud-drift-1", "uid": "uid-run", "resourceVersion": "1"},
        "spec": spec, "status": copy.deepcopy(told),
    }  # fmt: skip


def run_events(body: dict[str, Any]) -> tuple[Event, ...]:
    found = of_run(body, NAMESPACE)
    assert found is not None
    for each in found:
        assert problems(json.loads(each.body())) == []
    return found


@pytest.mark.parametrize(
    ("phase", "end"),
    [
        ("Promoted", "COMPLETE"), ("Reported", "COMPLETE"), ("Unchanged", "COMPLETE"), ("Superseded", "COMPLETE"),
        ("Failed", "FAIL"), ("Refused", "FAIL"), ("RolledBack", "FAIL"), ("Cancelled", "ABORT"),
    ],
)  # fmt: skip
def test_a_retraining_run_has_the_end_that_it_took(phase: str, end: str) -> None:
    found = run_events(run(phase, finishedAt=ENDED, message="why"))
    assert [each.type for each in found] == ["START", end]
    assert found[-1].time - found[0].time == 3600
    assert ("errorMessage" in facets(found[-1])) == (end != "COMPLETE")
    assert found[0].document["job"]["name"] == "ml/fraud/retraining"


def test_a_scheduled_run_says_for_which_time_it_was() -> None:
    assert "nominalTime" not in facets(run_events(run())[0])
    told = facets(run_events(run(trigger="Schedule"))[0])
    assert told["nominalTime"]["nominalStartTime"] == "2025-12-31T23:00:00.000Z"


def test_a_rollout_of_a_retrained_model_names_the_run_that_made_it() -> None:
    made = {"uri": "s3://models/fraud/8", "source": "RetrainingRun", "run": "fraud-drift-1"}
    status = rollout(uri="s3://models/fraud/8", revision="fraud-c")
    body = model(rollout=status, model=made, stable={"revision": "fraud-c", "uri": "s3://models/fraud/8"})
    parent = facets(events(body, made_by={"fraud-drift-1": "uid-run"})[0])["parent"]
    trained = run_events(run("Promoted", finishedAt=ENDED, model={"uri": "s3://models/fraud/8"}, version="8"))
    assert parent["run"]["runId"] == trained[0].run == retraining_id("uid-run")
    assert parent["job"] == {"namespace": NAMESPACE, "name": "ml/fraud/retraining"}
    assert trained[-1].document["outputs"][0]["facets"]["version"]["datasetVersion"] == "8"


def test_a_version_that_a_run_reported_is_told_as_one_that_spec_names() -> None:
    uri = "mlflow-artifacts:/1/models/m-8/artifacts"
    made = {"uri": uri, "source": "RetrainingRun", "run": "fraud-drift-1", "version": "8", "lineage": LINEAGE}
    made |= {"registration": {"uri": "models:/fraud/8", "registry": "mlflow", "address": REFERENCE["address"]}}
    stable = {"revision": "fraud-c", "uri": uri, "version": "8"}
    found = events(model(rollout=rollout(uri=uri, revision="fraud-c"), model=made, stable=stable))[-1].document
    assert [(each["namespace"], each["name"]) for each in found["inputs"]] == [
        (REFERENCE["address"], "fraud"), (REFERENCE["address"], "fraud-train"), (REFERENCE["address"], "other"),
    ]  # fmt: skip
    assert found["job"]["facets"]["sourceCodeLocation"]["version"] == COMMIT


def test_what_served_before_a_run_s_model_is_none_of_that_run_s() -> None:
    """Its address is what spec's reference means all the while."""
    made = {"uri": "s3://models/fraud/8", "source": "RetrainingRun", "run": "fraud-drift-1", "lineage": LINEAGE}
    body = model(model=made | {"reference": REFERENCE})
    (told,) = events(body, first=True, made_by={"fraud-drift-1": "uid-run"})
    assert told.document["outputs"][0]["facets"]["version"]["datasetVersion"] == "7"
    assert told.document["inputs"] == []
    assert "parent" not in facets(told)


def test_a_retraining_run_that_reported_a_version_tells_what_it_learnt_from() -> None:
    registration = {"uri": "models:/fraud/8", "address": "http://mlflow.ml.svc:5000#risk", "version": "8"}
    told = {"registration": registration | {"lineage": LINEAGE}, "model": {"uri": "s3://models/fraud/8"}}
    end = run_events(run("Promoted", finishedAt=ENDED, version="8", **told))[-1].document
    assert [(each["namespace"], each["name"]) for each in end["inputs"]] == [
        (NAMESPACE, "ml/fraud"), (REFERENCE["address"], "fraud-train"), (REFERENCE["address"], "other"),
    ]  # fmt: skip
    assert end["job"]["facets"]["sourceCodeLocation"]["version"] == COMMIT
    assert "hunter2" not in json.dumps(end)
