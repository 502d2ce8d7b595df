"""Another platform over a fleet, on a real API server: paced, stopped by the first failure, resumed, and silent."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from modelward.api.names import LABEL_INSTANCE
from modelward.kube.resources import CONTROLLER_REVISIONS, DEPLOYMENTS, MODEL_DEPLOYMENTS
from modelward.platform import Platform
from nodeless import older
from nodeless.cluster import Cluster
from nodeless.kubelet import FakeKubelet
from nodeless.model import S3, Model, condition, is_settled, manifest
from nodeless.operator_process import PLATFORM, Operator, operator, until
from nodeless.traffic import FakeTraffic

NAMES = [f"m{number:02}" for number in range(12)]
NEWER = Platform(server_image="inference:2", router_image="envoy:1")
AT_A_TIME = 3


class Fleet:
    """Twelve ModelDeployments of a namespace."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self.cluster, self.namespace = cluster, namespace
        self.kubelet = FakeKubelet(cluster, namespace)

    def apply(self) -> None:
        for name in NAMES:
            self.cluster.apply(manifest(self.namespace, name, router={"replicas": 1}), self.namespace)

    def models(self) -> list[Any]:
        return list(self.cluster.request("GET", MODEL_DEPLOYMENTS.path(self.namespace))["items"])

    def is_ready(self) -> bool:
        self.kubelet.settle()
        return all(is_settled(each) for each in self.models())

    def images(self) -> dict[str, str]:
        """Of the servers, by model."""
        listed = self.cluster.request("GET", DEPLOYMENTS.path(self.namespace))["items"]
        return {
            each["metadata"]["name"].rpartition("-")[0]: each["spec"]["template"]["spec"]["containers"][0]["image"]
            for each in listed
            if not each["metadata"]["name"].endswith("-router")
        }

    def on(self, platform: Platform) -> list[str]:
        return sorted(name for name, image in self.images().items() if image == platform.server_image)

    def told(self, name: str) -> Any:
        """The condition of one model."""
        return condition(next(each for each in self.models() if each["metadata"]["name"] == name), "PlatformCurrent")

    def unfinished(self) -> set[str]:
        """Models with pods of the newer platform on their way; what status tells of one may come after its end."""
        listed = self.cluster.request("GET", DEPLOYMENTS.path(self.namespace))["items"]
        return {
            each["metadata"]["labels"][LABEL_INSTANCE]
            for each in listed
            if each["spec"]["template"]["spec"]["containers"][0]["image"] == NEWER.server_image
            and (
                each.get("status", {}).get("observedGeneration") != each["metadata"]["generation"]
                or each["status"]["replicas"] != each["status"]["updatedReplicas"]
            )
        }

    def updating(self) -> list[str]:
        """By what status tells."""
        return [
            each["metadata"]["name"]
            for each in self.models()
            if condition(each, "PlatformCurrent")["reason"] == "Updating"
        ]

    def revision(self, name: str) -> str:
        model = next(each for each in self.models() if each["metadata"]["name"] == name)
        return str(model["status"]["stable"]["revision"])


@pytest.fixture
def fleet(cluster: Cluster, namespace: str) -> Fleet:
    return Fleet(cluster, namespace)


async def _knows_all(one: Operator) -> None:
    await until(lambda: sum(one.fleet.counts().values()) >= len(NAMES) and one.is_idle(), "every model looked at")


async def test_another_platform_is_paced_stops_at_the_first_failure_and_is_resumed(
    cluster: Cluster, fleet: Fleet
) -> None:
    async with operator(cluster):
        fleet.apply()
        await until(fleet.is_ready, "twelve models")
    deployments = {name: fleet.revision(name) for name in NAMES}
    fleet.kubelet.refusing = {fleet.revision("m05"): NEWER.server_image}

    async with operator(cluster, identity="second", platform=NEWER, at_a_time=AT_A_TIME) as second:
        await until(lambda: len(fleet.updating()) == AT_A_TIME and second.is_idle(), "the first three")
        assert fleet.on(NEWER) == NAMES[:AT_A_TIME]
        assert condition(fleet.models()[0], "Ready")["status"] == "True", "as many pods as ever answer"
        assert {fleet.told(name)["reason"] for name in NAMES[AT_A_TIME:]} == {"InLine"}

        def is_stopped() -> bool:
            assert len(fleet.unfinished()) <= AT_A_TIME
            fleet.kubelet.settle()
            return fleet.told("m05")["reason"] == "UpdateFailed" and not fleet.updating()

        await until(is_stopped, "the end of what had begun")
        assert "not there" in fleet.told("m05")["message"]
        assert "m05" not in fleet.on(NEWER), "it was put back"
        begun = fleet.on(NEWER)
        assert begun == [name for name in NAMES[: len(begun) + 1] if name != "m05"], "one after the other"
        assert len(begun) < len(NAMES) - 1
        counts = second.fleet.counts()
        assert (counts["failed"], counts["current"], counts["ready"]) == (1, len(begun), len(NAMES) - len(begun) - 1)
        assert {each.get("status", {}).get("rollout") for each in fleet.models()} == {None}
        fleet.kubelet.settle()
        await until(second.is_idle, "nothing left to do")

    async with operator(cluster, identity="third", platform=NEWER, at_a_time=AT_A_TIME) as third:
        await _knows_all(third)
        assert third.api.writes == 0, "a restart changes nothing about it"
        fleet.kubelet.refusing = {}
        cluster.kubectl("annotate", "md", "m05", "modelward.io/platform=retry", "-n", fleet.namespace)

        def is_done() -> bool:
            return fleet.is_ready() and fleet.on(NEWER) == NAMES and not fleet.updating()

        await until(is_done, "all of them", deadline=60)
        assert third.fleet.counts()["current"] == len(NAMES)
        assert {name: fleet.revision(name) for name in NAMES} == deployments, "no revision has changed"
        assert {fleet.told(name)["status"] for name in NAMES} == {"True"}
        records = cluster.request("GET", CONTROLLER_REVISIONS.path(fleet.namespace))["items"]
        assert len(records) == 2 * len(NAMES)
        assert all("modelward.io/update" not in each["metadata"]["annotations"] for each in records)

    async with operator(cluster, identity="fourth", platform=NEWER) as fourth:
        await _knows_all(fourth)
        assert fourth.api.writes == 0


async def test_nothing_is_updated_while_the_installation_holds_it(cluster: Cluster, model: Model) -> None:
    async with operator(cluster):
        model.apply()
        await until(model.is_ready, "ready")
    async with operator(cluster, identity="second", platform=NEWER, at_a_time=0) as second:
        await until(lambda: model.condition("PlatformCurrent")["reason"] == "InLine", "told")
        await until(second.is_idle, "nothing to do")
        assert second.fleet.counts()["ready"] == 1


@pytest.mark.parametrize("writes", [1, 2, 3, 4, 5])
async def test_killed_after_any_write_of_an_update_the_end_is_the_same(
    cluster: Cluster, model: Model, writes: int
) -> None:
    async with operator(cluster):
        model.apply()
        await until(model.is_ready, "ready")
    revisions = model.revisions()
    async with operator(cluster, platform=NEWER, dies_after=writes) as doomed:
        await until(lambda: doomed.task.done() or _is_on(model, NEWER), "the crash or the end")
    async with operator(cluster, platform=NEWER, after_crash=True):
        await until(lambda: _is_on(model, NEWER), "the newer platform")
    assert model.revisions() == revisions
    assert "rollout" not in model.get()["status"]


def deployment(model: Model, name: str) -> Any:
    return model.cluster.request("GET", DEPLOYMENTS.path(model.namespace, name))


def _is_on(model: Model, platform: Platform) -> bool:
    served = deployment(model, model.stable()["revision"])["spec"]["template"]["spec"]["containers"][0]["image"]
    return (
        model.is_ready() and served == platform.server_image and model.condition("PlatformCurrent")["status"] == "True"
    )


async def test_a_canary_goes_on_with_its_pods_and_is_updated_when_it_has_ended(cluster: Cluster, model: Model) -> None:
    canary = {"strategy": "Canary", "steps": [{"weight": 10, "hold": "1h"}]}
    async with operator(cluster):
        model.apply(version=1)
        await until(model.is_ready, "ready")
        model.apply(version=2, rollout=canary)
        await until(lambda: model.is_ready() or model.get()["status"].get("candidate", {}).get("weight") == 10, "10 %")
    async with operator(cluster, identity="second", platform=NEWER) as second:
        await until(lambda: model.condition("PlatformCurrent")["reason"] == "NotAtRest", "told")
        await until(second.is_idle, "nothing to do")
        assert {image for _, image in _images(model)} == {"inference:1"}
        cluster.kubectl("annotate", "md", "fraud", "modelward.io/rollout=promote", "-n", model.namespace)
        await until(lambda: model.is_second() and _is_on(model, NEWER), "promoted, and then updated")


async def test_a_canary_that_an_older_version_began_goes_on_to_its_end(cluster: Cluster, model: Model) -> None:
    """The objects are what that version wrote, its status too; what it had decided and found out holds."""
    body = older.restore(cluster, model.namespace)
    before, hour = body["status"], timedelta(hours=1)  # as long as its step holds
    began = datetime.fromisoformat(before["rollout"]["stepStartedAt"])
    passed = [timedelta(minutes=1)]
    model.kubelet.settle()
    pods, revisions = _templates(model), model.revisions()
    async with operator(cluster, traffic=FakeTraffic(), now=lambda: began + passed[0]) as newer:
        await until(lambda: model.condition("PlatformCurrent")["reason"] == "NotAtRest", "taken up")
        await until(newer.is_idle, "nothing to do")
        told = model.get()["status"]
        kept = ("revision", "from", "attempt", "step", "startedAt", "stepStartedAt", "phase")
        assert {name: told["rollout"][name] for name in kept} == {name: before["rollout"][name] for name in kept}
        for arm in ("stable", "candidate"):
            assert {told[arm][name] == before[arm][name] for name in ("revision", "weight", "uri")} == {True}
        (gate,), (known,) = told["rollout"]["gates"], before["rollout"]["gates"]
        assert (gate["name"], gate["verdict"]) == (known["name"], "Pass")
        assert gate["candidate"]["requests"] >= known["candidate"]["requests"]
        assert older.missing(before, told) == [], "the older version, put back, goes on with what it knew"
        assert model.revisions() == revisions
        assert _templates(model) == pods, "no pod is made anew in the middle of a rollout"
        passed[0] = 2 * hour
        await until(
            lambda: _is_on(model, PLATFORM) and model.stable()["uri"] == S3.format(2), "promoted, and updated", 60
        )
    assert model.stable()["revision"] == before["rollout"]["revision"]
    assert model.get()["status"]["rollout"]["phase"] == "Promoted"


def _templates(model: Model) -> dict[str, Any]:
    listed = model.cluster.request("GET", DEPLOYMENTS.path(model.namespace))["items"]
    return {each["metadata"]["name"]: each["spec"]["template"] for each in listed}


def _images(model: Model) -> list[tuple[str, str]]:
    listed = model.cluster.request("GET", DEPLOYMENTS.path(model.namespace))["items"]
    return [
        (each["metadata"]["name"], each["spec"]["template"]["spec"]["containers"][0]["image"])
        for each in listed
        if not each["metadata"]["name"].endswith("-router")
    ]


async def test_pods_are_restarted_once_for_each_value_and_no_revision_changes(cluster: Cluster, model: Model) -> None:
    def restart(value: str) -> None:
        cluster.kubectl(
            "annotate", "--overwrite", "md", "fraud", f"modelward.io/restart={value}", "-n", model.namespace
        )

    def mark(name: str) -> Any:
        template = deployment(model, name)["spec"]["template"]
        return template["metadata"]["annotations"].get("modelward.io/restart")

    async with operator(cluster):
        model.apply()
        await until(model.is_ready, "ready")
        name = model.stable()["revision"]
        restart("now")
        await until(lambda: mark(name) == "now" and model.is_ready(), "new pods")
        restart("again")
        await until(lambda: mark(name) == "again" and model.is_ready(), "new pods once more")
        assert model.stable()["revision"] == name
        assert model.events().count("Restarted") == 2
    async with operator(cluster, identity="next") as second:
        await until(lambda: second.cache.get(MODEL_DEPLOYMENTS, model.namespace, "fraud") and second.is_idle(), "done")
        assert second.api.writes == 0
        model.apply(version=2)
        await until(model.is_second, "the second version")
        assert mark(model.stable()["revision"]) is None, "asked of the pods of then"


async def test_what_kubectl_rollout_pause_stops_goes_on(cluster: Cluster, model: Model) -> None:
    async with operator(cluster) as one:
        model.apply()
        await until(model.is_ready, "ready")
        for name in (model.stable()["revision"], "fraud-router"):
            cluster.kubectl("rollout", "pause", f"deployment/{name}", "-n", model.namespace)
            await until(lambda name=name: "paused" not in deployment(model, name)["spec"], "that it goes on")
        await until(one.is_idle, "told")
        assert model.events().count("PauseLifted") == 2


async def test_what_kubectl_rollout_restart_writes_stays(cluster: Cluster, model: Model) -> None:
    def restarted_at(name: str) -> Any:
        template = cluster.get("deployment", name, "-n", model.namespace)["spec"]["template"]
        return template["metadata"].get("annotations", {}).get("kubectl.kubernetes.io/restartedAt")

    async with operator(cluster) as one:
        model.apply()
        await until(model.is_ready, "ready")
        stable = model.stable()["revision"]
        for name in (stable, "fraud-router"):
            cluster.kubectl("rollout", "restart", f"deployment/{name}", "-n", model.namespace)
        said = {name: restarted_at(name) for name in (stable, "fraud-router")}
        assert None not in said.values()
        await until(model.is_ready, "ready again")
        patch = '{"spec": {"replicas": 2}}'
        cluster.kubectl("patch", "md", "fraud", "-n", model.namespace, "--type=merge", "-p", patch)
        await until(lambda: model.is_ready() and one.is_idle(), "an apply over it")
        assert {name: restarted_at(name) for name in said} == said
        assert "MetadataRepaired" not in model.events()
