"""The block and the tasks in a real Prefect with its own ephemeral server, against an API server that stands in for
Kubernetes' (tests/unit/pipelines/apiserver.py, whose words the real one's tests hold)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prefect import flow
from prefect.testing.utilities import prefect_test_harness

from modelward_cli.kubectl import ConflictError
from modelward_cli.pipeline.rollouts import NotPromotedError
from modelward_cli.pipeline.waiting import TooLateError
from modelward_prefect import (
    ModelwardCluster,
    deploy_version,
    read_drift,
    read_quality,
    run_batch,
    wait_for_rollout,
)
from modelward_prefect.tasks import DriftedError, WorseError
from unit.pipelines.apiserver import TOKEN, ApiServer, api_server
from unit.pipelines.models import GATES, NEW, OLD, model, policy, promoted, rolling
from unit.pipelines.pages import blocks


@pytest.fixture(scope="module", autouse=True)
def prefect() -> Iterator[None]:
    with prefect_test_harness(server_startup_timeout=300):
        yield


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ApiServer]:
    with api_server(tmp_path) as state:
        yield state


def block(server: ApiServer) -> ModelwardCluster:
    return ModelwardCluster(namespace="ml", server=server.url, token=TOKEN, certificate_authority=server.authority)


def test_a_block_is_saved_and_loaded_with_its_token_hidden(server: ApiServer) -> None:
    block(server).save("ml", overwrite=True)
    loaded = ModelwardCluster.load("ml")
    assert loaded.cluster() == block(server).cluster()
    assert TOKEN not in repr(loaded) + str(loaded.model_dump())


def test_a_flow_deploys_waits_and_reads(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    server.holds("driftpolicies", policy(drifted=True, worse=True))

    @flow
    def release(cluster: ModelwardCluster) -> list[Any]:
        deployed = [deploy_version(cluster, "fraud", NEW) for _ in range(2)]
        server.holds("modeldeployments", promoted())
        ended = wait_for_rollout(cluster, "fraud", NEW)
        return [*deployed, ended, read_drift(cluster, "fraud"), read_quality(cluster, "watch")]

    first, again, ended, drift, quality = release(block(server))
    assert (first["changed"], first["before"]["uri"], again["changed"]) == (True, OLD, False)
    assert (len(server.writes()), ended["state"]) == (1, "promoted")
    assert drift["bad"] == ["fraud drifts, by the policy watch: amount: psi 0.31 reaches 0.2"]
    assert quality["found"][0]["metrics"][0]["low"] == "0.68"


def failing(task: Any, *arguments: Any, **named: Any) -> Any:
    @flow
    def one() -> Any:
        return task(*arguments, **named)

    return one()


def test_what_fails_says_why(server: ApiServer) -> None:
    cluster = block(server)
    server.holds("driftpolicies", policy(drifted=True, worse=True))
    server.holds("modeldeployments", rolling("RolledBack", "errorRate failed", gates=GATES))
    with pytest.raises(NotPromotedError, match="7 of 20 requests failed"):
        failing(wait_for_rollout, cluster, "fraud", NEW)
    server.holds("modeldeployments", rolling("Progressing", "Step 1 of 3"))
    with pytest.raises(TooLateError, match="Step 1 of 3"):
        failing(wait_for_rollout, cluster, "fraud", NEW, timeout=0.0)
    with pytest.raises(DriftedError, match=r"psi 0\.31 reaches"):
        failing(read_drift, cluster, "fraud", fail_if_drifted=True)
    with pytest.raises(WorseError, match=r"f1 is 0\.70"):
        failing(read_quality, cluster, "fraud", fail_if_worse=True)


def test_what_would_be_refused_again_is_not_tried_again(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    server.owners = {"uri": "argocd-controller"}
    with pytest.raises(ConflictError, match="argocd-controller"):
        failing(deploy_version, block(server), "fraud", NEW)
    assert len(server.writes()) == 1


def test_a_server_that_is_away_is_asked_again(server: ApiServer) -> None:
    server.holds("modeldeployments", model())
    server.broken = [(503, b"")]
    again = deploy_version.with_options(retry_delay_seconds=0)
    assert failing(again, block(server), "fraud", NEW)["changed"]


def test_a_batch_is_started_once_and_waited_for(server: ApiServer) -> None:
    kind = "batchinferences"
    cluster = block(server)

    @flow
    def score() -> list[Any]:
        for each in ("Failed", "Complete"):
            with pytest.raises(TooLateError):  # it goes on
                run_batch(cluster, "churn", "s3://in/", "s3://out/", ["id"], timeout=0.0)
            newest = [body for (plural, _), body in server.objects.items() if plural == kind][-1]
            newest["status"] = {"phase": each, "observedGeneration": 1}
        return [run_batch(cluster, "churn", "s3://in/", "s3://out/", ["id"]) for _ in range(2)]

    one, other = score()
    names = [name for plural, name in server.objects if plural == kind]
    assert len(names) == 2, "another attempt after the one that failed"
    assert one["name"] == other["name"] == names[-1] == f"{names[0]}-2"


def test_the_flow_of_the_page_runs(server: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved, written = blocks("docs/integrations/prefect-block.md", "python")
    monkeypatch.chdir(tmp_path)
    Path("ca.crt").write_text(server.authority)
    told = {"https://cluster.example.com:6443": server.url, "THE TOKEN": TOKEN}
    for before, after in told.items():
        assert before in saved
        saved = saved.replace(before, after)
    exec(compile(saved, "page", "exec"), {})
    names: dict[str, Any] = {"__name__": "page"}
    Path("page.py").write_text(written)
    exec(compile(written, "page.py", "exec"), names)
    done = promoted()
    done["spec"]["model"] = done["status"]["model"] = {"uri": "models:/fraud/8"}
    done["status"]["stable"]["uri"] = "models:/fraud/8"
    server.holds("modeldeployments", done)
    server.holds("driftpolicies", policy())
    server.completes = True
    names["release"]()
    (batch,) = [each for (plural, _), each in server.objects.items() if plural == "batchinferences"]
    assert batch["spec"]["keys"] == ["payment_id"]
