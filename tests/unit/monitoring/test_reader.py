"""What an operator makes of its pods' monitors: windows, a condition, and what it stores before it shows it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from builders import container, observed, owner, pod, revision, router
from modelward.api.modeldeployment import ModelDeployment, Monitor, MonitorWindow
from modelward.facts import Clock, Observed, PodFacts
from modelward.kube.cache import Key
from modelward.kube.client import ApiError
from modelward.kube.poller import Poller
from modelward.monitoring import status as monitored
from modelward.monitoring.reader import FAREWELL_EVERY, MUTE_EVERY, OWN, READ_EVERY, STARTING, Monitoring
from modelward.monitoring.status import Monitored
from modelward.monitoring.windows import WindowSettings
from modelward.statusmetrics import StatusMetrics
from nodeless.monitors import FakeMonitor, FakeMonitors, as_monitors, reference
from polled import told

REVISION = "fraud-a"
WINDOW = MonitorWindow("1h", 500)
TRAINED, LEARNED = reference(), reference(source="learned")


class FakeApi:
    """Holds one ConfigMap. A fake, since nothing is tested of an API server here."""

    def __init__(self) -> None:
        self.stored: dict[str, Mapping[str, Any]] = {}
        self.writes = 0
        self.refuses = False

    async def get(self, _resource: Any, _namespace: str, name: str) -> Mapping[str, Any] | None:
        return self.stored.get(name)

    async def apply(self, _resource: Any, manifest: Mapping[str, Any]) -> Mapping[str, Any]:
        if self.refuses:
            raise ApiError(422, "Invalid", "the quota is used up")
        self.writes += 1
        self.stored[manifest["metadata"]["name"]] = manifest
        return manifest


class Operator:
    """A Monitoring with a clock of its own, whose process can begin anew."""

    def __init__(self, usual: Any = TRAINED, pods: tuple[str, ...] = ("one", "two")) -> None:
        self.api, self.monitors = FakeApi(), FakeMonitors(usual)
        self.pods = {name: watched(name) for name in pods}
        self.now = 1000.0
        self.revision = REVISION
        self.owner: ModelDeployment = owner(monitor=Monitor(window=WINDOW))
        self.restart()

    def restart(self) -> None:
        self.due: list[Key] = []
        self.poller = Poller(self.due.append, lambda: self.now)
        self.monitoring = Monitoring(
            self.api, as_monitors(self.monitors), self.poller, lambda: self.now  # type: ignore[arg-type]
        )  # fmt: skip

    def observed(self) -> Observed:
        facts = revision(self.revision, pods=tuple(self.pods.values()))
        return observed(self.revision, facts, router=router(self.revision), clock=Clock(self.now))

    async def look(self, after: float = READ_EVERY) -> Monitored:
        """What a reconcile is told once the pods have answered that an earlier one had asked."""
        self.now += after
        seen, self.again_in = await told(self.poller, lambda: self.monitoring.look(self.owner, self.observed()))
        assert seen is not None
        return seen

    def take(self, name: str, rows: int, shift: float = 0.0) -> None:
        monitor = self.monitors.of(name)
        monitor.take(rows, shift, seed=monitor.sequence)


def watched(name: str, **facts: Any) -> PodFacts:
    return pod(name, containers=(container(), container("monitor")), **facts)


def reason(seen: Monitored) -> str:
    return monitored.condition(seen).reason


async def test_pods_are_added_up_and_judged_when_the_window_ends() -> None:
    one = Operator()
    seen = await one.look()
    assert (reason(seen), seen.window) == ("Counting", None)
    one.take("one", 400)
    one.take("two", 300)
    seen = await one.look(3600.0)
    assert seen.window is not None
    assert (seen.window.rows, seen.drifted) == (700, ())
    one.take("one", 600, shift=1.0)
    seen = await one.look(3600.0)
    assert [each.statistic.feature for each in seen.drifted] == ["amount", "output:label"]
    assert "2 of 2 features drifted" in monitored.condition(seen).message
    shown = monitored.status(seen, {})
    assert shown["window"] == {
        "start": "1970-01-01T01:16:50Z", "end": "1970-01-01T02:16:50Z", "rows": 600, "drifted": 2
    }  # fmt: skip
    assert shown["intake"]["counted"] == 1300


async def test_a_window_waits_for_its_rows() -> None:
    one = Operator()
    await one.look()
    one.take("one", 499)
    assert (await one.look(10_000.0)).window is None
    one.take("two", 1)
    assert (await one.look()).window is not None


async def test_what_status_shows_is_stored_first_and_found_again() -> None:
    one = Operator()
    await one.look()
    one.take("one", 800)
    before = await one.look(3600.0)
    one.take("two", 100)
    one.restart()
    seen = await one.look()
    assert (seen.window, seen.began) == (before.window, before.began)
    one.take("one", 500)
    seen = await one.look(3600.0)
    assert seen.window is not None
    assert seen.window.rows == 600


@pytest.mark.parametrize("entry", ["pool.json", f"window.{OWN}.json"])
async def test_what_somebody_has_edited_is_told_and_written_anew(entry: str) -> None:
    one = Operator()
    await one.look()
    one.take("one", 800)
    await one.look(3600.0)
    (stored,) = one.api.stored.values()
    one.api.stored[stored["metadata"]["name"]] = {**stored, "data": {**stored["data"], entry: '{"start": "yesterday"}'}}
    one.restart()
    message = monitored.condition(await one.look()).message
    assert "fraud-a-monitor held of the windows could not be read: somebody else has edited it" in message
    one.restart()
    one.take("one", 500)
    seen = await one.look(3600.0)
    assert seen.window is not None
    assert "could not be read" not in monitored.condition(seen).message


async def test_looks_that_change_nothing_write_nothing() -> None:
    one = Operator()
    await one.look()
    writes = one.api.writes
    for _ in range(5):
        one.take("one", 10)
        await one.look()
    assert one.api.writes == writes


async def test_pods_are_asked_now_and_then_only() -> None:
    one = Operator()
    await one.look()
    await one.look(READ_EVERY / 2)
    assert one.monitors.asked == 2
    assert one.again_in == pytest.approx(READ_EVERY / 2)


async def test_a_pod_that_ends_is_read_to_its_end() -> None:
    one = Operator()
    await one.look()
    one.pods["two"] = watched("two", terminating=True, ready=False)
    await one.look(FAREWELL_EVERY)
    one.take("two", 70)
    one.monitors.of("two").final = True
    await one.look(FAREWELL_EVERY)
    del one.pods["two"]
    one.take("one", 500)
    seen = await one.look(3600.0)
    assert seen.window is not None
    assert (seen.window.rows, seen.window.missing) == (570, None)


async def test_a_pod_that_goes_unread_is_told() -> None:
    one = Operator()
    await one.look()
    del one.pods["two"]
    one.take("one", 500)
    seen = await one.look(3600.0)
    assert seen.window is not None
    assert seen.window.missing is not None
    assert "1 pod(s) to the end" in monitored.condition(seen).message


@pytest.mark.parametrize(
    ("monitor", "expected", "word"),
    [
        (FakeMonitor(TRAINED, mute=True), "MonitorUnreachable", "8081"),
        (FakeMonitor(reference(shift=1.0)), "ReferencesDiffer", "two"),
        (FakeMonitor(TRAINED, problem="the reference has schema version 9"), "MonitorFailed", "version 9"),
    ],
)
async def test_a_pod_that_can_not_be_counted_is_named(monitor: FakeMonitor, expected: str, word: str) -> None:
    one = Operator()
    one.monitors.by_pod["two"] = monitor
    seen = await one.look()
    told = monitored.condition(seen)
    assert (told.status, told.reason) == (False, expected)
    assert word in told.message
    one.take("one", 500)
    seen = await one.look(3600.0)
    assert seen.window is not None
    assert seen.window.rows == 500


async def test_pods_that_are_only_starting_are_no_alarm() -> None:
    one = Operator()
    for name in one.pods:
        one.pods[name] = watched(name, ready=False, waits_since=one.now)
        one.monitors.by_pod[name] = FakeMonitor(TRAINED, mute=True)
    assert monitored.condition(await one.look()).reason == "WaitingForPods"
    one.monitors.of("one").mute = False
    assert reason(await one.look()) == "Counting"
    assert monitored.condition(await one.look(STARTING)).message.startswith("The monitor of two does not answer")


@pytest.mark.parametrize("known", [True, False], ids=["they answered once", "they never did"])
async def test_where_no_monitor_answers_each_look_waits_longer(known: bool) -> None:
    one = Operator()
    if known:
        await one.look()
    for name in one.pods:
        one.monitors.of(name).mute = True
    pauses = []
    for _ in range(5):
        await one.look(after=pauses[-1] if pauses else READ_EVERY)
        pauses.append(one.again_in)
    assert pauses == pytest.approx([READ_EVERY, 2 * READ_EVERY, 4 * READ_EVERY, MUTE_EVERY, MUTE_EVERY])
    one.pods["three"] = watched("three")
    one.monitors.of("three").mute = True
    await one.look(READ_EVERY)
    assert one.again_in == pytest.approx(READ_EVERY), "another pod may well answer"
    one.monitors.of("one").mute = False
    await one.look(MUTE_EVERY)
    assert one.again_in == pytest.approx(READ_EVERY)


async def test_a_reference_is_learned_by_one_and_given_to_all() -> None:
    one = Operator(usual=None)
    one.monitors.of("one").learning = (1200, 5000)
    seen = await one.look()
    assert reason(seen) == "LearningReference"
    assert "5000" in monitored.condition(seen).message
    assert "1200" in monitored.condition(seen).message
    one.monitors.of("one").reference = LEARNED
    await one.look()
    assert one.monitors.of("two").reference == LEARNED
    seen = await one.look()
    assert reason(seen) == "LearnedReference"
    # Every pod is replaced while no operator runs: the new ones learn the same reference all the same.
    one.monitors.by_pod.clear()
    one.pods = {"three": watched("three")}
    one.restart()
    seen = await one.look()
    assert one.monitors.of("three").reference == LEARNED


async def test_a_reference_of_another_release_is_told_in_words() -> None:
    """Of the bundle, which a newer pod counts against, and one that was learned, which an older pod can't take."""
    newer = Operator(pods=("one",))
    newer.monitors.by_pod["one"] = FakeMonitor(TRAINED, unreadable="the profile has schema version 9")
    seen = await newer.look()
    assert reason(seen) == "MonitorFailed"
    assert "pod one says: the profile has schema version 9; run operator and pods of the same version" in (
        monitored.condition(seen).message
    )
    mixed = Operator(LEARNED, pods=("new", "old"))
    mixed.monitors.by_pod["old"] = FakeMonitor(None, learning=(9, 100), refuses="this is no reference: the profile has")
    seen = await mixed.look()
    assert "pod old says: this is no reference: the profile has" in monitored.condition(seen).message
    assert seen.reference is not None, "and the others go on"


async def test_two_that_learned_apart_end_with_one_reference() -> None:
    one = Operator(usual=None)
    one.monitors.of("one").reference = LEARNED
    one.monitors.of("two").reference = reference(source="learned", shift=0.1)
    await one.look()
    seen = await one.look()
    assert {one.monitors.of(name).reference for name in ("one", "two")} == {LEARNED}
    assert reason(seen) == "LearnedReference"


async def test_every_pod_anew_with_another_artifact_begins_anew() -> None:
    one = Operator()
    await one.look()
    other = reference(shift=2.0)
    one.monitors.by_pod.clear()
    one.monitors.usual = other
    one.pods = {"three": watched("three")}
    seen = await one.look()
    assert (seen.reference, reason(seen)) == (other, "Counting")


async def test_another_stable_revision_has_windows_of_its_own() -> None:
    one = Operator()
    await one.look()
    one.take("one", 800)
    await one.look(3600.0)
    one.revision = "fraud-b"
    one.pods = {"new": watched("new")}
    seen = await one.look()
    assert (seen.revision, seen.window) == ("fraud-b", None)


async def test_a_policy_has_windows_of_its_own() -> None:
    one = Operator()
    await one.look()
    key, short = Key("ml", "fraud"), WindowSettings(60.0, 10)
    look = one.monitoring.window(key, REVISION, "policy", short, one.now)
    assert look.problem is not None
    await one.look()
    one.take("one", 20)
    await one.look()
    look = one.monitoring.window(key, REVISION, "policy", short, one.now)
    assert look.current is not None
    assert (look.current.rows, look.closed) == (20, None)
    await one.look(60.0)
    closed = one.monitoring.window(key, REVISION, "policy", short, one.now).closed
    assert closed is not None
    assert closed.rows == 20
    assert one.monitoring.window(key, REVISION, OWN, short, one.now).closed is None
    assert one.monitoring.window(key, "fraud-z", "policy", short, one.now).reference is None


async def test_windows_that_can_not_be_stored_go_on_and_say_so() -> None:
    one = Operator()
    one.api.refuses = True
    seen = await one.look()
    assert "the quota is used up" in monitored.condition(seen).message
    one.take("one", 500)
    assert (await one.look(3600.0)).window is not None


async def test_a_damaged_store_is_begun_anew() -> None:
    one = Operator()
    await one.look()
    (name,) = one.api.stored
    one.api.stored[name] = {"metadata": one.api.stored[name]["metadata"], "data": {"pool.json": "{"}}
    one.restart()
    assert reason(await one.look()) == "Counting"


async def test_another_ones_store_is_neither_read_nor_written() -> None:
    one = Operator()
    await one.look()
    (name,) = one.api.stored
    theirs = {"name": name, "ownerReferences": [{"kind": "Deployment", "name": "x", "uid": "u", "controller": True}]}
    one.api.stored[name] = {**one.api.stored[name], "metadata": theirs}
    one.restart()
    seen = await one.look()
    assert one.api.stored[name]["metadata"] == theirs
    assert seen is not None
    assert seen.given_up is not None
    assert f"ConfigMap {name} belongs to Deployment x" in seen.given_up


async def test_metrics_name_the_worst_features_only() -> None:
    one = Operator()
    one.owner = owner(monitor=Monitor(window=WINDOW, top_features=1))
    await one.look()
    one.take("one", 600, shift=1.0)
    seen = await one.look(3600.0)

    def series(metric: str) -> set[tuple[str, ...]]:
        shown = StatusMetrics(monitored=one.monitoring.shown())
        return {
            tuple(sample.labels.values())[2:]
            for family in shown.collect()
            for sample in family.samples
            if sample.name == f"modelward_{metric}" and sample.value
        }

    assert seen is not None
    assert series("drift") == {("psi", "amount")}
    assert series("drift_cut") == {("amount",)}
    assert series("monitored") == {()}
    assert series("monitors_unreachable") == set(), "all answer"
    one.monitors.of("two").mute = True
    await one.look()
    assert series("monitors_unreachable") == {()}
    one.monitoring.forget(Key("ml", "fraud"))
    assert series("drift") == series("monitored") == series("monitors_unreachable") == set()


async def test_nothing_is_said_without_spec_monitor() -> None:
    one = Operator()
    one.owner = owner()
    assert one.monitoring.look(one.owner, one.observed()) == (None, None)


async def test_a_namesake_begins_with_counts_of_its_own() -> None:
    """Deleted and made anew between two reconciles, with the same model."""
    one = Operator()
    await one.look()
    one.take("one", 600)
    assert (await one.look(3600.0)).window is not None
    one.owner, one.api.stored = replace(one.owner, uid="another"), {}
    seen = await one.look()
    assert seen.window is None
