"""`modelward drift` and `modelward report` as programs."""

import json
from pathlib import Path
from typing import Any

import pytest

from modelward_cli import main
from modelward_cli.layout import WIDTH, cells
from unit.inference.drift_report.test_stored import stored as kept

from .test_status import model, policy
from .world import A, Namespace

POLICIES = "driftpolicies.modelward.io"
MODELS = "modeldeployments.modelward.io"
MONITOR: dict[str, Any] = {
    "window": {"start": "2026-01-05T00:00:00Z", "end": "2026-01-06T00:00:00Z", "rows": 900, "drifted": 1},
    "features": [{"name": "age", "metric": "ks", "value": "0.4", "cut": "0.1", "verdict": "Drifted", "message": "x"}],
}  # fmt: skip


@pytest.fixture
def namespace(tmp_path: Path) -> Namespace:
    made = Namespace(tmp_path)
    made.holds(MODELS, model("fraud", monitor=MONITOR), model("bare"))
    made.holds(POLICIES, policy("fraud", obstacle="A rollout goes on"))
    return made


def told(namespace: Namespace, *arguments: str, code: int = 0) -> Any:
    ended = namespace.modelward("drift", "-o", "json", *arguments)
    assert ended.returncode == code, ended.stderr
    return json.loads(ended.stdout)


def test_a_model_is_told_with_all_that_watch_it(namespace: Namespace) -> None:
    by_policy, own = told(namespace, "fraud")["drift"]
    assert (by_policy["policy"], by_policy["verdict"], by_policy["since"]) == (
        "watch",
        "Drifted",
        "2026-01-06T00:00:01Z",
    )
    assert by_policy["features"][0] == {
        "name": "amount", "metric": "psi", "value": "0.31", "cut": "0.2", "outcome": "Drifted"
    }  # fmt: skip
    assert (by_policy["window"]["rows"], by_policy["obstacle"]) == (4000, "A rollout goes on")
    assert (own["policy"], own["verdict"], own["features"][0]["name"]) == (None, "Drifted", "age")
    ended = namespace.modelward("drift", "fraud")
    lines = ended.stdout.splitlines()
    assert lines[0] == "fraud  Drifted since 2026-01-06T00:00:01Z  (by the policy watch)"
    assert "  window       from 2026-01-05T00:00:00Z to 2026-01-06T00:00:00Z, 4000 rows, 1 feature drifts" in lines
    assert "  no run yet   A rollout goes on" in lines
    assert "               amount   psi     0.31   0.2       Drifted" in lines
    assert max(map(cells, lines)) <= WIDTH


def test_a_policy_is_told_with_its_models(namespace: Namespace) -> None:
    many = policy("fraud")
    many["status"]["targets"].append({"name": "churn", "verdict": "NoDrift"})
    many["status"]["counts"]["targets"] = 12
    namespace.holds(POLICIES, many)
    found = told(namespace, "watch")
    assert [(each["model"], each["verdict"]) for each in found["drift"]] == [("fraud", "Drifted"), ("churn", "NoDrift")]
    assert found["drift"][0]["since"] is None, "the condition speaks of all of them"
    assert found["notes"] == ["watch watches 12 models; its status tells of the 2 that matter most."]


def test_of_a_name_that_both_have_both_are_told(namespace: Namespace) -> None:
    namesake = policy("churn")
    namesake["metadata"]["name"] = "fraud"
    namespace.holds(POLICIES, policy("fraud"), namesake)
    assert {(each["model"], each["policy"]) for each in told(namespace, "fraud")["drift"]} == {
        ("churn", "fraud"), ("fraud", "watch"), ("fraud", None),
    }  # fmt: skip


def test_exit_codes(namespace: Namespace) -> None:
    told(namespace, "fraud", "--exit-code", code=4)
    assert "Nobody watches bare" in told(namespace, "bare", code=1)["notes"][0]
    ended = namespace.modelward("drift", "frad")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "there is no DriftPolicy or ModelDeployment frad" in ended.stderr
    assert "fraud" in ended.stderr


@pytest.mark.parametrize(("given", "ours"), [
    (["drift", "fraud"], True), (["drift", "report"], True), (["drift", "report", "-o", "json", "--context=x"], True),
    (["drift", "report", "--stored", "-", "--out", "x"], False), (["drift", "report", "--out=x"], False),
    (["drift", "report", "--help"], False), (["drift", "--help"], True), (["save"], False), ([], False),
])  # fmt: skip
def test_the_other_programs_drift_report_stays_its_own(given: list[str], ours: bool) -> None:
    assert main.takes(given) is ours


def stored() -> dict[str, Any]:
    """What the operator keeps of the stable revision."""
    body = kept(3)
    body["metadata"]["name"] = f"{A}-monitor"
    return body


def page(namespace: Namespace, *arguments: str, code: int = 0) -> str:
    out = namespace.folder / "page.html"
    ended = namespace.modelward("report", "fraud", "--out", str(out), *arguments)
    assert ended.returncode == code, ended.stderr
    return out.read_text() if code == 0 else ended.stderr


def test_a_report_is_written(namespace: Namespace) -> None:
    namespace.holds("configmaps", stored())
    text = page(namespace)
    assert "<html" in text
    assert "amount" in text
    ended = namespace.modelward("report", "fraud", "--out", str(namespace.folder / "b.html"), "-o", "json")
    told = json.loads(ended.stdout)
    assert (told["model"], told["revision"], told["page"]) == ("fraud", A, str(namespace.folder / "b.html"))


def remembered(uid: str, message: str = "", **quality: Any) -> dict[str, Any]:
    """What the policy with this uid remembers of the model."""
    memory = {"name": "fraud", "quality": {"message": message, **quality}, "signals": [
        {"kind": "quality", "name": "rocAuc", "breached": True, "message": f"too low, says {uid}"},
    ]}  # fmt: skip
    owners = [{"kind": "DriftPolicy", "name": f"of-{uid}", "uid": uid}]
    return {"metadata": {"name": f"{uid}-memory", "ownerReferences": owners}, "data": {"memory": json.dumps(memory)}}


def test_what_the_only_policy_that_measures_it_remembers_is_on_the_page(namespace: Namespace) -> None:
    silent = {"metadata": {"name": "other"}, "data": {"memory": '{"name": "fraud"}'}}
    namespace.holds("configmaps", stored(), silent, remembered("u-1"))
    assert "too low, says u-1" in page(namespace)
    (asked,) = [each for each in namespace.calls() if "configmaps" in each and "-l" in each]
    assert "modelward.io/target=fraud,app.kubernetes.io/component=retraining" in asked


def test_what_outcomes_say_and_nobody_can_read_costs_no_page(namespace: Namespace) -> None:
    """Of another version than the package here, or written by somebody else."""
    namespace.holds("configmaps", stored(), remembered("u-1", "modelward-quality:nothing", cohort={"slot": 1}))
    out = namespace.folder / "page.html"
    ended = namespace.modelward("report", "fraud", "--out", str(out))
    assert ended.returncode == 0, ended.stderr
    assert "without what outcomes say: " in ended.stderr
    assert "is not what the operator remembers" in ended.stderr
    assert "amount" in out.read_text()


def test_of_several_policies_the_one_that_is_named_is_shown(namespace: Namespace) -> None:
    body = stored()
    body["data"]["window.u-1.json"] = body["data"]["window.own.json"]
    namespace.holds("configmaps", body, remembered("u-1"), remembered("u-2"))
    out = namespace.folder / "page.html"
    ended = namespace.modelward("report", "fraud", "--out", str(out))
    assert ended.returncode == 0
    assert "of-u-1 and of-u-2 measure; name one with --policy" in ended.stderr
    assert "too low" not in out.read_text()
    watching = policy("fraud")
    watching["metadata"]["uid"] = "u-1"
    watching["spec"] = {"target": {"name": "fraud"}}
    namespace.holds(POLICIES, watching)
    text = page(namespace, "--policy", "watch")
    assert "too low, says u-1" in text
    assert "u-2" not in text


def test_it_is_shown_in_a_browser(namespace: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    namespace.holds("configmaps", stored())
    browser, seen = namespace.folder / "browser", namespace.folder / "seen"
    browser.write_text(f'#!/bin/sh\necho "$1" > {seen}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    page(namespace, "--open")
    assert seen.read_text() == f"{(namespace.folder / 'page.html').as_uri()}\n"


def test_by_a_policy_it_has_that_ones_windows(namespace: Namespace) -> None:
    body = stored()
    body["data"]["window.u-1.json"] = body["data"].pop("window.own.json")
    namespace.holds("configmaps", body)
    assert "has no windows of 'own'" in page(namespace, code=1)
    watching = policy("fraud")
    watching["metadata"]["uid"] = "u-1"
    watching["spec"] = {"target": {"name": "fraud"}}
    namespace.holds(POLICIES, watching)
    assert "amount" in page(namespace, "--policy", "watch")
    assert "there is no DriftPolicy wach in the namespace of kubectl's context; did you mean watch?" in page(
        namespace, "--policy", "wach", code=1
    )


def test_why_there_is_no_report(namespace: Namespace) -> None:
    assert f"nothing was counted of {A} yet" in page(namespace, code=1)
    body = model("fraud")
    body["status"].pop("stable")
    namespace.holds(MODELS, body)
    assert "no stable revision yet" in page(namespace, code=1)
    namespace.holds(MODELS, model("fraud"))
    namespace.holds("configmaps", {"metadata": {"name": f"{A}-monitor"}})
    assert "is not what the operator keeps" in page(namespace, code=1)
