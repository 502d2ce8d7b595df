"""A real prediction log in a real store, outcomes that come later, and a Job of the operator's that joins the two."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3
from examples.demo import objects
from examples.demo.cluster import forwarded, publish
from examples.demo.model import Trained

from localcluster import kind, settings
from localcluster.clients import kubectl
from postgres import OWNER, PASSWORD, Postgres

from .model import Model, until
from .test_monitors import BUNDLE, requests

ROWS = 60
LONG = 300.0
LOG = {"uri": "s3://models/predictions", "credentialsSecret": {"name": "s3-credentials"}, "interval": "1s"}
LABEL = "output.predict"


def answers(model: Model, trained: Trained) -> list[str]:
    """What the model says of rows that are each sent under a key of the client's own."""
    found = []
    with forwarded(model.namespace, model.name, 80) as address, urllib3.PoolManager() as pool:
        for number, body in enumerate(requests(trained.rows[:ROWS])):
            headers = {"modelward-key": f"{model.name}-{number}", "content-type": "application/json"}
            answer = pool.request(
                "POST", f"http://{address}/v2/models/{model.name}/infer", body=body, headers=headers
            ).json()
            (said,) = [each["data"][0] for each in answer["outputs"] if each["name"] == "predict"]
            found.append(str(int(said)))
    return found


def logged(model: Model) -> int:
    return int(model.get()["status"].get("predictionLog", {}).get("stored", 0))


def policy_of(model: Model, **quality: Any) -> None:
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy",
        "metadata": {"name": model.name, "namespace": model.namespace},
        "spec": {
            "target": {"name": model.name},
            # Each minute, so that a test need not wait for long.
            "quality": {
                "task": {"kind": "Classes", "label": LABEL}, "schedule": {"cron": "* * * * *"}, "minSamples": 30,
                "metrics": [{"name": "accuracy", "min": "0.99"}], **quality,
            },
        },
    }  # fmt: skip
    kubectl("apply", "-f", "-", stdin=json.dumps(body))


def status(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = objects.get("driftpolicies", model.namespace, model.name).get("status", {})
    return found


def condition(model: Model, kind: str) -> dict[str, str]:
    found = (each for each in status(model).get("conditions", ()) if each["type"] == kind)
    return next(found, {"status": "", "reason": "", "message": ""})


def quality(model: Model) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(status(model).get("targets", ())), {}).get("quality", {})
    return found


def quality_of_all(model: Model) -> dict[str, Any]:
    """Of every row: the first time that is measured may have ended between two of them."""
    until(
        lambda: condition(model, "Measured")["status"] == "True" and quality(model).get("rows") == ROWS,
        "a value of all rows", LONG,
    )  # fmt: skip
    return quality(model)


def told(model: Model, outcomes: list[str]) -> None:
    lines = [f"{model.name}-{number},0,{value}" for number, value in enumerate(outcomes)]
    publish(
        model.namespace, "models", {f"told/{model.name}/a.csv": "\n".join(["key,row,value", *lines]).encode()}
    )  # fmt: skip


def posted(model: Model, outcomes: list[str]) -> None:
    """By the clients themselves, through the router: taken once they are on a pod's disk."""
    entries = [{"key": f"{model.name}-{number}", "value": value} for number, value in enumerate(outcomes)]
    with forwarded(model.namespace, model.name, 80) as address, urllib3.PoolManager() as pool:
        answer = pool.request("POST", f"http://{address}/v2/models/{model.name}/outcomes", json={"outcomes": entries})
    assert (answer.status, answer.json()["outcomes"]) == (202, len(entries)), answer.data


@pytest.fixture
def database() -> Iterator[Postgres]:
    """On the node's own address, which pods reach."""
    if kind.is_chosen():
        pytest.skip("pods of kind's nodes do not reach this machine")
    made = Postgres(settings.NODE_IP, settings.OWN_CIDR)
    yield made
    made.stop()


@pytest.fixture
def logging_model(model: Model) -> Iterator[Model]:
    model.apply(BUNDLE, monitor={"window": {"duration": "5s", "minSamples": 10}}, predictionLog=LOG)
    model.settle()
    yield model
    kubectl("delete", "driftpolicy", model.name, "-n", model.namespace, "--ignore-not-found", "--wait=false")


def test_a_model_that_is_wrong_half_of_the_time_is_seen(
    logging_model: Model, trained: Trained, measured: Callable[[str], None]
) -> None:
    model = logging_model
    said = answers(model, trained)
    until(lambda: logged(model) >= ROWS, "the log in its store")
    uri = f"s3://models/told/{model.name}"
    policy_of(model, outcomes={"uri": uri})
    until(lambda: condition(model, "Measured")["reason"] == "NoOutcomes", "that nobody told what became of it", LONG)
    assert uri in condition(model, "Measured")["message"]
    told(model, [each if number % 2 else "10" for number, each in enumerate(said)])
    found = quality_of_all(model)
    assert (found["metric"], found["value"], found["rows"], found["coverage"]) == ("accuracy", "0.5", ROWS, "100.0%")
    assert found["revision"] == model.stable()
    until(lambda: condition(model, "Drifted")["status"] == "True", "that this is too bad")
    assert condition(model, "Drifted")["message"].startswith("accuracy is 0.5 (")
    selector = f"modelward.io/policy={model.name},app.kubernetes.io/component=evaluation"
    until(lambda: len(objects.names("jobs", model.namespace, selector)) <= 4, "no more Jobs than are kept", LONG)
    pod = objects.find_all("pods", model.namespace, selector)[0]
    assert pod["spec"]["automountServiceAccountToken"] is False
    measured(f"quality: {found['metric']} {found['value']} ({found['low']} to {found['high']}) of {found['rows']} rows")


def test_outcomes_that_clients_post_are_measured(logging_model: Model, trained: Trained) -> None:
    model = logging_model
    said = answers(model, trained)
    posted(model, [each if number % 4 else "10" for number, each in enumerate(said)])
    until(lambda: logged(model) >= ROWS, "the log in its store")
    policy_of(model, metrics=[{"name": "accuracy", "min": "0.2"}])
    found = quality_of_all(model)
    assert (found["value"], found["rows"], found["coverage"]) == ("0.75", ROWS, "100.0%")
    assert condition(model, "Drifted")["status"] != "True", "which is good enough"


def test_outcomes_in_a_table_of_a_database_are_measured(
    logging_model: Model, trained: Trained, database: Postgres
) -> None:
    model = logging_model
    said = answers(model, trained)
    with database.connected() as con:
        con.execute("CREATE TABLE chargebacks (order_id text, label integer)")
        for number, each in enumerate(said):
            right = int(each) if number % 3 else 10
            con.execute("INSERT INTO chargebacks VALUES (%s, %s)", (f"{model.name}-{number}", right))
    login = [f"--from-literal=OUTCOMES_TABLE_USER={OWNER}", f"--from-literal=OUTCOMES_TABLE_PASSWORD={PASSWORD}"]
    kubectl("create", "secret", "generic", f"{model.name}-table", "-n", model.namespace, *login)
    until(lambda: logged(model) >= ROWS, "the log in its store")
    table = {"url": database.url, "name": "chargebacks"}
    columns = {"key": "order_id", "value": "label"}
    secret = {"name": f"{model.name}-table"}
    policy_of(model, outcomes={"table": table, "credentialsSecret": secret, "columns": columns})
    found = quality_of_all(model)
    assert (found["value"], found["rows"], found["coverage"]) == ("0.6667", ROWS, "100.0%")


def test_a_store_that_refuses_is_told_with_its_words(logging_model: Model, trained: Trained) -> None:
    model = logging_model
    answers(model, trained)
    until(lambda: logged(model) >= ROWS, "the log in its store")
    policy_of(model, outcomes={"uri": "s3://nowhere/told"})
    until(lambda: condition(model, "Measured")["reason"] == "EvaluationFailed", "that the Job failed", LONG)
    assert "there is no bucket 'nowhere'" in condition(model, "Measured")["message"]
