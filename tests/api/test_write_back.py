"""What a registry is told of its versions, on a real API server: promotions, rollbacks, aliases, crashes."""

from typing import Any

import pytest

from modelward.kube.resources import DEPLOYMENTS, MODEL_REGISTRIES
from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until
from nodeless.training import FakeMonitors, Policy
from recorded_mlflow import COMMIT, Recorded, raw

CHALLENGER = "models:/fraud@challenger"
CANARY: dict[str, Any] = {"strategy": "Canary", "steps": [{"weight": 10, "hold": "0s"}], "promotedAlias": "champion"}
HELD = {**CANARY, "steps": [{"weight": 10, "hold": "1h"}]}
SECOND = "mlflow-artifacts:/1/models/m-2/artifacts"
BOTH = {"aliases": ["champion"]}


def apply(cluster: Cluster, model: Model, mlflow: Recorded, write_back: dict[str, Any] | None, **rollout: Any) -> None:
    spec: dict[str, Any] = {"mlflow": {"url": mlflow.url}, "pollInterval": "5s"}
    body = {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelRegistry",
        "metadata": {"name": "mlflow", "namespace": model.namespace},
        "spec": spec | ({} if write_back is None else {"writeBack": write_back}),
    }  # fmt: skip
    cluster.apply(body, model.namespace)
    model.apply(model={"uri": CHALLENGER}, rollout=rollout or CANARY)


def environment(model: Model, revision: str) -> dict[str, Any]:
    """Of the download of a revision."""
    found = model.cluster.request("GET", DEPLOYMENTS.path(model.namespace, revision))
    (download,) = [each for each in found["spec"]["template"]["spec"]["initContainers"] if each["name"] == "download"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in download["env"]}


def challenger() -> Recorded:
    """Version 1 is to be tried; there is no champion yet."""
    return Recorded(aliases={"challenger": "1"})


def stages(model: Model, mlflow: Recorded) -> dict[str, str]:
    """By version."""
    key = f"modelward.stage/{model.namespace}/fraud"
    return {version: value for (version, name), value in mlflow.tags.items() if name == key}


def serves(model: Model, version: str) -> bool:
    return model.is_ready() and model.stable().get("version") == version


def told(model: Model) -> tuple[str, str]:
    found = model.condition("WrittenBack")
    return found["status"], found["reason"]


@pytest.mark.parametrize("writes", [1, 3, 5, 7])
async def test_an_operator_that_crashes_anywhere_in_a_promotion_leaves_one_stable_version(
    cluster: Cluster, model: Model, writes: int
) -> None:
    async with challenger() as mlflow:
        async with operator(cluster):
            apply(cluster, model, mlflow, BOTH, strategy="Immediate", promotedAlias="champion")
            await until(lambda: serves(model, "1") and told(model)[0] == "True", "the first version")
        mlflow.aliases["challenger"] = "2"

        def dead(one: Any) -> bool:
            model.kubelet.settle()
            return bool(one.api.dead) or (serves(model, "2") and told(model)[0] == "True")

        async with operator(cluster, "dies", dies_after=writes) as one:
            await until(lambda: dead(one), "its death", 60)
        async with operator(cluster, "dies", after_crash=True):
            await until(lambda: serves(model, "2"), "the second version", 60)
            await until(lambda: stages(model, mlflow) == {"1": "replaced", "2": "stable"}, "it is told", 60)
            await until(lambda: told(model) == ("True", "Written"), "and so says status")
            assert mlflow.aliases["champion"] == "2"


async def test_a_promotion_gives_the_stage_and_the_alias_once_and_the_next_operator_writes_nothing(
    cluster: Cluster, model: Model
) -> None:
    async with challenger() as mlflow:
        async with operator(cluster):
            apply(cluster, model, mlflow, BOTH)
            await until(lambda: serves(model, "1"), "the first version")
            await until(lambda: told(model) == ("True", "Written"), "it is told")
            assert (stages(model, mlflow), mlflow.aliases["champion"]) == ({"1": "stable"}, "1")
            mlflow.aliases["challenger"] = "2"
            await until(lambda: serves(model, "2"), "the second version", 60)
            await until(lambda: stages(model, mlflow) == {"1": "replaced", "2": "stable"}, "it is told, too")
            await until(lambda: told(model) == ("True", "Written"), "and so says status")
            assert mlflow.aliases["champion"] == "2"
            assert len(mlflow.writes) == 5
            record = model.get()["status"]["writeBack"]
            assert record["stable"] == {"model": "fraud", "version": "2"}
            assert "begun" not in record
            # Somebody moves it by hand: that is not put back.
            mlflow.aliases["champion"] = "1"
        asked = len(mlflow.asked)
        async with operator(cluster, "next") as second:
            await until(lambda: len(mlflow.asked) > asked, "it has asked")
            await second.controller._first_sync()
            await until(second.is_idle, "it has looked at everything")
            assert (second.api.writes, len(mlflow.writes), mlflow.aliases["champion"]) == (0, 5, "1")


async def test_a_version_on_trial_moves_nothing_and_one_that_is_aborted_is_told_with_its_reason(
    cluster: Cluster, model: Model
) -> None:
    async with challenger() as mlflow, operator(cluster):
        apply(cluster, model, mlflow, BOTH, **HELD)
        await until(lambda: serves(model, "1"), "the first version")
        await until(lambda: stages(model, mlflow) == {"1": "stable"}, "it is told")
        mlflow.aliases["challenger"] = "2"

        def on_trial() -> Any:
            model.kubelet.settle()
            return model.get()["status"].get("candidate", {}).get("weight")

        await until(on_trial, "the second version on trial", 60)
        assert (stages(model, mlflow), mlflow.aliases["champion"]) == ({"1": "stable"}, "1")
        cluster.kubectl("annotate", "md", "fraud", "-n", model.namespace, "modelward.io/rollout=abort")
        await until(lambda: stages(model, mlflow) == {"1": "stable", "2": "rolled-back"}, "it is told")
        assert mlflow.tags["2", f"modelward.rolled_back/{model.namespace}/fraud"] == "Aborted by hand"
        await until(lambda: told(model) == ("True", "Written"), "and so says status")
        assert mlflow.aliases["champion"] == "1"


async def test_a_login_that_may_not_write_is_told_with_its_cure_and_disturbs_nothing(
    cluster: Cluster, model: Model
) -> None:
    async with challenger() as mlflow, operator(cluster):
        mlflow.read_only = True
        apply(cluster, model, mlflow, BOTH)
        await until(lambda: serves(model, "1"), "the first version")
        await until(lambda: told(model) == ("False", "Forbidden"), "it is told")
        assert "the permission EDIT on the registered model" in model.condition("WrittenBack")["message"]
        assert "Forbidden" in model.events()
        assert model.condition("Ready")["status"] == "True"
        mlflow.aliases["challenger"] = "2"
        await until(lambda: serves(model, "2"), "the second version", 60)
        mlflow.read_only = False
        cluster.kubectl("annotate", "md", "fraud", "-n", model.namespace, "modelward.io/refresh=now")
        await until(lambda: told(model) == ("True", "Written"), "somebody gave the right")
        assert stages(model, mlflow)["2"] == "stable"
        assert stages(model, mlflow).get("1") in (None, "replaced")


async def test_a_registry_that_refuses_is_asked_by_the_next_operator_which_writes_nothing(
    cluster: Cluster, model: Model
) -> None:
    async with challenger() as mlflow:
        mlflow.read_only = True
        async with operator(cluster) as first:
            apply(cluster, model, mlflow, BOTH)
            await until(lambda: serves(model, "1"), "the first version")
            await until(lambda: told(model) == ("False", "Forbidden"), "it is told")
            await until(first.is_idle, "nothing left to do now")
        mlflow.asked.clear()
        async with operator(cluster, "next") as second:
            await until(lambda: any("set-tag" in each for each in mlflow.asked), "it has tried")
            await second.controller._first_sync()
            await until(second.is_idle, "it has looked at everything")
            assert second.api.writes == 0
            assert told(model) == ("False", "Forbidden")


async def test_nothing_is_written_unless_the_registry_says_so_and_only_the_aliases_that_it_names(
    cluster: Cluster, model: Model
) -> None:
    async with challenger() as mlflow, operator(cluster):
        apply(cluster, model, mlflow, None)
        await until(lambda: serves(model, "1"), "the first version")
        assert (mlflow.writes, told(model)) == ([], ("", ""))
        apply(cluster, model, mlflow, {"aliases": ["other"]})
        await until(lambda: told(model) == ("False", "AliasNotAllowed"), "it is told")
        await until(lambda: stages(model, mlflow) == {"1": "stable"}, "the tag is written")
        assert "champion" not in mlflow.aliases
        apply(cluster, model, mlflow, BOTH)
        await until(lambda: mlflow.aliases.get("champion") == "1", "it is allowed now")
        apply(cluster, model, mlflow, None)
        await until(lambda: "writeBack" not in model.get()["status"], "it is not to be told any more")
        registry = cluster.request("GET", MODEL_REGISTRIES.path(model.namespace, "mlflow"))
        assert "writeBack" not in registry["spec"]


async def test_a_version_that_a_retraining_run_reports_is_tried_and_the_promotion_moves_the_alias(
    cluster: Cluster, model: Model
) -> None:
    monitors, policy = FakeMonitors(), Policy(cluster, model.namespace)
    async with challenger() as mlflow, operator(cluster, monitors=monitors) as one:
        apply(cluster, model, mlflow, BOTH)
        await until(lambda: serves(model, "1") and told(model) == ("True", "Written"), "the first version")
        policy.apply()
        monitors.drift()
        await until(lambda: len(policy.running()) == 1, "a training Job")
        monitors.usual = 0.5
        mlflow.instead = raw(503, "down")
        policy.succeed(policy.running()[0], {"modelUri": "models:/fraud/2"})

        def held_up() -> bool:
            model.kubelet.settle()
            return "models:/fraud/2" in str((policy.active() or {}).get("status", {}).get("message"))

        await until(held_up, "it waits for the registry", 60)
        mlflow.instead = None
        await until(lambda: serves(model, "2"), "the version that it reported", 90)
        await until(lambda: policy.settled_runs() == [("Promoted", "Drift")], "the run's end", 60)
        status = model.get()["status"]
        assert (status["model"]["source"], status["model"]["version"]) == ("RetrainingRun", "2")
        assert status["stable"]["uri"] == SECOND
        run = policy.ended()[0]["status"]
        lineage = status["model"]["lineage"]
        assert (lineage["name"], lineage["commit"], lineage["metrics"]) == ("fraud", COMMIT, {"auc": "0.91"})
        assert status["stable"]["commit"] == COMMIT
        named = {"uri": "models:/fraud/2", "registry": "mlflow", "address": mlflow.url}
        assert status["model"]["registration"] == named
        assert run["registration"] == named | {"version": "2", "lineage": lineage}
        assert run["model"]["uri"] == SECOND
        given = environment(model, status["stable"]["revision"])
        assert (given["MODEL_URI"], given["MLFLOW_TRACKING_URI"]) == (SECOND, mlflow.url)
        await until(lambda: stages(model, mlflow) == {"1": "replaced", "2": "stable"}, "the registry is told")
        assert (mlflow.aliases["champion"], mlflow.aliases["challenger"]) == ("2", "1")
        # When the pipeline moves the alias, too, that is the same version: nothing rolls out.
        revision = status["stable"]["revision"]
        mlflow.aliases["challenger"] = "2"
        await until(lambda: model.get()["status"]["model"]["source"] == "Registry", "the alias is newer", 60)
        await until(one.is_idle, "nothing left to do")
        assert (model.stable()["revision"], len(model.revisions())) == (revision, 1)
