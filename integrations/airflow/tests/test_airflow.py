"""The operators and the sensor in a real Airflow's classes, without its server: `execute` as a worker calls it, against
an API server that stands in for Kubernetes' (tests/unit/pipelines/apiserver.py, whose words the real one's tests hold).
"""

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from modelward_airflow import provider_info
from modelward_airflow.hook import ModelwardHook
from modelward_airflow.operators import DeployVersion, ReadDrift, ReadQuality, RunBatch
from modelward_airflow.sensors import RolloutSensor
from modelward_cli.pipeline.waiting import Clock
from unit.pipelines.apiserver import TOKEN, ApiServer, api_server
from unit.pipelines.models import GATES, NEW, OLD, model, policy, promoted, rolling
from unit.pipelines.pages import blocks

CONTEXT = {"run_id": "scheduled__1", "ti": SimpleNamespace(dag_id="churn", task_id="score", map_index=-1)}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ApiServer]:
    with api_server(tmp_path) as state:
        extra = {"namespace": "ml", "certificate_authority": state.authority}
        connection = {"conn_type": "modelward", "host": state.url, "password": TOKEN, "extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_MODELWARD_DEFAULT", json.dumps(connection))
        yield state


def test_airflow_finds_the_provider() -> None:
    """As installed, Airflow reads this by the entry point `apache_airflow_provider`."""
    (kind,) = provider_info()["connection-types"]
    module, name = kind["hook-class-name"].rsplit(".", 1)
    assert (module, name) == (ModelwardHook.__module__, ModelwardHook.__name__)
    assert kind["connection-type"] == ModelwardHook.conn_type
    assert "modelward-airflow" in ProvidersManager().providers


def test_a_version_is_deployed_and_again_nothing(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    task = DeployVersion(task_id="deploy", model="fraud", uri=NEW, digest="")
    first, again = task.execute(CONTEXT), task.execute(CONTEXT)
    assert (first["changed"], first["before"]["uri"], again["changed"]) == (True, OLD, False)
    assert len(server.writes()) == 1
    json.dumps(first)


def test_what_would_be_refused_again_is_not_tried_again(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    server.owners = {"uri": "argocd-controller"}
    with pytest.raises(AirflowFailException, match="argocd-controller"):
        DeployVersion(task_id="deploy", model="fraud", uri=NEW).execute(CONTEXT)
    server.broken = [(503, b"")]
    with pytest.raises(AirflowException) as caught:
        DeployVersion(task_id="deploy", model="fraud", uri=NEW).execute(CONTEXT)
    assert not isinstance(caught.value, AirflowFailException)


def test_a_rollout_is_waited_for(server: ApiServer) -> None:
    sensor = RolloutSensor(task_id="wait", model="fraud", uri=NEW)
    assert sensor.reschedule, "no worker is held while it waits"
    server.holds("modeldeployments", rolling("Progressing", "Step 1 of 3"))
    assert not sensor.poke(CONTEXT).is_done
    server.broken = [(503, b"")]
    assert not sensor.poke(CONTEXT).is_done, "a server that is away is asked again"
    server.holds("modeldeployments", promoted())
    found = sensor.poke(CONTEXT)
    assert (found.is_done, found.xcom_value["state"]) == (True, "promoted")


def test_one_that_is_rolled_back_fails_with_the_reason(server: ApiServer) -> None:
    server.holds("modeldeployments", rolling("RolledBack", "errorRate failed", gates=GATES))
    with pytest.raises(AirflowFailException, match="7 of 20 requests failed"):
        RolloutSensor(task_id="wait", model="fraud", uri=NEW).poke(CONTEXT)
    server.holds("modeldeployments", rolling("Paused", "Somebody paused it"))
    assert not RolloutSensor(task_id="wait", model="fraud", uri=NEW, when_paused="wait").poke(CONTEXT).is_done
    with pytest.raises(ValueError, match="write fail or wait"):
        RolloutSensor(task_id="wait", model="fraud", when_paused="never")


def test_drift_and_quality_are_read(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    server.holds("driftpolicies", policy(drifted=True, worse=True))
    read = ReadDrift(task_id="drift", model="fraud").execute(CONTEXT)
    assert (read["known"], read["found"][0]["features"][0]["name"]) == (True, "amount")
    json.dumps(read)
    with pytest.raises(AirflowFailException, match=r"psi 0\.31 reaches"):
        ReadDrift(task_id="drift", model="fraud", fail_if_drifted=True).execute(CONTEXT)
    with pytest.raises(AirflowFailException, match=r"f1 is 0\.70"):
        ReadQuality(task_id="quality", model="fraud", fail_if_worse=True).execute(CONTEXT)


def test_a_batch_is_started_once_and_waited_for(server: ApiServer) -> None:
    phases = iter(["Running", "Complete"])

    def later(_: float) -> None:
        for (kind, _name), each in server.objects.items():
            if kind == "batchinferences":
                each["status"] = {"phase": next(phases), "observedGeneration": 1}

    task = RunBatch(task_id="score", model="churn", input_uri="s3://in/", output_uri="s3://out/", keys=["id"])
    task.clock = Clock(lambda: 0.0, later)
    ended, again = task.execute(CONTEXT), task.execute(CONTEXT)
    assert ended["status"]["phase"] == "Complete"
    assert (again["name"], len(server.writes())) == (ended["name"], 2), (
        "one was made; the other try found its name taken"
    )
    assert len([kind for kind, _ in server.objects if kind == "batchinferences"]) == 1


def test_templates_are_rendered() -> None:
    with DAG("d", schedule=None):
        task: Any = DeployVersion(task_id="deploy", model="fraud", uri="models:/fraud/{{ v }}")
        task.render_template_fields({"v": 8})
    assert task.uri == "models:/fraud/8"


def test_an_unknown_word_in_the_connection_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MODELWARD_DEFAULT", json.dumps({"conn_type": "modelward", "extra": {"ca": "x"}}))
    with pytest.raises(AirflowException, match="has ca in its extra"):
        ReadDrift(task_id="drift", model="fraud").execute(CONTEXT)


def test_without_a_connection_the_pods_own_account_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(AirflowException, match="this is no pod"):
        ReadDrift(task_id="drift", model="fraud").execute(CONTEXT)
    with pytest.raises(Exception, match="modelward_other"):
        ReadDrift(task_id="drift", model="fraud", modelward_conn_id="modelward_other").execute(CONTEXT)


def test_the_dag_of_the_page_runs(server: ApiServer) -> None:
    """All of its tasks, in its order, as a worker would."""
    (page,) = blocks("docs/integrations/airflow-operators.md", "python")
    written: dict[str, Any] = {}
    exec(compile(page, "page", "exec"), written)
    dag = written["deploy"].dag
    order = [each.task_id for each in dag.topological_sort()]
    assert (order[:2], order[-1], set(order)) == (["deploy", "promoted"], "score", set(dag.task_dict))
    assert dag.task_dict["score"].upstream_task_ids == {"drift", "quality"}
    values = {"params": {"version": 8}, "run_id": "manual__1", "ti": CONTEXT["ti"]}
    tasks: dict[str, Any] = dag.task_dict
    for task in tasks.values():
        task.render_template_fields(values)
    server.holds("modeldeployments", model())
    server.holds("driftpolicies", policy())
    assert tasks["deploy"].execute(values)["version"]["uri"] == "models:/fraud/8"
    assert not tasks["promoted"].poke(values).is_done
    done = promoted()
    done["spec"]["model"] = done["status"]["model"] = {"uri": "models:/fraud/8"}
    done["status"]["stable"]["uri"] = "models:/fraud/8"
    server.holds("modeldeployments", done)
    assert tasks["promoted"].poke(values).is_done
    assert tasks["drift"].execute(values)["known"]
    assert tasks["quality"].execute(values)["known"]

    def later(_: float) -> None:
        (batch,) = [each for (kind, _), each in server.objects.items() if kind == "batchinferences"]
        assert batch["spec"]["input"] == {"uri": "s3://data/fraud/manual__1/"}
        batch["status"] = {"phase": "Complete"}

    tasks["score"].clock = Clock(lambda: 0.0, later)
    assert tasks["score"].execute(values)["status"]["phase"] == "Complete"


def test_the_connection_of_the_page_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    (page,) = blocks("docs/integrations/airflow-operators.md", "json")
    monkeypatch.setenv("AIRFLOW_CONN_MODELWARD_DEFAULT", json.dumps(json.loads(page)))
    cluster: Any = ModelwardHook().get_conn()
    assert (cluster.server, cluster.namespace) == ("https://cluster.example.com:6443", "ml")
