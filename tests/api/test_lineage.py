"""Lineage out of a real API server's statuses, to a receiver that takes what the official schemas allow."""

from typing import Any

import pytest
from aiohttp import web

from nodeless.cluster import Cluster
from nodeless.model import Model
from nodeless.operator_process import operator, until
from openlineage import Receiver

CANARY: dict[str, Any] = {"strategy": "Canary", "steps": [{"weight": 10, "hold": "0s"}]}
HELD: dict[str, Any] = {"strategy": "Canary", "steps": [{"weight": 10, "hold": "1h"}]}


def told(lineage: Receiver, model: Model) -> list[tuple[str, str]]:
    """Kind and type of each event of a model, in their order."""
    return [
        (each["run"]["facets"]["modelward_model"]["kind"], each["eventType"]) for each in of(lineage, model)
    ]  # fmt: skip


def of(lineage: Receiver, model: Model) -> list[dict[str, Any]]:
    return [each for each in lineage.events if each["job"]["name"] == f"{model.namespace}/fraud"]


def once(lineage: Receiver, model: Model) -> set[tuple[str, str, str]]:
    return {(each["run"]["runId"], each["eventType"], each["eventTime"]) for each in of(lineage, model)}


async def test_a_deployment_and_a_rollout_are_told_and_told_as_the_same_by_the_next_operator(
    cluster: Cluster, model: Model
) -> None:
    expected = [("Deploy", "START"), ("Deploy", "COMPLETE"), ("Rollout", "START"), ("Rollout", "COMPLETE")]
    async with Receiver() as lineage:
        async with operator(cluster, lineage_url=lineage.url):
            model.apply()
            await until(model.is_ready, "the first version")
            await until(lambda: told(lineage, model) == expected[:2], "it is told")
            model.apply(2, rollout=CANARY)
            await until(model.is_second, "the second version", 60)
            await until(lambda: told(lineage, model) == expected, "it is told, too")
        before = once(lineage, model)
        last = of(lineage, model)[-1]
        status = model.get()["status"]
        assert last["run"]["facets"]["modelward_model"]["revision"] == status["stable"]["revision"]
        assert last["eventTime"][:19] == status["rollout"]["endedAt"][:19]
        async with operator(cluster, "next", lineage_url=lineage.url):
            await until(lambda: told(lineage, model)[4:] == expected[2:], "what status tells is told again")
        assert once(lineage, model) == before
        assert lineage.problems == []


async def test_what_ends_while_the_receiver_is_down_and_no_operator_runs_is_told_later(
    cluster: Cluster, model: Model
) -> None:
    async with Receiver(instead=lambda _: web.Response(status=503)) as lineage:
        async with operator(cluster, lineage_url=lineage.url):
            model.apply()
            await until(model.is_ready, "the first version")
            model.apply(2, rollout=HELD)
            await until(lambda: model.get()["status"].get("candidate"), "the second version on trial")
            await until(lambda: lineage.asked, "it was told, and not taken")
        lineage.instead = lambda _: None
        async with operator(cluster, "next", lineage_url=lineage.url):
            await until(lambda: told(lineage, model) == [("Rollout", "START")], "the beginning")
            cluster.kubectl("annotate", "md", "fraud", "-n", model.namespace, "modelward.io/rollout=abort")
            await until(lambda: told(lineage, model)[1:] == [("Rollout", "ABORT")], "the end", 60)
            start, end = of(lineage, model)
            assert start["run"]["runId"] == end["run"]["runId"]
            assert end["run"]["facets"]["errorMessage"]["message"] == "Aborted by hand"
        assert lineage.problems == []


async def test_a_model_that_is_deleted_on_trial_has_an_end(cluster: Cluster, model: Model) -> None:
    async with Receiver() as lineage, operator(cluster, lineage_url=lineage.url):
        model.apply()
        await until(model.is_ready, "the first version")
        model.apply(2, rollout=HELD)
        await until(lambda: ("Rollout", "START") in told(lineage, model), "the second version on trial")
        cluster.kubectl("delete", "md", "fraud", "-n", model.namespace, "--wait=false")
        await until(lambda: told(lineage, model)[-1] == ("Rollout", "ABORT"), "the end")


@pytest.mark.parametrize("code", [400, 422])
async def test_a_receiver_that_refuses_everything_holds_up_nothing(cluster: Cluster, model: Model, code: int) -> None:
    refusing = Receiver(instead=lambda _: web.Response(status=code))
    async with refusing as lineage, operator(cluster, lineage_url=lineage.url):
        model.apply()
        await until(model.is_ready, "the first version")
        await until(lambda: lineage.asked >= 2, "both events were refused")
