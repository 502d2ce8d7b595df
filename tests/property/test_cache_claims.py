"""A model's cache around the operator's own Reconciler: its claim comes, goes and is none, and the model serves."""

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from builders import FixedKeys
from modelward.facts import Judgement
from modelward.kube.client import ApiError
from modelward.kube.poller import Poller
from modelward.kube.resources import (
    CONTROLLER_REVISIONS,
    DEPLOYMENTS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    Resource,
)
from modelward.monitoring.logged import Logged
from modelward.platform import Platform
from modelward.reconcilers.fleet import Fleet
from modelward.reconcilers.modeldeployment.caches import CacheClaims
from modelward.reconcilers.modeldeployment.reconcile import Outcome, Reconciler
from modelward.reconcilers.modeldeployment.sources import VolumeSources

from .cluster_world import CANARY, MODEL_DEPLOYMENTS, ClusterWorld, Json, _Evidence, _Unmonitored

CACHE = {"uri": "s3://models/fraud/1/model.onnx", "cache": {"claim": "shared", "size": "1Gi"}}
KEY = "modelward-cache-key"


class _Logs(_Unmonitored):
    """Pods that say nothing of their log yet."""

    class logs:  # noqa: N801
        @staticmethod
        def look(owner: Any, _observed: Any) -> tuple[Logged, None]:
            return Logged(owner.spec.prediction_log.uri), None


class World(ClusterWorld):
    """With claims, and Secrets. `forbidden`: kinds that the operator's account may not get or create; `unreadable`: it
    may not get Secrets; `rolling`: Deployments have a pod too many while one waits for its volumes; `reads`: how often
    claims were."""

    def __init__(self) -> None:
        self.forbidden: set[Resource] = set()
        self.failing = self.unreadable = self.rolling = False
        self.reads = 0
        self.unwatched: dict[tuple[Resource, str], Json] = {}
        super().__init__()

    def start(self, image: str, at_a_time: int = 0, router_image: str = "envoy:1") -> None:
        super().start(image, at_a_time, router_image)
        self.fleet = Fleet(lambda: self.cache.names(MODEL_DEPLOYMENTS), lambda _key: None, at_a_time)
        self.poller = Poller(lambda _key: None, lambda: self.now)
        self.reconciler = Reconciler(
            self, self.cache, Platform(image, router_image), self, _Evidence(self), _Logs(), "me",  # type: ignore[arg-type]
            lambda: self.now, lambda: datetime.fromtimestamp(self.now, UTC), FixedKeys(), self.fleet,
            claims=CacheClaims(self, self.poller, lambda: self.now),  # type: ignore[arg-type]
            sources=VolumeSources(self, self.poller, lambda: self.now),  # type: ignore[arg-type]
        )  # fmt: skip

    async def step(self) -> Outcome:
        self.now += 60.0
        await super().step()
        await self.poller.idle()
        return await super().step()

    async def get(self, resource: Resource, namespace: str, name: str) -> Json | None:
        self.reads += resource is PERSISTENT_VOLUME_CLAIMS
        if self.failing:
            raise ApiError(500, "InternalError", "etcd is away")
        if resource in self.forbidden or (resource is SECRETS and self.unreadable):
            raise ApiError(403, "Forbidden", "no")
        if resource in (PERSISTENT_VOLUME_CLAIMS, SECRETS):
            return copy.deepcopy(self.unwatched.get((resource, name)))
        return await super().get(resource, namespace, name)

    async def create(self, resource: Resource, namespace: str, manifest: Json) -> Json:
        if resource is not SECRETS:
            return await super().create(resource, namespace, manifest)
        self.writes += 1
        if SECRETS in self.forbidden:
            raise ApiError(403, "Forbidden", "no")
        if (SECRETS, manifest["metadata"]["name"]) in self.unwatched:
            raise ApiError(409, "AlreadyExists", "it is there")
        self.unwatched[SECRETS, manifest["metadata"]["name"]] = copy.deepcopy(manifest)
        return manifest

    def settle(self) -> None:
        super().settle()
        for resource, name in list(self.objects):
            if self.rolling and resource is PODS and name.endswith("-new"):
                deployment = self.objects[DEPLOYMENTS, name.removesuffix("-new")]
                wanted = deployment["spec"]["replicas"]
                status = {**deployment["status"], "replicas": wanted + 1, "updatedReplicas": 0}
                self.put(DEPLOYMENTS, {**copy.deepcopy(deployment), "status": status})

    def claim(self, phase: str = "Bound", mode: str = "ReadWriteMany", name: str = "shared", **metadata: Any) -> None:
        self.unwatched[PERSISTENT_VOLUME_CLAIMS, name] = {
            "metadata": {"name": name, "namespace": "ml", "uid": "c", **metadata},
            "spec": {"accessModes": [mode]}, "status": {"phase": phase},
        }  # fmt: skip

    def template(self, name: str) -> Json:
        return dict(self.objects[DEPLOYMENTS, name]["spec"]["template"])

    def mounts(self, name: str) -> bool:
        record = self.objects[CONTROLLER_REVISIONS, name]["data"]["template"]
        assert record == self.template(name)
        return any(each["name"] == "cache" for each in record["spec"]["volumes"])

    @property
    def usable(self) -> str:
        told = self.condition("CacheUsable")
        return str(told["status"] if told["status"] == "True" else told["reason"])

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason, _ in self.events]


async def served(**spec: Any) -> World:
    world = World()
    world.ask_for(1, **({"model": CACHE} | spec))
    await world.run(4)
    return world


UNUSABLE: dict[str, tuple[dict[str, Any], str]] = {
    "not bound": ({"phase": "Pending"}, "ClaimNotBound"),
    "lost": ({"phase": "Lost"}, "ClaimNotBound"),
    "one node's": ({"mode": "ReadWriteOnce"}, "ClaimNotShared"),
    "one pod's": ({"mode": "ReadWriteOncePod"}, "ClaimNotShared"),
    "for reading": ({"mode": "ReadOnlyMany"}, "ClaimNotShared"),
    "going": ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, "ClaimDeleting"),
}


@pytest.mark.parametrize("case", [*UNUSABLE, "missing", "forbidden"])
async def test_a_claim_that_is_none_keeps_no_model_from_serving_and_is_taken_when_it_is_one(case: str) -> None:
    world = World()
    if case == "forbidden":
        world.claim()
        world.forbidden.add(PERSISTENT_VOLUME_CLAIMS)
    elif case != "missing":
        world.claim(**UNUSABLE[case][0])
    world.ask_for(1, model=CACHE)
    await world.run(4)
    stable = world.stable
    expected = {"missing": "ClaimMissing", "forbidden": "ClaimForbidden"}.get(case) or UNUSABLE[case][1]
    assert (world.usable, world.mounts(stable)) == (expected, False)
    assert world.condition("Ready")["status"] == "True"
    assert world.reasons.count(expected) == 1
    world.forbidden.clear()
    world.claim()
    for _ in range(4):
        await world.step()
        assert world.condition("Servable")["status"] == "True"
        world.settle()
    assert (world.usable, world.mounts(stable), world.stable) == ("True", True, stable)
    assert world.reasons.count("CacheUsable") == 1
    assert "rollout" not in world.status, "the model is the same"
    assert not [each for each in world.reasons if each.startswith("Platform")], "it is no newer platform"
    writes = world.writes
    world.start("inference:1")
    await world.run(4)
    assert world.writes == writes


async def test_a_claim_that_goes_is_left_at_once_also_while_something_goes_on() -> None:
    world = World()
    world.claim()
    world.judgement = Judgement(passed=False, waits_for="more requests")
    world.ask_for(1, model=CACHE, rollout=CANARY)
    await world.run(4)
    stable = world.stable
    world.ask_for(2, model={**CACHE, "uri": "s3://models/fraud/2/model.onnx"}, rollout=CANARY)
    await world.run(3)
    (candidate,) = set(world.shares()) - {stable}
    assert world.mounts(stable)
    assert world.mounts(candidate)
    world.claim(deletionTimestamp="2026-01-01T00:00:00Z")
    await world.run(3)
    assert not world.mounts(stable)
    assert not world.mounts(candidate)
    world.claim()
    await world.run(3)
    assert not world.mounts(stable), "a rollout is not disturbed for it"
    assert world.shares() == {stable: 90, candidate: 10}


async def test_a_newer_platform_waits_for_its_turn_with_a_cache_too() -> None:
    world = await served()
    world.claim()
    await world.run(3)
    assert world.mounts(world.stable)
    before = world.template(world.stable)
    world.start("inference:2", at_a_time=0)
    await world.run(4)
    assert world.template(world.stable) == before
    world.start("inference:2", at_a_time=1)
    await world.run(4)
    assert world.template(world.stable)["spec"]["containers"][0]["image"] == "inference:2"
    assert world.mounts(world.stable)


async def test_an_api_server_that_stumbles_changes_no_pod_not_even_of_an_operator_that_begins() -> None:
    world = World()
    world.claim()
    world.ask_for(1, model=CACHE)
    await world.run(4)
    world.failing = True
    await world.run(3)
    world.start("inference:1")
    await world.run(3)
    assert world.mounts(world.stable)
    world.failing = False
    await world.run(3)
    assert (world.usable, world.mounts(world.stable)) == ("True", True)


async def test_the_key_is_made_once_and_again_where_somebody_deleted_it() -> None:
    world = World()
    world.claim()
    world.ask_for(1, model=CACHE)
    await world.run(3)
    made = world.unwatched[SECRETS, KEY]
    assert (made["type"], made["immutable"], list(made["data"])) == ("Opaque", True, ["key"])
    await world.run(3)
    assert world.unwatched[SECRETS, KEY] is made
    del world.unwatched[SECRETS, KEY]
    await world.run(3)
    assert world.unwatched[SECRETS, KEY]["data"] != made["data"]
    world.unwatched[SECRETS, KEY]["data"] = {"key": "c2hvcnQ="}
    await world.run(3)
    assert world.usable == "CacheKeyInvalid"
    assert world.mounts(world.stable), "artifacts need no key"


async def test_who_may_not_make_the_key_says_so_and_artifacts_are_shared() -> None:
    world = World()
    world.claim()
    world.forbidden.add(SECRETS)
    world.ask_for(1, model=CACHE)
    await world.run(3)
    assert (world.usable, world.mounts(world.stable)) == ("CacheKeyForbidden", True)
    assert world.condition("Ready")["status"] == "True"


async def test_who_may_not_read_secrets_makes_the_key_all_the_same() -> None:
    world = World()
    world.unreadable = True
    world.claim()
    world.ask_for(1, model=CACHE)
    await world.run(3)
    made = world.unwatched[SECRETS, KEY]
    await world.run(3)
    assert world.unwatched[SECRETS, KEY] is made
    assert world.usable == "True"


async def test_without_a_cache_nothing_is_asked_and_nothing_is_said() -> None:
    world = await served(model={"uri": CACHE["uri"]})
    assert world.reads == 0
    assert "CacheUsable" not in {each["type"] for each in world.status["conditions"]}
    assert (SECRETS, KEY) not in world.unwatched
    assert not world.mounts(world.stable)


def held_up(world: World, name: str) -> None:
    """New pods of the Deployment wait for their volumes, beside the old ones."""
    template = world.template(name)
    since = datetime.fromtimestamp(world.now, UTC).isoformat()
    maker = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "uid": "rs", "controller": True, "name": f"{name}-abc"}
    waiting = [{"name": "download", "ready": False, "state": {"waiting": {"reason": "PodInitializing"}}}]
    labels, volumes = template["metadata"]["labels"], template["spec"]["volumes"]
    world.put(PODS, {
        "metadata": {
            "name": f"{name}-new", "namespace": "ml", "uid": "new", "labels": labels, "ownerReferences": [maker],
        },
        "spec": {"volumes": volumes},
        "status": {
            "conditions": [{"type": "Ready", "status": "False", "lastTransitionTime": since}],
            "initContainerStatuses": waiting, "containerStatuses": [],
        },
    })  # fmt: skip


async def test_a_claim_that_no_node_can_mount_is_left_out_for_an_hour_and_tried_again() -> None:
    world = World()
    world.claim()
    world.ask_for(1, model=CACHE)
    await world.run(4)
    stable = world.stable
    assert world.mounts(stable)
    held_up(world, stable)
    await world.run(2)
    assert world.mounts(stable), "it may take a few minutes"
    await world.run(6)
    assert (world.usable, world.mounts(stable)) == ("ClaimNotMounted", False)
    world.remove(PODS, f"{stable}-new")
    await world.run(4)
    assert world.condition("Ready")["status"] == "True"
    assert not world.mounts(stable)
    await world.run(60)
    assert (world.usable, world.mounts(stable)) == ("True", True)


async def test_pods_that_wait_for_something_else_are_no_claims_fault() -> None:
    for change in ({"volumes": []}, {"state": {"waiting": {"reason": "ImagePullBackOff"}}}, {"state": {"running": {}}}):
        world = World()
        world.claim()
        world.ask_for(1, model=CACHE)
        await world.run(4)
        held_up(world, world.stable)
        body = world.objects[PODS, f"{world.stable}-new"]
        if "volumes" in change:
            body["spec"].update(change)
        else:
            body["status"]["initContainerStatuses"][0].update(change)
        world.put(PODS, body)
        await world.run(8)
        assert world.mounts(world.stable), change


async def test_a_variants_claim_is_told_of_too() -> None:
    world = World()
    variant = {"name": "b", "weight": 5, "model": {**CACHE, "uri": "s3://models/b.onnx"}}
    world.ask_for(1, model={"uri": CACHE["uri"]}, variants=[variant])
    await world.run(4)
    assert world.usable == "ClaimMissing"
    world.claim()
    await world.run(6)
    assert world.usable == "True"
    assert world.mounts(world.status["variants"][0]["revision"])
    assert not world.mounts(world.stable)


async def test_what_was_known_of_a_claim_long_ago_makes_no_pod() -> None:
    world = World()
    world.claim()
    world.ask_for(1, model=CACHE)
    await world.run(4)
    assert world.mounts(world.stable)
    world.delete_model()
    await world.run(2)
    del world.unwatched[PERSISTENT_VOLUME_CLAIMS, "shared"]
    world.now += 3600
    mounted: list[bool] = []

    def seen(resource: Resource, body: Json) -> None:
        if resource is DEPLOYMENTS and not body["metadata"]["name"].endswith("-router"):
            mounted.append(any(each["name"] == "cache" for each in body["spec"]["template"]["spec"]["volumes"]))

    world.mutate = seen
    world.ask_for(1, model=CACHE)
    await world.run(4)
    assert mounted
    assert not any(mounted)


LOGGED: dict[str, Any] = {"monitor": {}, "predictionLog": {"uri": "pvc://lake/log"}}


async def waiting(world: World, **spec: Any) -> str:
    """A model with a log on a claim, whose new pods wait for their volumes."""
    world.ask_for(1, **({"model": CACHE} | LOGGED | spec))
    await world.run(4)
    stable = world.stable
    world.rolling = True
    held_up(world, stable)
    await world.run(8)
    return stable


NOT_MOUNTED: dict[str, tuple[dict[str, Any] | None, str, str]] = {
    "missing": (None, "ClaimMissing", "Create it"),
    "going": ({"deletionTimestamp": "2026-01-01T00:00:00Z"}, "ClaimDeleting", "Name another one"),
    "not bound": ({"phase": "Lost"}, "ClaimNotBound", "See its events"),
    "one node's": ({"mode": "ReadWriteOnce"}, "ClaimNotShared", "ReadWriteMany"),
}


@pytest.mark.parametrize("case", NOT_MOUNTED)
async def test_a_log_whose_claim_keeps_pods_from_starting_is_named_and_the_cache_is_not(case: str) -> None:
    said, reason, cure = NOT_MOUNTED[case]
    world = World()
    world.claim()
    if said is not None:
        world.claim(name="lake", **said)
    stable = await waiting(world)
    assert (world.usable, world.mounts(stable)) == ("True", True), "the cache is as it should be"
    # One that a single node mounts may be right, and the image large: nobody is called for an hour.
    for kind in ("PredictionLogged", "Reconciling" if reason == "ClaimNotShared" else "Stalled"):
        told = world.condition(kind)
        assert told["reason"] == reason, kind
        assert "PersistentVolumeClaim lake (spec.predictionLog.uri)" in told["message"]
        assert cure in told["message"]
    assert world.condition("PredictionLogged")["status"] == "False"
    world.claim(name="lake")
    await world.run(3)
    assert world.condition("PredictionLogged")["reason"] != reason
    assert world.condition("Stalled")["reason"] != reason


async def test_where_nobody_can_tell_which_claim_it_is_the_cache_goes_first_and_is_acquitted() -> None:
    world = World()
    world.claim()
    world.claim(name="lake")
    stable = await waiting(world)
    assert (world.usable, world.mounts(stable)) == ("ClaimNotMounted", False)
    held_up(world, stable)  # of the template without the cache
    await world.run(7)
    assert world.usable == "ClaimLeftOut"
    assert "see PersistentVolumeClaim lake (spec.predictionLog.uri) first" in world.condition("CacheUsable")["message"]
    told = world.condition("PredictionLogged")
    assert (told["status"], told["reason"]) == ("False", "ClaimNotMounted")
    assert "or for its image" in told["message"]
    assert world.condition("Stalled")["status"] == "False", "a large image may take as long"
    await world.run(60)
    assert world.condition("Stalled")["reason"] == "ClaimNotMounted"


async def test_what_the_operator_may_not_look_at_is_not_blamed_and_a_claim_of_the_model_s_is_told_as_such() -> None:
    world = World()
    world.claim(name="models", phase="Pending")
    world.forbidden.add(PERSISTENT_VOLUME_CLAIMS)
    stable = await waiting(world, model={"uri": "pvc://models/fraud/m.onnx"}, monitor=None, predictionLog=None)
    assert world.condition("Reconciling")["reason"] == "ClaimNotMounted", "it waits, and nobody knows for what"
    world.forbidden.clear()
    await world.run(2)
    told = world.condition("Stalled")
    assert told["reason"] == "ClaimNotBound"
    assert "models (spec.model.uri)" in told["message"]
    world.remove(PODS, f"{stable}-new")
    await world.run(2)
    assert world.condition("Ready")["status"] == "True"
    reads = world.reads
    await world.run(3)
    assert world.reads == reads, "nothing is asked while every pod starts"
