"""By whose rules a run's rows are judged, what its pods are believed of it, and what people read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api_schema import fits
from builders import PLATFORM
from libyaml import document
from modelward.api.driftpolicy import DriftPolicy
from modelward.api.driftpolicy import parse as parse_policy
from modelward.batches import drift
from modelward.batches.drift import DriftAsked, DriftEntry, Judging, asked_of_pods, entry_of, looks_of
from modelward.batches.job_manifest import job as job_of
from modelward.batches.message import told
from modelward.batches.run import Ended, Handled, Memory, Run, RunFacts, about_of, remembered
from modelward.kube.cache import Cache
from modelward.kube.resources import DRIFT_POLICIES, MODEL_DEPLOYMENTS
from modelward.reconcilers.batchinference.events import transitions
from modelward.reconcilers.batchinference.observe import drift_of
from modelward.reconcilers.batchinference.plan import Plan, plan
from modelward.reconcilers.batchinference.plan import entry_of as entry_of_run
from modelward.reconcilers.batchinference.status import State, build_status
from modelward.statusmetrics import of_batch
from modelward_drift.judging.policy import Policy
from modelward_inference.drift_report.policyfile import policy_from
from unit.batches.batches import CREATED, NIGHTLY, TAKEN, about, batch, ended, facts, job, pod

SCHEMA = document((Path(__file__).parents[3] / "crds/batchinferences.modelward.io.yaml").read_text())["spec"][
    "versions"
][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
BY_POLICY = Judging(rules="DriftPolicy churn-drift")
FEATURE: dict[str, Any] = {
    "name": "tenure", "metric": "psi", "value": 0.31042, "threshold": 0.2, "cut": 0.2, "rows": 1000,
    "outcome": "Drifted", "cause": "29 % are missing, before 0.1 %",
}  # fmt: skip
FOUND: dict[str, Any] = {
    "verdict": "Drifted", "reason": "Drifted", "message": "tenure: psi 0.31: 29 % are missing, before 0.1 %",
    "rows": 1000, "reference": "sha256:" + "c" * 64, "judged": 4, "drifted": 1, "features": [FEATURE],
}  # fmt: skip
SAME = FOUND | {"verdict": "NoDrift", "reason": "NoDrift", "message": "none of 4 features drifts", "drifted": 0}
UNKNOWN = FOUND | {"verdict": "Unknown", "reason": "NoReference", "message": "it has none", "features": []}


def policy(name: str = "churn-drift", **spec: Any) -> DriftPolicy:
    return parse_policy({"metadata": {"namespace": "ml", "name": name, "uid": name}, "spec": TARGET | spec})


TARGET: dict[str, Any] = {"target": {"name": "churn"}}


def asked(*policies: DriftPolicy, unreadable: tuple[str, ...] = (), **spec: Any) -> DriftAsked:
    found = asked_of_pods(batch(**spec), policies, unreadable, CREATED)
    assert found is not None
    return found


def read_by_pods(found: DriftAsked) -> Policy:
    """The rules, as the image takes them."""
    assert found.rules is not None
    return policy_from(json.loads(json.dumps(found.rules)))


def test_the_rules_of_the_policy_that_watches_the_model_hold() -> None:
    found = asked(policy(
        features={
            "default": {"metric": "js", "threshold": "0.1"}, "overrides": [{"name": "age", "threshold": "0.5"}],
            "ignore": ["id"], "outputs": "Ignore", "dataQuality": {"missing": "5%", "newCategories": "1%"},
        },
        window={"minSamples": 2000, "duration": "1h"}, falseAlarms={"maxPer30Days": "0.1"},
    ))  # fmt: skip
    assert found.judging == BY_POLICY
    rules = read_by_pods(found)
    assert (rules.rules.default.metric, rules.rules.default.threshold) == ("js", 0.1)
    assert (rules.rules.overrides["age"].metric, rules.rules.overrides["age"].threshold) == ("psi", 0.5)
    assert (rules.rules.ignored, rules.outputs) == ({"id"}, False)
    assert (rules.limits.missing, rules.limits.new_categories, rules.limits.type_errors) == (0.05, 0.01, None)
    assert (rules.rules.window.min_samples, rules.rules.per_30_days) == (2000, 0.1)
    assert rules.rules.window.duration == 86400.0, "a run a day, and not the policy's windows"


def test_own_rules_hold_in_place_of_a_policys_and_say_so() -> None:
    own = {"rules": {"minSamples": 50, "features": {"default": {"threshold": "0.3"}}}}
    assert asked(drift=own).judging == Judging(rules="spec.drift.rules")
    found = asked(policy(), drift=own)
    assert found.judging.rules == "spec.drift.rules (not by those of DriftPolicy churn-drift)"
    rules = read_by_pods(found).rules
    assert (rules.default.threshold, rules.window.min_samples) == (0.3, 50)


def test_without_rules_the_defaults_hold() -> None:
    found = asked()
    rules = read_by_pods(found)
    assert found.judging == Judging(rules="the default rules")
    assert (rules.rules.default.metric, rules.rules.default.threshold, rules.outputs) == ("psi", 0.2, True)
    assert (rules.rules.window.min_samples, rules.rules.per_30_days) == (500, 0.05)


@pytest.mark.parametrize(
    ("policies", "unreadable", "reason", "words"),
    [
        ((policy("b"), policy("a")), (), "SeveralPolicies", "the DriftPolicies a, b all watch churn; say in spec."),
        ((policy("b"),), ("a",), "SeveralPolicies", "the DriftPolicies b, a all watch churn"),
        ((), ("a",), "PolicyUnreadable", "the DriftPolicy a, which watches churn, can't be read"),
        (
            (policy("a", features={"ignore": ["x" * 200] * 200}),), (), "RulesTooLong",
            "the rules of DriftPolicy a have ",
        ),
    ],
)  # fmt: skip
def test_what_can_not_be_decided_is_not_decided_silently(
    policies: tuple[DriftPolicy, ...], unreadable: tuple[str, ...], reason: str, words: str
) -> None:
    found = asked(*policies, unreadable=unreadable)
    assert (found.rules, found.judging.reason) == (None, reason)
    assert words in found.judging.problem
    told = entry_of(found.judging, [json.dumps(FOUND).encode()])
    assert told is not None
    assert (told.verdict, told.reason, told.message) == ("Unknown", reason, found.judging.problem)


def judging(name: str, of: str = "of") -> DriftPolicy:
    """One whose outcomes are of a batch."""
    quality = {
        "task": {"kind": "Classes", "label": "l"}, "predictions": {"batchInference": name},
        "outcomes": {"uri": "s3://lake/churned"},
    }  # fmt: skip
    return policy(f"{of}-{name}", quality=quality)


def test_of_several_policies_the_one_holds_that_is_about_this_batch() -> None:
    both = (policy(), judging("nightly"))
    assert asked(*both).judging == Judging(rules="DriftPolicy of-nightly")
    for others in ((policy(), judging("weekly")), (*both, judging("nightly", "also"))):
        assert asked(*others).judging.reason == "SeveralPolicies"
    assert asked(*both, unreadable=("x",)).judging.reason == "SeveralPolicies"


def test_nothing_is_asked_where_spec_says_so() -> None:
    given = batch(drift={"mode": "Ignore"})
    assert asked_of_pods(given, [policy()], [], CREATED) is None
    assert entry_of(None, [json.dumps(FOUND).encode()]) is None
    status = build_status(given, State(memory(DriftEntry(verdict="Drifted", reason="Drifted")), None, None, None, 0.0))
    assert "InputDrift" not in {each["type"] for each in status["conditions"]}


@pytest.mark.parametrize(
    ("schedule", "looks"),
    [
        (None, 30),
        ("0 2 * * *", 30),
        ("0 2 * * 1", 4),
        ("0 2 1 1 *", 1),
        ("0 * * * *", 720),
        ("*/5 * * * *", 8640),
        ("0 0 31 2 *", 30),
    ],
)
def test_the_budget_is_spent_over_the_runs_of_thirty_days(schedule: str | None, looks: int) -> None:
    given = batch(**({} if schedule is None else {"schedule": {"cron": schedule}}))
    assert looks_of(given, CREATED) == looks
    if looks == 720:
        assert read_by_pods(asked(schedule={"cron": schedule})).rules.window.duration == 3600.0


def test_the_policies_that_watch_a_model_are_found() -> None:
    cache = Cache()

    def drift_now(**spec: Any) -> Judging:
        found = drift_of(batch(**spec), cache, CREATED)
        assert found is not None
        return found.judging

    def put(name: str, spec: Any, **metadata: Any) -> None:
        cache.upsert(DRIFT_POLICIES, {
            "apiVersion": "modelward.io/v1alpha1", "kind": "DriftPolicy", "spec": spec,
            "metadata": {"namespace": "ml", "name": name, "uid": name, "resourceVersion": "1", **metadata},
        })  # fmt: skip

    put("others", {"target": {"name": "fraud"}})
    put("damaged", {"target": 7})
    assert drift_now().rules == "the default rules", "there is no ModelDeployment yet"
    cache.upsert(MODEL_DEPLOYMENTS, {
        "apiVersion": "modelward.io/v1alpha1", "kind": "ModelDeployment", "spec": {},
        "metadata": {
            "namespace": "ml", "name": "churn", "uid": "m", "resourceVersion": "2", "labels": {"team": "retention"},
        },
    })  # fmt: skip
    put("by-label", {"target": {"selector": {"matchLabels": {"team": "retention"}}}})
    assert drift_now().rules == "DriftPolicy by-label"
    assert drift_now(model={"uri": "s3://m/a.onnx"}).rules == "the default rules"
    put("going", {"target": {"name": "churn"}}, deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["x"])
    assert drift_now().rules == "DriftPolicy by-label"
    put("strange", {"target": {"name": "churn"}, "window": 7})
    assert drift_now().reason == "SeveralPolicies"


def test_the_job_keeps_whose_rules_they_are_and_its_pods_are_told_them() -> None:
    run = Run("nightly-0123456789", "Once", "asked")
    found = asked(policy())
    body = job_of(batch(), PLATFORM, run, TAKEN, found)
    kept = about_of(body)
    assert kept is not None
    assert kept.drift == BY_POLICY
    (score,) = body["spec"]["template"]["spec"]["containers"]
    variables = {each["name"]: each.get("value") for each in score["env"]}
    assert json.loads(variables["MODELWARD_BATCH"].replace("$$", "$"))["drift"] == found.rules
    several = job_of(batch(), PLATFORM, run, TAKEN, asked(policy("a"), policy("b")))
    (score,) = several["spec"]["template"]["spec"]["containers"]
    assert '"drift"' not in {each["name"]: each.get("value") for each in score["env"]}["MODELWARD_BATCH"]
    kept = about_of(several)
    assert kept is not None
    assert kept.drift is not None
    assert kept.drift.reason == "SeveralPolicies"


def finished(*messages: Any, judging: Judging | None = BY_POLICY, well: bool = True) -> DriftEntry | None:
    """Of a run whose pods ended with these messages."""
    done = {"rows": 500, "rejected": 0, "units": 1, "seconds": 1, "complete": well}
    pods = [pod(number, 0, done | each, CREATED + 20) for number, each in enumerate(messages)]
    found = facts(job(**ended("Complete", CREATED + 40)), *pods, now=CREATED + 100, drift=judging)
    assert found.ended is not None
    assert (found.ended.result == "Succeeded") is well
    return found.drift


def test_what_the_pod_that_ended_the_run_says_is_taken_once() -> None:
    found = finished({}, {"drift": FOUND}, {"drift": FOUND})
    assert found is not None
    assert (found.verdict, found.reason, found.rules) == ("Drifted", "Drifted", "DriftPolicy churn-drift")
    assert (found.rows, found.judged, found.drifted) == (1000, 4, 1)
    (feature,) = found.features
    assert (feature.name, feature.metric, feature.value, feature.cut) == ("tenure", "psi", "0.3104", "0.2")
    assert feature.cause == "29 % are missing, before 0.1 %"


def test_a_run_that_failed_or_asked_for_none_has_no_verdict() -> None:
    assert finished({"drift": FOUND}, well=False) is None
    assert finished({"drift": FOUND}, judging=None) is None


@pytest.mark.parametrize(
    "strange",
    [
        {}, {"drift": None}, {"drift": "Drifted"}, {"drift": {"verdict": "Fine"}}, {"drift": FOUND | {"rows": -1}},
        {"drift": FOUND | {"features": [{"name": ""}]}}, {"drift": FOUND | {"features": [FEATURE | {"value": "x"}]}},
        {"drift": FOUND | {"message": 7}}, {"drift": FOUND | {"judged": 1 << 31}},
        {"drift": FOUND | {"drifted": 1 << 31, "judged": 1 << 31}}, {"drift": FOUND | {"drifted": 5}},
        {"drift": FOUND | {"drifted": 0}}, {"drift": SAME | {"drifted": 1}}, {"drift": SAME | {"judged": 0}},
    ],
)  # fmt: skip
def test_what_is_no_verdict_is_none_and_the_run_is_as_good(strange: dict[str, Any]) -> None:
    found = finished(strange)
    assert found is not None
    assert (found.verdict, found.reason) == ("Unknown", "NotTold")
    assert "_drift.json" in found.message


def test_what_a_pod_says_is_bounded() -> None:
    flood = FOUND | {
        "reason": "a\nb", "message": "\u202e\x00" + "w " * 4000, "reference": "r" * 500,
        "features": [
            FEATURE | {"name": "ü" * 900 if number == 0 else f"f{number}", "cause": "c" * 900, "metric": "m" * 900}
            for number in range(50)
        ],
    }  # fmt: skip
    found = finished({"drift": flood})
    assert found is not None
    assert len(found.features) == drift.SHOWN
    assert (len(found.message) <= drift.LONGEST, found.message.isprintable(), len(found.reference)) == (True, True, 80)
    assert (found.reason, len(found.features[0].name), found.features[0].name[0]) == ("Drifted", 256, "ü")
    assert (len(found.features[0].cause), len(found.features[0].metric)) == (200, 32)
    twice = finished({"drift": FOUND | {"features": [FEATURE, FEATURE | {"metric": "js"}]}})
    assert twice is not None
    assert [(each.name, each.metric) for each in twice.features] == [("tenure", "psi")]
    forged = finished({"drift": UNKNOWN | {"reason": "no word"}})
    assert forged is not None
    assert forged.reason == "Unknown"
    assert told('{"rows": 1, "drift": [[[') is None


def test_what_is_written_on_a_job_is_bounded() -> None:
    """By many policies, or by whoever may edit Jobs."""
    many = asked(*(policy(f"p{number:03}" + "x" * 200) for number in range(500)))
    assert "and 497 more all watch churn" in many.judging.problem
    assert len(many.judging.problem) < 1000
    flood = "\u202e" + "w " * 40_000
    told_by_nobody = entry_of(Judging(reason="Several\nPolicies", problem=flood), [])
    assert told_by_nobody is not None
    assert (told_by_nobody.verdict, told_by_nobody.reason) == ("Unknown", "Unknown")
    assert len(told_by_nobody.message) <= drift.LONGEST
    judged = entry_of(Judging(rules=flood), [json.dumps(SAME).encode()])
    assert judged is not None
    assert judged.verdict == "NoDrift"
    assert len(judged.rules) <= drift.LONGEST
    assert judged.rules.isprintable()


def memory(*entries: DriftEntry | None) -> Memory:
    """Of runs that ended well, the latest first."""
    made = []
    for number, each in enumerate(entries):
        at = CREATED - number * 86400
        done = Ended("Succeeded", "Succeeded", "well", at + 40)
        made.append(entry_of_run(RunFacts(f"run-{number}", "u", about(), at, ended=done, over=True, drift=each)))
    return Memory(Handled(), None, tuple(made))


def told_of(found: dict[str, Any] | None) -> DriftEntry | None:
    return entry_of(BY_POLICY, [] if found is None else [json.dumps(found).encode()])


def condition(status: dict[str, Any]) -> tuple[str, str, str]:
    (found,) = [each for each in status["conditions"] if each["type"] == "InputDrift"]
    return found["status"], found["reason"], found["message"]


def status_of(*entries: DriftEntry | None, old: Any = None) -> dict[str, Any]:
    status = build_status(batch(old), State(memory(*entries), None, None, None, CREATED + 3600))
    fits(status, SCHEMA, "status")
    return status


def test_what_people_read() -> None:
    assert condition(status_of()) == ("Unknown", "NoRunYet", "No run that was judged has ended yet")
    assert condition(status_of(told_of(FOUND))) == (
        "True", "Drifted",
        "run-0: tenure: psi 0.31: 29 % are missing, before 0.1 %. By DriftPolicy churn-drift",
    )  # fmt: skip
    assert condition(status_of(told_of(SAME)))[:2] == ("False", "NoDrift")
    assert condition(status_of(told_of(UNKNOWN)))[:2] == ("Unknown", "NoReference"), "never green"
    assert condition(status_of(None, told_of(FOUND)))[2].startswith("run-1: "), "one that failed hides nothing"
    ready = {each["type"]: each["status"] for each in status_of(told_of(FOUND))["conditions"]}
    assert (ready["Ready"], ready["Stalled"]) == ("True", "False"), "the answers are as good"


def test_status_has_the_numbers_of_one_run_and_reads_them_again() -> None:
    status = status_of(told_of(FOUND), told_of(FOUND), None)
    runs = status["runs"]
    assert [len(each.get("drift", {}).get("features", [])) for each in runs] == [1, 0, 0]
    assert runs[1]["drift"]["verdict"] == "Drifted"
    assert "drift" not in runs[2]
    assert runs[0]["drift"]["features"][0]["value"] == "0.3104"
    again = State(remembered(status), None, None, None, CREATED + 7200)
    assert build_status(batch(status), again) == status


def test_the_end_of_a_run_brings_its_verdict_into_status() -> None:
    done = RunFacts(
        "nightly-1", "u", about(), CREATED, ended=Ended("Succeeded", "Succeeded", "well", CREATED + 40), over=True,
        drift=told_of(FOUND),
    )  # fmt: skip
    planned = plan(batch(), Memory(Handled()), [done], CREATED + 60)
    assert planned.memory.runs[0].drift == done.drift


def test_an_event_tells_where_the_verdict_crosses() -> None:
    def reasons(old: dict[str, Any], new: dict[str, Any]) -> list[tuple[str, str]]:
        return [(each.kind, each.reason) for each in transitions(Plan(Memory(Handled())), old, new)]

    drifted, same, unknown = status_of(told_of(FOUND)), status_of(told_of(SAME)), status_of(told_of(UNKNOWN))
    assert reasons({}, drifted) == [("Warning", "DriftDetected")]
    assert reasons(same, drifted) == [("Warning", "DriftDetected")]
    assert reasons(drifted, status_of(told_of(FOUND), told_of(FOUND))) == [], "the next night's rows are no news"
    assert reasons(drifted, same) == [("Normal", "DriftEnded")]
    assert reasons(unknown, same) == reasons(same, unknown) == []


def test_metrics_tell_a_verdict_and_that_there_is_none() -> None:
    def series(*entries: DriftEntry | None) -> dict[str, float]:
        body = {"metadata": {"namespace": "ml", "name": "nightly"}, "status": status_of(*entries)}
        found = {(name, *labels[2:]): value for name, labels, value in of_batch(body) if "drift" in name}
        return {" ".join(name).removeprefix("batchinference_"): value for name, value in found.items()}

    assert series() == {}
    assert series(told_of(FOUND)) == {
        "drift_judged": 1.0, "drift_detected": 1.0, "drifted_features": 1.0, "drift psi tenure": 0.3104,
        "drift_cut tenure": 0.2,
    }  # fmt: skip
    assert series(told_of(SAME))["drift_detected"] == 0.0
    assert series(told_of(UNKNOWN)) == {"drift_judged": 0.0}


def test_an_edit_of_the_rules_scores_nothing_again() -> None:
    planned = plan(batch(), Memory(Handled()), [], CREATED + 60)
    assert planned.begin is not None
    other = plan(replace(batch(drift={"rules": {"minSamples": 5}}), generation=2), Memory(Handled()), [], CREATED + 60)
    assert other.begin is not None
    assert (other.begin.name, other.begin.asked) == (planned.begin.name, planned.begin.asked)


def test_a_schedule_without_times_is_judged_as_a_daily_one() -> None:
    assert looks_of(batch(schedule=NIGHTLY | {"timeZone": "Nowhere/Land"}), CREATED) == 30
