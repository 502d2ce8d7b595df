"""A kind of signal that nobody knows but the registry: it makes a verdict, starts a run or holds it up, is stored and
shown; and what another version of the operator stored of one harms nobody."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from modelward.api.driftpolicy import HOLD, RETRAIN, WARN, Spec
from modelward.drift import registry
from modelward.drift.signal import Kind, Sight, Signal, read_signal, show_signal
from modelward.drift.verdicts import DRIFTED, NO_DRIFT, PENDING, Verdict, holding, to_retrain_for, verdict_on
from modelward.monitoring.windows import Look
from modelward.retraining.conditions.status import TargetState, build_status
from modelward.retraining.events import verdict_transitions
from modelward.retraining.lifecycle.run import Artifact
from modelward.retraining.lifecycle.start import begin, knows
from modelward.retraining.persistence.memory import read_memory, show_memory
from modelward.retraining.target import Answered, Memory, TargetFacts

from .test_verdicts import AMOUNT, COLOUR, SCORE, look, policy, seen

JOB = {"job": {"template": {"spec": {"template": {"spec": {"containers": [{"name": "t", "image": "t"}]}}}}}}
MODEL = Artifact("s3://models/fraud/1")
FACTS = TargetFacts("fraud", "u1", 1, 1, MODEL, "r1", MODEL)
CALM = look()
DRIFTS = look(seen(AMOUNT, 950, 50, 0, 0, 0), seen(COLOUR, 500, 490, 10, 0, 0), seen(SCORE, 500, 500, 0, 0, 0))
NOW = 9000.0


def _signals(spec: Spec, sight: Sight) -> Iterator[Signal]:
    """Of a source that may be mute; the breach has begun when it was first seen."""
    if "latency" not in spec.others:
        return
    least, source = spec.others["latency"]["least"], sight.sources.get("outcomes")
    last = next(iter(sight.last), None)
    if source is None:
        yield replace(last or Signal("latency", "accuracy"), missing="the installation has no outcomes")
        return
    value = source[sight.revision]
    breached = value < least
    since = (last.since if last and last.breached else sight.now) if breached else None
    yield Signal("latency", "accuracy", f"{value:.2f}", f"{least:.2f}", breached, since, f"accuracy is {value:.2f}")


KIND = Kind("latency", lambda spec, _: spec.others["latency"].get("action", RETRAIN), _signals)


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "SIGNALS", (*registry.SIGNALS, KIND))


def judge(at: Look, accuracy: float | None, last: Verdict | None = None, now: float = NOW, **latency: Any) -> Verdict:
    sources = {} if accuracy is None else {"outcomes": {"r1": accuracy, "r2": 1.0}}
    given = policy(retrain=JOB, latency={"least": 0.9, **latency})
    return verdict_on(given, "r1", at, last or Verdict(), fresh=False, now=now, sources=sources)


def test_a_breach_makes_the_verdict_whatever_the_window_says() -> None:
    assert (judge(CALM, 0.95).word, judge(Look(problem="none"), 0.95).word) == (NO_DRIFT, PENDING)
    for at in (CALM, Look(problem="none")):
        bad = judge(at, 0.8)
        assert (bad.word, bad.sentence, bad.since) == (DRIFTED, "accuracy is 0.80", NOW)
    both = judge(DRIFTS, 0.8)
    assert [each.key for each in both.breached] == ["amount", "latency/accuracy"]
    assert both.since == 7200.0, "a window that drifts says when"
    assert both.sentence.startswith("amount")
    assert both.sentence.endswith("; accuracy is 0.80")


def test_a_window_is_one_kind_of_signal() -> None:
    amount = judge(DRIFTS, 0.95).signals[0]
    assert (amount.kind, amount.key, amount.breached, amount.since) == ("window", "amount", True, 7200.0)
    assert amount.value is not None
    assert amount.value.startswith("psi ")
    assert amount.bound is not None


def test_a_breach_goes_on_since_it_began_and_ends_with_the_revision() -> None:
    first = judge(CALM, 0.8)
    later = judge(CALM, 0.7, first, NOW + 60)
    assert (later.since, later.others[0].value) == (NOW, "0.70")
    mute = judge(CALM, None, later, NOW + 120)
    assert (mute.word, mute.since, mute.lacks) == (DRIFTED, NOW, "the installation has no outcomes")
    assert judge(CALM, 0.95, later).word == NO_DRIFT
    given = policy(retrain=JOB, latency={"least": 0.9})
    other = verdict_on(given, "r2", CALM, first, fresh=False, now=NOW, sources={"outcomes": {"r2": 1.0}})
    assert (other.word, other.since) == (PENDING, None)


def test_a_breach_starts_a_run_that_says_why_and_is_answered_once() -> None:
    given = policy(retrain=JOB, latency={"least": 0.9})
    memory = Memory("fraud", "u1", verdict=judge(CALM, 0.8))
    step = begin(given, FACTS, memory, None, NOW)
    assert step.run is not None
    assert (step.run.trigger, step.run.reason, step.run.drifted) == ("Drift", "accuracy is 0.80", ("latency/accuracy",))
    assert knows(memory, step.run).run is not None
    answered = replace(memory, answered=Answered("r1", step.run.drifted, step.run.name, "RolledBack"))
    assert begin(given, FACTS, answered, None, NOW + 9).stalled is not None


@pytest.mark.parametrize(("action", "starts", "holds"), [(RETRAIN, 1, 0), (WARN, 0, 0), (HOLD, 0, 1)])
def test_its_action_is_its_kinds(action: str, starts: int, holds: int) -> None:
    given = policy(retrain=JOB, latency={"least": 0.9, "action": action})
    verdict = judge(CALM, 0.8, action=action)
    assert (len(to_retrain_for(given.spec, verdict)), len(holding(given.spec, verdict))) == (starts, holds)
    step = begin(given, FACTS, Memory("fraud", "u1", verdict=judge(DRIFTS, 0.8, action=action)), None, NOW)
    assert (step.run is None) is (action == HOLD)


def test_it_is_remembered_shown_and_told() -> None:
    verdict = judge(CALM, 0.8)
    memory = Memory("fraud", "u1", verdict=verdict)
    assert read_memory(show_memory(memory), forgiven=False).verdict == verdict
    status = build_status(policy(), [TargetState(memory)], "2026-11-29T12:00:00Z")
    shown = status["targets"][0]
    assert (shown["verdict"], shown["message"], shown["drifted"]) == (DRIFTED, "accuracy is 0.80", ["latency/accuracy"])
    assert shown["signals"] == [{
        "kind": "latency", "name": "accuracy", "value": "0.80", "bound": "0.90", "breached": True,
        "since": "1970-01-01T02:30:00Z", "message": "accuracy is 0.80",
    }]  # fmt: skip
    assert (status["counts"]["drifted"], status["summary"]["verdict"]) == (1, DRIFTED)
    (event,) = verdict_transitions("fraud", judge(CALM, 0.95), verdict)
    assert (event.reason, event.message) == ("DriftDetected", "fraud: accuracy is 0.80")


@pytest.mark.parametrize(
    "strange",
    [{"kind": "novelty", "name": "gap", "breached": True}, {"kind": "latency"}, {}, "text", {"kind": "latency",
     "name": "accuracy", "since": "yesterday", "breached": True}],
    ids=str,
)  # fmt: skip
def test_what_another_version_stored_is_passed_over(strange: Any) -> None:
    memory = show_memory(Memory("fraud", "u1", verdict=judge(CALM, 0.8)))
    known = memory["signals"]
    read = read_memory({**memory, "signals": [strange, *known]}, forgiven=False).verdict
    assert [show_signal(each) for each in read.others] == known
    assert read_signal(known[0]).breached


def test_a_memory_of_the_version_before_has_no_signals() -> None:
    verdict = judge(DRIFTS, 0.95)
    memory = show_memory(Memory("fraud", "u1", verdict=verdict))
    del memory["signals"]
    read = read_memory(memory, forgiven=False).verdict
    assert (read.word, read.sentence, read.drifted) == (DRIFTED, verdict.message, verdict.drifted)
