"""`modelward status` as a program: all models, the worst first, and one in full."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelward_cli.layout import WIDTH, cells

from .world import A, Namespace, deployment

READY = [
    {
        "type": "Ready",
        "status": "True",
        "reason": "Serving",
        "message": "It answers",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    },
    {"type": "Stalled", "status": "False", "reason": "NoProblem", "message": "Nothing needs a person"},
]
STALLED = [
    {
        "type": "Ready",
        "status": "False",
        "reason": "ImagePullFailed",
        "message": "The image can't be pulled. Correct it",
    },
    {
        "type": "Stalled",
        "status": "True",
        "reason": "ImagePullFailed",
        "message": "The image can't be pulled. Correct it",
    },
]


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    return Namespace(tmp_path)


def model(name: str, phase: str = "Ready", conditions: list[Any] = READY, **status: Any) -> dict[str, Any]:
    body = deployment()
    body["metadata"] |= {"name": name, "generation": 3}
    body["status"] = {
        "observedGeneration": 3,
        "phase": phase,
        "conditions": conditions,
        "replicas": 2,
        "readyReplicas": 2,
        "stable": {**body["status"]["stable"], "weight": 100, "replicas": 2, "readyReplicas": 2},
        **status,
    }
    return body


def policy(target: str, verdict: str = "Drifted", **more: Any) -> dict[str, Any]:
    features = [
        {"name": "amount", "metric": "psi", "value": "0.31", "threshold": "0.2", "cut": "0.2", "outcome": "Drifted"},
        {
            "name": "age",
            "metric": "psi",
            "value": "0.02",
            "threshold": "0.2",
            "cut": "0.2",
            "outcome": "BelowThreshold",
        },
    ]
    window = {"start": "2026-01-05T00:00:00Z", "end": "2026-01-06T00:00:00Z", "rows": 4000}
    told = {
        "name": target,
        "verdict": verdict,
        "window": window,
        "features": features,
        "drifted": ["amount"] if verdict == "Drifted" else [],
        "message": "amount drifts",
        **more,
    }
    condition = {
        "type": "Drifted",
        "status": "True",
        "message": "amount drifts",
        "lastTransitionTime": "2026-01-06T00:00:01Z",
    }
    return {
        "metadata": {"name": "watch", "namespace": "ml"},
        "status": {"counts": {"targets": 1}, "targets": [told], "conditions": [condition]},
    }


def run(name: str, target: str, phase: str, created: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": "ml", "creationTimestamp": created},
        "spec": {"target": {"name": target}, "trigger": "Drift"},
        "status": {"phase": phase, "message": f"It is {phase}", "model": {"uri": "s3://m/9"}},
    }


def status(namespace: Namespace, *arguments: str, code: int = 0) -> str:
    ended = namespace.modelward("status", *arguments)
    assert ended.returncode == code, ended.stderr
    return ended.stdout


def test_all_are_told_the_worst_first(namespace: Namespace) -> None:
    namespace.holds(
        "modeldeployments.modelward.io",
        model("well"),
        model("drifting"),
        model("trying", "Progressing", rollout={"progress": "2/3 25%", "message": "Step 2 of 3"}),
        model("broken", "Failed", STALLED),
        model("retrained"),
    )
    namespace.holds("driftpolicies.modelward.io", policy("drifting"))
    namespace.holds(
        "retrainingruns.modelward.io",
        run("r2", "retrained", "Failed", "2026-01-02T00:00:00Z"),
        run("r1", "retrained", "Promoted", "2026-01-01T00:00:00Z"),
    )
    told = json.loads(status(namespace, "-o", "json"))
    assert [each["name"] for each in told["models"]] == ["broken", "trying", "drifting", "retrained", "well"]
    assert [each["well"] for each in told["models"]] == [False, False, False, False, True]
    by_name = {each["name"]: each for each in told["models"]}
    assert by_name["broken"]["waitsFor"] == "The image can't be pulled. Correct it"
    assert by_name["trying"]["waitsFor"] == "Step 2 of 3"
    assert (by_name["drifting"]["drift"][0]["since"], by_name["drifting"]["drift"][0]["drifted"]) == (
        "2026-01-06T00:00:01Z",
        1,
    )
    assert (by_name["retrained"]["lastRun"]["name"], by_name["retrained"]["lastRun"]["phase"]) == ("r2", "Failed"), (
        "the last"
    )
    lines = status(namespace).splitlines()
    assert lines[0].split() == ["MODEL", "PHASE", "VERSION", "READY", "ROLLOUT", "DRIFT", "LAST", "RUN"]
    assert lines[1].split()[:4] == ["broken", "Failed", "7", "2/2"]
    assert lines[2] == "    The image can't be pulled. Correct it"
    assert "Drifted 1" in next(line for line in lines if line.startswith("drifting"))
    status(namespace, "--exit-code", code=4)
    namespace.holds("modeldeployments.modelward.io", model("well"))
    status(namespace, "--exit-code")


def test_one_is_told_in_full(namespace: Namespace) -> None:
    gate = {
        "name": "errorRate",
        "verdict": "Inconclusive",
        "message": "too few yet",
        "stable": {"requests": 3000, "bad": 2},
        "candidate": {"requests": 200, "bad": 1},
    }
    rollout = {
        "revision": "fraud-bbbbbbbbbb",
        "strategy": "Canary",
        "phase": "Progressing",
        "progress": "2/3 25%",
        "step": 2,
        "steps": 3,
        "message": "Step 2 of 3: it gets 25%",
        "gates": [gate],
        "stepStartedAt": "2026-01-06T00:00:00Z",
    }
    whole = deployment()["status"]
    body = model("fraud", "Progressing", candidate=whole["candidate"], variants=whole["variants"], rollout=rollout)
    namespace.holds("modeldeployments.modelward.io", body)
    namespace.holds("driftpolicies.modelward.io", policy("fraud", obstacle="A rollout goes on"))
    namespace.holds("retrainingruns.modelward.io", run("r1", "fraud", "Promoted", "2026-01-01T00:00:00Z"))
    told = status(namespace, "fraud")
    for line in (
        "  waits for    Step 2 of 3: it gets 25%",
        f"  stable       {A}  version 7  100 % of the requests  2/2 ready",
        "               s3://m/7",
        "  candidate    fraud-bbbbbbbbbb  version 8  25 % of the requests",
        "  variant b    fraud-b-dddddddddd  5 % of the requests  copies of 10 %",
        "  gate         errorRate  Inconclusive  stable 2/3000 candidate 1/200",
        "  drift        Drifted since 2026-01-06T00:00:01Z; by the policy watch; window of 4000 rows until",
        "               A rollout goes on",
        "               amount   psi     0.31   0.2       Drifted",
    ):
        assert line in told.splitlines(), told
    assert "  last run     r1  Promoted" in told
    assert told.startswith("fraud  Progressing, ready for ")
    (model_,) = json.loads(status(namespace, "fraud", "-o", "json"))["models"]
    assert model_["rollout"]["gates"][0]["candidate"] == {"requests": 200, "bad": 1}
    assert (model_["candidate"]["weight"], model_["variants"][0]["name"]) == (25, "b")


def test_what_has_not_been_taken_up_is_waited_for(namespace: Namespace) -> None:
    new, stale, asked = model("new"), model("stale"), model("asked")
    new["status"] = {}
    stale["metadata"]["generation"] = 4
    asked["metadata"]["annotations"] = {"modelward.io/rollout": "promote"}
    namespace.holds("modeldeployments.modelward.io", new, stale, asked)
    found = {each["name"]: each for each in json.loads(status(namespace, "-o", "json"))["models"]}
    assert found["new"]["phase"] == "Pending"
    assert "no status yet" in found["new"]["waitsFor"]
    assert "the last change of spec" in found["stale"]["waitsFor"]
    assert "`promote`" in found["asked"]["waitsFor"]


def test_long_and_foreign_texts_fit_and_say_nothing_to_the_terminal(namespace: Namespace) -> None:
    long = "x" * 300
    conditions = [
        {**STALLED[0], "message": f"\x1b[31m{long} {'語' * 200}"},
        {**STALLED[1], "message": f"\x1b[31m{long}"},
    ]
    broken = model("a" * 63, "Failed", conditions, rollout={"progress": "Paused 12/20 100% mirrored", "message": long})
    broken["status"]["stable"]["version"] = "語" * 100
    feature = {
        "name": "額" * 80,
        "metric": "wasserstein",
        "value": "1.234e+100",
        "cut": "1.234e+100",
        "outcome": "NotSignificant",
    }
    namespace.holds("modeldeployments.modelward.io", broken)
    namespace.holds("driftpolicies.modelward.io", policy("a" * 63, features=[feature]))
    namespace.holds("retrainingruns.modelward.io", run("r" * 60, "a" * 63, "RollingOut", "2020-01-01T00:00:00Z"))
    for arguments in ((), ("-A",), ("a" * 63,)):
        told = status(namespace, *arguments)
        assert max(map(cells, told.splitlines())) <= WIDTH, told
        assert "\x1b" not in told


@pytest.mark.parametrize(
    "body",
    [
        {"metadata": {"name": "fraud", "namespace": "ml"}, "status": None},
        {
            "metadata": {"name": "fraud"},
            "status": {"phase": 7, "conditions": "x", "stable": [], "rollout": 1, "variants": {}},
        },
        {
            "metadata": {"name": "fraud"},
            "status": {"conditions": [1, {"type": None}], "rollout": {"gates": [{"stable": 1}, 2]}},
        },
    ],
)
def test_a_status_of_another_shape_is_no_failure(namespace: Namespace, body: Any) -> None:
    namespace.holds("modeldeployments.modelward.io", body)
    namespace.holds(
        "driftpolicies.modelward.io", {"metadata": {"name": "p"}, "status": {"targets": [{"drifted": 1}, 3]}}
    )
    for arguments in ((), ("fraud",), ("fraud", "-o", "json")):
        status(namespace, *arguments)


def test_without_the_right_to_runs_and_policies_less_is_told_and_why(namespace: Namespace) -> None:
    namespace.holds("modeldeployments.modelward.io", model("fraud"))
    for what in ("driftpolicies.modelward.io", "retrainingruns.modelward.io"):
        namespace.refuses(what, f'Error from server (Forbidden): {what} is forbidden: User "eve" cannot list')
    told = status(namespace)
    assert "fraud" in told
    assert "What drift policies say is not known" in told
    assert "What retraining runs came to is not known" in told


@pytest.mark.parametrize(
    ("said", "hint"),
    [
        ('Error from server (Forbidden): User "eve" cannot list this', "Ask for that right"),
        ("error: You must be logged in to the server (Unauthorized)", "Log in"),
        (
            "The connection to the server localhost:8080 was refused - did you specify the right host or port?",
            "--context",
        ),
        ('error: context "nope" does not exist', "--context"),
        ('error: the server doesn\'t have a resource type "modeldeployments"', "Modelward is not installed there"),
    ],
)
def test_what_the_cluster_refuses_is_told_with_what_to_do(namespace: Namespace, said: str, hint: str) -> None:
    namespace.refuses("modeldeployments.modelward.io", said)
    for arguments in (("status",), ("status", "fraud"), ("rollout", "promote", "fraud"), ("rollout", "watch", "fraud")):
        ended = namespace.modelward(*arguments)
        assert (ended.returncode, ended.stdout) == (1, "")
        assert said in ended.stderr
        assert hint in ended.stderr


def test_unknown_names_are_told_with_those_that_there_are(namespace: Namespace) -> None:
    for arguments in (("status", "frad"), ("rollout", "watch", "frad"), ("rollout", "pause", "frad")):
        ended = namespace.modelward(*arguments, "-n", "ml")
        assert (ended.returncode, ended.stdout) == (1, "")
        assert "there is no ModelDeployment frad in the namespace ml; did you mean fraud?" in ended.stderr
    for name in ("--all", "a,b", "a/b", "x=y", "-"):
        ended = namespace.modelward("rollout", "--", "pause", name)
        assert ended.returncode in (1, 2), name
        assert "Traceback" not in ended.stderr
    assert not [call for call in namespace.calls() if "annotate" in call]
