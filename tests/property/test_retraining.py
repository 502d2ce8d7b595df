"""The retraining loop under everything at once: windows, Jobs' ends, edits, people, rollouts, and crashes anywhere."""

import json
from datetime import datetime
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelward.api.names import FINALIZER_RUN
from modelward.kube.client import ApiError
from modelward.kube.resources import CONFIG_MAPS, DRIFT_POLICIES, JOBS, RETRAINING_RUNS
from modelward.retraining.persistence.run_object import is_over
from property.retraining_world import (
    BACKOFF,
    BY_JOB,
    BY_WEBHOOK,
    COOLDOWN,
    DEADLINE,
    MAX_FAILURES,
    POLICIES,
    RETRAIN,
    World,
)

policies = st.sampled_from(POLICIES)
SLACK = 0.001


class Retraining(RuleBasedStateMachine):
    """Two policies of one model; one has a schedule besides."""

    @initialize()
    def begin(self) -> None:
        self.world = World()
        self.requests = 0
        self.published = self.generation = 0
        self.policies_made = 0
        self.unstopped: set[str] = set()
        self.removed: set[str] = set()
        self.outlived: set[str] = set()
        self.deleted = 0

    @rule(policy=policies)
    def reconcile(self, policy: str) -> None:
        self._reconcile(policy)

    def _reconcile(self, policy: str, dies_after: int | None = None) -> None:
        try:
            self.world.reconcile(policy, dies_after)
        except ApiError as error:
            if error.status != 409:  # it read what was not the newest, and comes again
                raise

    @rule()
    def watch(self) -> None:
        self.world.watch()

    @rule()
    def settle(self) -> None:
        self.world.settle()

    @precondition(lambda self: self.world.running())
    @rule(promote=st.booleans(), worse=st.booleans())
    def run_through(self, promote: bool, worse: bool) -> None:
        """What usually happens, at once."""
        self.job_ends_with("worse" if worse else "good", self.world.running()[0])
        self.world.settle()
        self.world.roll_out(promote=promote)
        self.world.settle()

    @rule(policy=policies, after=st.integers(1, 4))
    def crash(self, policy: str, after: int) -> None:
        self._reconcile(policy, dies_after=after)

    @rule(drifts=st.booleans())
    def window(self, drifts: bool) -> None:
        self.world.end_window(drifts=drifts)

    @rule(seconds=st.sampled_from([1.0, 60.0, BACKOFF, COOLDOWN, DEADLINE, 86400.0]))
    def wait(self, seconds: float) -> None:
        self.world.time += seconds

    @precondition(lambda self: self.world.running())
    @rule(data=st.data(), end=st.sampled_from(["good", "same", "worse", "garbage", "failed"]))
    def job_ends(self, data: Any, end: str) -> None:
        self.job_ends_with(end, data.draw(st.sampled_from(self.world.running())))

    def job_ends_with(self, end: str, job: str) -> None:
        holdout = {"metric": "auc", "current": 0.9, "candidate": 0.8}
        uri = self.world.effective().model.uri if end == "same" else self.world.new_model()
        report: dict[str, Any] = {"modelUri": uri} | ({"metrics": {"holdout": holdout}} if end == "worse" else {})
        texts = {"garbage": "Killed", "failed": None}
        self.world.finish(job, report=texts.get(end, json.dumps(report)))

    @precondition(lambda self: self.world.running())
    @rule(data=st.data(), well=st.booleans())
    def a_sidecar_outlives_a_job(self, data: Any, well: bool) -> None:
        report = json.dumps({"modelUri": self.world.new_model()}) if well else None
        job = data.draw(st.sampled_from(self.world.running()))
        self.outlived.add(job)
        self.world.outlive(job, report=report)

    @precondition(lambda self: self.world.running())
    @rule(data=st.data())
    def job_is_deleted(self, data: Any) -> None:
        job = data.draw(st.sampled_from(self.world.running()))
        self.removed.add(job)
        self.world.remove(JOBS, job)

    @precondition(lambda self: self.world.store[RETRAINING_RUNS])
    @rule(data=st.data(), seen=st.booleans())
    def run_is_deleted(self, data: Any, seen: bool) -> None:
        """By a person, whether the watch has told of it before the next reconcile or not."""
        name = data.draw(st.sampled_from(sorted(self.world.store[RETRAINING_RUNS])))
        body, stable = self.world.store[RETRAINING_RUNS][name], self.world.target["status"]["stable"]["uri"]
        served = self.world.effective().model.uri
        self.removed.add(name)
        self.deleted += 1
        self.world.remove(RETRAINING_RUNS, name, seen=seen)
        if is_over(body) and served == stable:
            assert self.world.effective().model.uri == served, "deleting what is over changes nothing of what is served"

    @precondition(lambda self: self.world.store[CONFIG_MAPS])
    @rule(data=st.data())
    def memory_is_deleted(self, data: Any) -> None:
        """By a person. What a run has dealt with is known from its own object then, as long as that is kept."""
        self.removed |= set(self.world.decided) - set(self.world.store[RETRAINING_RUNS])
        self.world.remove(CONFIG_MAPS, data.draw(st.sampled_from(sorted(self.world.store[CONFIG_MAPS]))))

    @rule(promote=st.booleans())
    def rollout_ends(self, promote: bool) -> None:
        self.world.roll_out(promote=promote)

    @rule()
    def somebody_else_publishes(self) -> None:
        self.published += 1
        self.generation += 1
        self.world.set_model(self.world.new_model())

    @rule(policy=policies)
    def status_is_lost(self, policy: str) -> None:
        """As after a restore from a backup that left it out."""
        if self._is_there(policy):
            self.world.lose_status(policy)
            self._reconcile(policy)

    @rule(policy=policies, suspend=st.sampled_from([False, False, True]))
    def edit(self, policy: str, suspend: bool) -> None:
        if self._is_there(policy):
            self.world.edit(policy, suspend=suspend)

    @rule(policy=policies)
    def request(self, policy: str) -> None:
        if self._is_there(policy):
            self.requests += 1
            self.world.request(policy, str(self.requests))

    def _is_there(self, policy: str) -> bool:
        return policy in self.world.store[DRIFT_POLICIES]

    @rule(policy=policies, webhook=st.booleans())
    def another_way_to_train(self, policy: str, webhook: bool) -> None:
        if self._is_there(policy):
            self.world.edit(policy, retrain={**RETRAIN, **(BY_WEBHOOK if webhook else BY_JOB)})

    @precondition(lambda self: not self.world.other.going)
    @rule(policy=policies)
    def a_run_begins_elsewhere(self, policy: str) -> None:
        """What takes several steps by chance, at once."""
        self.another_way_to_train(policy, webhook=True)
        self.request(policy)
        self.world.settle()

    @precondition(lambda self: self.world.other.going)
    @rule(data=st.data(), well=st.booleans())
    def a_run_elsewhere_ends(self, data: Any, well: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.world.other.going)))
        self.world.other.end(key, json.dumps({"modelUri": self.world.new_model()}) if well else None)

    @rule(dead=st.sampled_from([False, False, True]))
    def the_other_system_dies_or_comes_back(self, dead: bool) -> None:
        self.world.other.dead = dead

    @rule(policy=policies, foreground=st.booleans(), unseen=st.booleans())
    def a_policy_is_deleted(self, policy: str, foreground: bool, unseen: bool) -> None:
        """What it owns goes after it, or before; maybe while no operator runs."""
        if not self._is_there(policy):
            return
        self.world.ask_to_delete(DRIFT_POLICIES, policy)
        if foreground and self._is_there(policy):
            uid = self.world.store[DRIFT_POLICIES][policy]["metadata"]["uid"]
            for kind in (RETRAINING_RUNS, CONFIG_MAPS):
                for name, body in list(self.world.store[kind].items()):
                    if body["metadata"]["ownerReferences"][0]["uid"] == uid:
                        self.removed.add(name)
                        self.world.remove(kind, name)
        if unseen:
            self.world.take_over()

    @rule(policy=policies)
    def a_policy_is_made_anew(self, policy: str) -> None:
        if not self._is_there(policy):
            self.policies_made += 1
            self.world.create_policy(policy, f"{policy}-{self.policies_made}")

    @rule()
    def the_model_is_deleted_and_made_anew(self) -> None:
        self.generation = 0
        self.world.make_target_anew()

    @rule(data=st.data(), kind=st.sampled_from([JOBS, CONFIG_MAPS]))
    def somebody_relabels(self, data: Any, kind: Any) -> None:
        """The watches say then that it is gone."""
        if there := sorted(self.world.store[kind]):
            self.world.relabel(kind, data.draw(st.sampled_from(there)))

    @invariant()
    def what_goes_on_elsewhere_is_told_to_stop_before_its_policy_goes(self) -> None:
        living = {
            body["metadata"]["uid"]
            for body in self.world.store[DRIFT_POLICIES].values()
            if FINALIZER_RUN in (body["metadata"].get("finalizers") or ())
        }
        going = {key for key, policy in self.world.other.going.items() if policy not in living}
        assert going <= self.unstopped | self.world.other.untold, "nobody will ever tell it to stop"
        self.unstopped |= going

    @invariant()
    def nothing_is_left_of_a_policy_that_is_gone(self) -> None:
        living = {body["metadata"]["uid"] for body in self.world.store[DRIFT_POLICIES].values()}
        for kind in (RETRAINING_RUNS, CONFIG_MAPS):
            owners = {body["metadata"]["ownerReferences"][0]["uid"] for body in self.world.store[kind].values()}
            assert owners <= living
        runs = {body["metadata"]["uid"] for body in self.world.store[RETRAINING_RUNS].values()}
        assert {body["metadata"]["ownerReferences"][0]["uid"] for body in self.world.store[JOBS].values()} <= runs

    @invariant()
    def one_run_for_one_trigger(self) -> None:
        for name, count in self.world.decided.items():
            assert count == 1 or name in self.removed, f"{name} was decided {count} times"
        for name, count in self.world.made.items():
            # Deleted by hand before the operator had noted that it was there, it is started again.
            assert count == 1 or name in self.removed, f"{name} was started {count} times"

    @invariant()
    def one_run_at_once(self) -> None:
        # Of each model: that of one which is gone goes on until the other system was told, or that is given up.
        targets = [body["spec"]["target"]["uid"] for body in self.world.active()]
        assert len(targets) == len(set(targets))
        # A Job runs only for a run that is stored, from before it was made until after it has ended.
        active = {body["metadata"]["name"] for body in self.world.active()}
        assert set(self.world.running()) - self.outlived <= active
        # Its result is stored before its sidecars are ended, and its policy's next step ends them.
        unsettled = {each["run"]["name"] for each in self.world.memories().values() if "run" in each}
        assert set(self.world.running()) <= active | unsettled

    @invariant()
    def spec_is_never_written(self) -> None:
        assert self.world.spec_writes == 0
        assert self.world.target["metadata"]["generation"] == 1 + self.generation

    @invariant()
    def nothing_starts_in_the_cooldown(self) -> None:
        for policy in POLICIES:
            for later, earlier in pairwise(self.world.runs(policy)):
                if later["spec"]["trigger"] == "Request" or not is_over(earlier):
                    continue
                if later["spec"]["target"]["uid"] != earlier["spec"]["target"]["uid"]:
                    continue  # another model of the name
                result = earlier["status"]["phase"]
                pause = {"Failed": BACKOFF, "Cancelled": 0.0}.get(result, COOLDOWN)
                waited = seconds(later["spec"]["requestedAt"]) - seconds(earlier["status"]["finishedAt"])
                assert waited >= pause - SLACK

    @invariant()
    def nothing_is_superseded_but_by_somebody_else(self) -> None:
        assert sum(run["status"]["phase"] == "Superseded" for run in self.world.ended()) <= self.published

    @invariant()
    def failures_in_a_row_are_bounded(self) -> None:
        memories = self.world.memories().values()
        assert all(each.get("failures", 0) <= MAX_FAILURES + self.requests for each in memories)

    @invariant()
    def what_is_stored_stays_small(self) -> None:
        assert all(len(json.dumps(body)) < 40_000 for body in self.world.store[CONFIG_MAPS].values())
        # Between its end and the next step of its policy, one more is there; and the last that was promoted stays.
        assert all(len(self.world.runs(policy)) <= 5 + 2 for policy in POLICIES)

    def teardown(self) -> None:
        """Left alone, everything comes to its end: no run goes on, or status says what it waits for."""
        if not hasattr(self, "world"):
            return
        self.world.other.dead = False
        for policy in POLICIES:
            if self._is_there(policy):
                self.world.edit(policy, suspend=True)
        for _ in range(6):
            self.world.settle()
            for key in list(self.world.other.going):
                self.world.other.end(key, json.dumps({"modelUri": self.world.new_model()}))
            for job in self.world.running():
                self.world.finish(job, report=json.dumps({"modelUri": self.world.new_model()}))
            self.world.roll_out(promote=True)
        self.world.settle()
        assert not self.world.active()
        assert not self.world.running()
        for body in self.world.store[DRIFT_POLICIES].values():
            assert not body["metadata"].get("deletionTimestamp"), "a policy that nobody lets go"
            assert not body["metadata"].get("finalizers"), "a policy that is held for nothing"


def seconds(time: str) -> float:
    return datetime.fromisoformat(time).timestamp()


Retraining.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestRetraining = Retraining.TestCase
