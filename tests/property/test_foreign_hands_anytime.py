"""Foreign hands at any moment of a ModelDeployment's life, around the operator's own Reconciler: what always holds."""

import asyncio
import json
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from modelward.api import names
from modelward.facts import Judgement
from modelward.kube.resources import CONFIG_MAPS, CONTROLLER_REVISIONS, DEPLOYMENTS, MODEL_DEPLOYMENTS, PODS, SERVICES

from .cluster_world import ClusterWorld, Json

BAD = Judgement(failed="errorRate: 20 of 20 failed", passed=False)
VALUES = st.sampled_from([None, "Helm", "{", "null", "5", "{}", '{"number": 1}', '{"stable": "x", "version": "y"}'])
LABELS = st.sampled_from([names.LABEL_MANAGED_BY, names.LABEL_INSTANCE, names.LABEL_REVISION, names.LABEL_COMPONENT])
ANNOTATIONS = st.sampled_from(
    [names.ANNOTATION_MODEL, names.ANNOTATION_PROMOTED, names.ANNOTATION_ROUTES, names.ANNOTATION_APPLIED]
)
OWNED = (DEPLOYMENTS, SERVICES, CONFIG_MAPS, CONTROLLER_REVISIONS)


class ForeignHands(RuleBasedStateMachine):
    """`rejected`: versions that a gate or a person refused since spec changed last."""

    @initialize()
    def begin(self) -> None:
        self.world = ClusterWorld()
        self.version, self.image = 1, 1
        self.rejected: set[int] = set()
        self.stable = ""
        self.before: dict[tuple[Any, str], Json] = {}
        self.world.ask_for(1)
        self._run(6)
        self.version = 2
        self.world.ask_for(2)
        self._run(4)

    def _run(self, rounds: int) -> None:
        for _ in range(rounds):
            self._step()
            self.world.settle()

    def _step(self) -> None:
        """One reconcile: it raises nothing, tells no outage as service, and feeds nobody who was refused."""
        world = self.world
        answered = {name for resource, name in world.objects if resource is DEPLOYMENTS and world.answers(name)}
        # What the operator sees of pods, which tell nobody of anything while it looks.
        self.before = dict(world.objects)
        asyncio.run(world.step())
        now = {name for resource, name in world.objects if resource is DEPLOYMENTS and world.answers(name)}
        shares = world.shares()
        if world.status and world.condition("Servable")["status"] == "True":
            assert {name for name, share in shares.items() if share == max(shares.values())} & (answered | now)
        told = world.status.get("rollout", {})
        for name, share in shares.items():
            if share and name != world.status.get("stable", {}).get("revision"):
                assert self._version_of(name) not in self.rejected, "a rejected version gets traffic"
        # An upgrade may be what was rejected: then the stable is the same version with the pods of before.
        taken_over = world.stable != self.stable and self._version_of(world.stable) in self.rejected
        assert not taken_over, "a rejected version is the stable one"
        self.stable = world.stable
        self._status_is_what_is_served(shares)
        if told.get("phase") in ("RolledBack", "Aborted"):
            self.rejected.add(self.version)

    def _status_is_what_is_served(self, shares: dict[str, int]) -> None:
        """Who gets which share of the requests, of which version, and with which bytes."""
        world, status = self.world, self.world.status
        candidate = status.get("candidate", {})
        told = {status["stable"]["revision"]: status["stable"]["weight"]}
        told |= {candidate["revision"]: candidate["weight"]} if "weight" in candidate else {}
        assert told == shares, "the router sends elsewhere than status says"
        for each in (status["stable"], candidate):
            version = self._version_of(each["revision"]) if "uri" in each else None
            assert version is None or version == version_in(each["uri"]), "status names another version"
        if world.condition("Stalled")["reason"] == "ArtifactChanged" or "digest" not in status["stable"]:
            return
        served = {
            json.loads(body["status"]["initContainerStatuses"][0]["state"]["terminated"]["message"])["digest"]
            for (resource, name), body in self.before.items()
            if resource is PODS and name.rpartition("-")[0] == world.stable and is_ready(body)
        }
        assert served <= {status["stable"]["digest"]}, "other bytes answer than status says"

    def _version_of(self, revision: str) -> int | None:
        body = self.world.objects.get((CONTROLLER_REVISIONS, revision))
        return None if body is None else version_in(body["data"]["model"])

    def _one(self, data: st.DataObject, kinds: tuple[Any, ...]) -> tuple[Any, str] | None:
        owned = sorted(
            (each for each in self.world.objects if each[0] in kinds), key=lambda each: (each[0].kind, each[1])
        )
        return data.draw(st.sampled_from(owned)) if owned else None

    @rule(digest=st.sampled_from(["b", "c"]), evict=st.booleans())
    def the_artifact_is_overwritten(self, digest: str, evict: bool) -> None:
        """And a pod may be made anew meanwhile."""
        self.world.fetched = f"sha256:{digest * 64}"
        if evict and (PODS, f"{self.world.stable}-0") in self.world.objects:
            self.world.remove(PODS, f"{self.world.stable}-0")
        self._run(3)

    @rule(version=st.integers(1, 3), collected=st.booleans())
    def it_is_deleted_and_made_anew(self, version: int, collected: bool) -> None:
        """The garbage collector may come by before there is another of its name, or long after."""
        world = self.world
        world.delete_model()
        if collected:
            asyncio.run(world.step())
            world.collect()
            left = [name for (resource, name), body in world.objects.items() if resource in OWNED and has_owner(body)]
            assert left == [], "something is left over"
        self.rejected.clear()
        self.version, self.stable = version, ""
        world.ask_for(version)
        self._run(1)

    @rule(what=st.sampled_from([DEPLOYMENTS, SERVICES, CONTROLLER_REVISIONS]))
    def the_stables_own_is_deleted(self, what: Any) -> None:
        if (what, self.world.stable) in self.world.objects:
            self.world.remove(what, self.world.stable)
            self._run(1)

    @rule(rounds=st.integers(1, 5))
    def time_goes_by(self, rounds: int) -> None:
        self._run(rounds)

    @rule(data=st.data(), label=LABELS, value=st.sampled_from([None, "Helm"]))
    def somebody_relabels(self, data: st.DataObject, label: str, value: str | None) -> None:
        if (found := self._one(data, OWNED)) is not None:
            self.world.relabel(*found, label, value)
            self._run(1)

    @rule(data=st.data(), annotation=ANNOTATIONS, value=VALUES)
    def somebody_annotates(self, data: st.DataObject, annotation: str, value: str | None) -> None:
        if (found := self._one(data, OWNED)) is not None:
            self.world.annotate(*found, annotation, value)
            self._run(1)

    @rule(data=st.data())
    def somebody_deletes(self, data: st.DataObject) -> None:
        if (found := self._one(data, (*OWNED, PODS))) is not None:
            self.world.remove(*found)
            self._run(1)

    @rule(data=st.data(), what=st.sampled_from(["scales", "pauses", "another image", "no owner", "another model"]))
    def somebody_edits(self, data: st.DataObject, what: str) -> None:
        found = self._one(data, (DEPLOYMENTS,))
        if found is None:
            return

        def edit(body: Json) -> None:
            pod = body["spec"]["template"]["spec"]
            if what == "scales":
                body["spec"]["replicas"] = 0
            elif what == "pauses":
                body["spec"]["paused"] = True
            elif what == "another image":
                pod["containers"][0]["image"] = "hacked"
            elif what == "no owner":
                body["metadata"]["ownerReferences"] = []
            else:
                for container in pod.get("initContainers", ()):
                    container["env"] = [{"name": "MODEL_URI", "value": "s3://models/fraud/99/model.onnx"}]

        self.world.change(*found, edit)
        self._run(1)

    @rule(version=st.integers(1, 3))
    def spec_asks_for(self, version: int) -> None:
        if version != self.version:
            self.rejected.clear()
        self.version = version
        self.world.ask_for(version)
        self._run(2)

    @rule()
    def the_gates_fail(self) -> None:
        self.world.judgement = BAD
        self._run(2)
        self.world.judgement = None

    @rule(command=st.sampled_from(["abort", "pause", "resume", "retry", "promote"]))
    def somebody_commands(self, command: str) -> None:
        if command in ("retry", "promote"):
            self.rejected.clear()
        self.world.command(command)
        self._run(2)

    @rule(upgraded=st.booleans())
    def the_operator_starts_anew(self, upgraded: bool) -> None:
        self.image += upgraded
        self.world.start(f"inference:{self.image}")
        self._run(2)

    @rule()
    @precondition(lambda self: self.world.status)
    def it_comes_to_rest(self) -> None:
        """Everything that is kept is whole again, whoever had their hands on it."""
        world = self.world
        # Somebody has put back the bytes that the stable is held to.
        pinned = (
            world.pinned(world.objects[DEPLOYMENTS, world.stable])
            if (DEPLOYMENTS, world.stable) in world.objects
            else None
        )
        world.fetched = pinned or world.fetched
        self._run(8)
        kept = {world.stable} & {name for resource, name in world.objects if resource is CONTROLLER_REVISIONS}
        for name in kept:
            body, record = world.objects[DEPLOYMENTS, name], world.objects[CONTROLLER_REVISIONS, name]
            assert body["spec"]["template"] == record["data"]["template"]
            assert not body["spec"]["paused"]
            assert body["metadata"]["labels"][names.LABEL_MANAGED_BY] == names.MANAGED_BY
            assert world.answers(name)
            assert world.condition("Servable")["status"] == "True"
        if not kept:
            assert world.condition("Stalled")["reason"] == "StableGone"
        assert world.status["observedGeneration"] == world.objects[MODEL_DEPLOYMENTS, "fraud"]["metadata"]["generation"]


def version_in(text: str) -> int:
    return int(text.split("/fraud/")[1].split("/")[0])


def has_owner(body: Json) -> bool:
    return any(each["kind"] == "ModelDeployment" for each in body["metadata"].get("ownerReferences") or ())


def is_ready(pod: Json) -> bool:
    return bool(pod["status"]["conditions"][0]["status"] == "True")


ForeignHands.TestCase.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
test_foreign_hands = ForeignHands.TestCase
