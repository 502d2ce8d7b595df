"""Whether the prediction log is whole, as the operator adds up what pods say: never said of what nobody knows."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from api_schema import fits
from builders import container, observed, owner, pod, revision, router
from modelward.api.modeldeployment import Monitor, PredictionLog
from modelward.facts import Clock, Observed, PodFacts
from modelward.kube.cache import Key
from modelward.kube.poller import PendingError, Poller
from modelward.monitoring.client import Answer, _log_answer
from modelward.monitoring.logged import LogError, Logged, PodLog, condition, status
from modelward.monitoring.logreader import PredictionLogs
from modelward.monitoring.reader import Monitoring
from modelward.statusmetrics import of_model
from polled import told
from unit.api.test_crd_types import SCHEMA

URI = "s3://lake/log"
SAID: dict[str, Any] = {
    "schema_version": 1, "pod": "uid-1", "epoch": "e",
    "rows": {"written": 100, "stored": 60, "waiting": 30, "left_out": 10, "sampled_out": 0},
    "lost": {"full": 0, "failed": 0, "unreadable": 0, "damaged": 0, "dropped": 0}, "unreadable_values": 0,
    "waiting_bytes": 1, "failure": None, "disk_failure": None, "final": False,
}  # fmt: skip
WHOLE = PodLog.of("one", "uid-1", SAID)
assert WHOLE is not None
AWAY = {"since": 1_767_225_600.0, "kind": "Away", "message": "s3://lake/log does not answer"}


def changed(**more: Any) -> PodLog:
    found = PodLog.of("two", "uid-1", {**SAID, **more})
    assert found is not None
    return found


def test_pods_add_up() -> None:
    seen = Logged(URI, (WHOLE, changed(lost={"full": 5, "dropped": 2})))
    assert status(seen) == {
        "uri": URI, "written": 200, "stored": 120, "waiting": 60, "leftOut": 20, "lost": 7,
    }  # fmt: skip
    fits({"predictionLog": {**status(seen), "failingSince": "x"}}, SCHEMA["status"], "status")


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ((), (None, "WaitingForPods")),
        ((PodLog("one", silent=True, starting=True),), (None, "WaitingForPods")),
        ((WHOLE,), (True, "Complete")),
        ((WHOLE, PodLog("two", silent=True, starting=True)), (True, "Complete")),
        ((WHOLE, PodLog("two", silent=True)), (False, "MonitorUnreachable")),
        ((WHOLE, changed(lost={"full": 5})), (False, "RowsLost")),
        ((WHOLE, changed(failure=AWAY, lost={"full": 5})), (False, "StoreAway")),
        ((changed(failure={**AWAY, "kind": "Denied"}),), (False, "StoreDenied")),
        ((changed(failure={**AWAY, "kind": "Missing"}),), (False, "StoreMissing")),
        ((changed(failure={**AWAY, "kind": "Full"}),), (False, "StoreFull")),
        ((changed(failure={**AWAY, "kind": "Busy"}),), (False, "WriterFailed")),
        ((changed(disk_failure="no space left"), changed(failure=AWAY)), (False, "DiskFailed")),
    ],
)
def test_the_condition(pods: tuple[PodLog, ...], expected: tuple[bool | None, str]) -> None:
    found = condition(Logged(URI, pods))
    assert (found.status, found.reason) == expected


def test_the_condition_says_since_when_what_and_how_much() -> None:
    found = condition(Logged(URI, (WHOLE, changed(failure=AWAY, lost={"full": 5, "dropped": 1}))))
    assert found.message == (
        "Since 2026-01-01T00:00:00Z pod two says: s3://lake/log does not answer. 60 rows wait on the pods' "
        "disks; 6 rows are lost: 5 for which there was no room in spec.predictionLog.diskLimit, 1 that servers had no "
        "room for before the monitor took them"
    )
    assert status(Logged(URI, (changed(failure=AWAY),)))["failingSince"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "raw",
    [
        [], {"pod": "uid-1"}, {**SAID, "rows": {}}, {**SAID, "lost": {"full": -1}}, {**SAID, "lost": []},
        {**SAID, "rows": {**SAID["rows"], "written": 2**63}}, {**SAID, "failure": {"since": 1e300}},
        {**SAID, "failure": {**AWAY, "since": "now"}},
    ],
)  # fmt: skip
def test_what_is_no_document_is_told(raw: Any) -> None:
    with pytest.raises(LogError):
        PodLog.of("one", "uid-1", raw)


def test_a_pod_can_put_no_words_into_the_operators_mouth() -> None:
    said = changed(failure={**AWAY, "message": "a\nb\x1b[31m" + "x" * 5000}).failure
    assert said is not None
    assert "\n" not in said
    assert "\x1b" not in said
    assert len(said) <= 600


def test_answers_of_a_monitor() -> None:
    assert _log_answer(404, b'{"error": "this monitor keeps no prediction log"}') == Answer({})
    assert _log_answer(200, b'{"pod": "x"}') == Answer({"pod": "x"})
    assert _log_answer(503, b'{"error": "no"}') == Answer(problem="no")


class Monitors:
    """Instead of pods, which nobody runs here."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}

    async def log(self, asked: PodFacts) -> Answer:
        return self.answers[asked.name]


def watched(name: str, uid: str = "uid-1") -> PodFacts:
    return pod(name, uid=uid, ip="10.0.0.1", containers=(container("monitor"),))


def world(*pods: PodFacts, candidate: tuple[PodFacts, ...] = ()) -> Observed:
    revisions = (
        revision("fraud-a", 1, pods=pods),
        revision("fraud-b", pods=candidate),
    )
    return observed("fraud-b", *revisions, router=router("fraud-a", "fraud-b"), clock=Clock(1000.0))


async def test_the_pods_of_all_revisions_are_asked_that_keep_a_log() -> None:
    monitors, due = Monitors(), list[Key]()
    poller = Poller(due.append, lambda: 0.0)
    logs = PredictionLogs(monitors, poller, lambda: 0.0)  # type: ignore[arg-type]
    by = owner(monitor=Monitor(), prediction_log=PredictionLog(URI))
    other = {**SAID, "pod": "uid-2"}
    monitors.answers = {
        "one": Answer(SAID), "two": Answer(other), "none": Answer({}), "stranger": Answer(SAID), "mute": Answer(),
        "odd": Answer({"pod": "uid-6"}), "ending": Answer(),
    }  # fmt: skip
    pods = (
        watched("one"),
        watched("none", "uid-3"),
        watched("stranger", "uid-4"),
        replace(watched("mute"), ready=True),
    )
    facts = world(
        *pods,
        candidate=(watched("two", "uid-2"), watched("odd", "uid-6"), replace(watched("ending"), terminating=True)),
    )
    logged, _ = await told(poller, lambda: logs.look(by, facts))
    assert logged is not None
    assert [(each.pod, each.silent, bool(each.disk)) for each in logged.pods] == [
        ("one", False, False), ("mute", True, False), ("two", False, False), ("odd", False, True),
        ("ending", True, False),
    ]  # fmt: skip
    assert [each.pod for each in logged.pods if each.starting] == ["ending"]
    assert logs.look(owner(monitor=Monitor()), facts) == (None, None)


@pytest.mark.parametrize("kept", [False, True], ids=["gone", "its log is gone"])
async def test_of_a_log_that_is_gone_nothing_is_remembered_also_while_pods_are_asked(kept: bool) -> None:
    begun, due = asyncio.Event(), list[Key]()

    class Slow(Monitors):
        async def log(self, asked: PodFacts) -> Answer:
            begun.set()
            await asyncio.Event().wait()
            return await super().log(asked)

    poller = Poller(due.append, lambda: 0.0)
    monitoring = Monitoring(None, Slow(), poller, lambda: 0.0)  # type: ignore[arg-type]
    by, facts = owner(monitor=Monitor(), prediction_log=PredictionLog(URI)), world(watched("one"))
    with pytest.raises(PendingError):
        monitoring.logs.look(by, facts)
    await begun.wait()
    if kept:
        assert monitoring.look(owner(), facts) == (None, None)
    else:
        monitoring.forget(Key("ml", "fraud"))
    async with asyncio.timeout(5):
        await poller.idle()
    assert due == [], "nobody is to look at what is not asked for any more"


async def test_what_is_known_of_a_log_stays_while_the_router_is_made() -> None:
    """Else it would be asked again by each reconcile, and the status that waits for it never be written."""
    monitors, due = Monitors(), list[Key]()
    poller = Poller(due.append, lambda: 0.0)
    monitoring = Monitoring(None, monitors, poller, lambda: 0.0)  # type: ignore[arg-type]
    by = owner(monitor=Monitor(), prediction_log=PredictionLog(URI))
    monitors.answers = {"one": Answer(SAID)}
    facts = world(watched("one"))
    known = await told(poller, lambda: monitoring.logs.look(by, facts))
    unrouted = replace(facts, router=replace(facts.router, routes=None))
    assert monitoring.look(by, unrouted) == (None, None)
    assert monitoring.logs.look(by, unrouted)[0] == known[0]


def test_metrics_say_the_same() -> None:
    conditions = [{"type": "Ready", "status": "True"}, {"type": "PredictionLogged", "status": "False"}]
    body = {
        "metadata": {"namespace": "ml", "name": "fraud"},
        "status": {"conditions": conditions, "predictionLog": status(Logged(URI, (changed(lost={"full": 5}),)))},
    }
    found = {(name, labels[2:]): value for name, labels, value in of_model(body)}
    assert found["prediction_logged", ()] == 0
    assert found["prediction_log_rows", ("lost",)] == 5
    assert found["prediction_log_rows", ("stored",)] == 60
