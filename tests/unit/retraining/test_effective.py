"""What a ModelDeployment is to serve: a table of specs, runs, and what its status remembers."""

from typing import Any

import pytest

from modelward.reconcilers.driftpolicy.targets import target_facts
from modelward.retraining.effective import effective_model, model_status

OLD, NEW, NEWER = (f"s3://models/fraud/{number}/model.onnx" for number in (1, 2, 3))


def run(
    name: str, model: str, at: int, phase: str = "Promoted", made_from: str = OLD, uid: str = "t", **metadata: Any
) -> dict[str, Any]:
    time = f"2026-01-0{at}T00:00:00Z"
    return {
        "metadata": {"name": name, "uid": name, "namespace": "ml", **metadata},
        "spec": {
            "target": {"name": "fraud", "uid": uid, "revision": "fraud-a", "model": {"uri": made_from}},
            "key": name, "kind": "Job", "trigger": "Drift", "requestedAt": time,
        },
        "status": {"phase": phase, "model": {"uri": model}, "acceptedAt": time},
    }  # fmt: skip


def deployment(uri: str = OLD, kept: Any = None, **model: Any) -> dict[str, Any]:
    status = {} if kept is None else {"model": {"uri": "whatever", "kept": kept}}
    return {"metadata": {"name": "fraud", "uid": "t"}, "spec": {"model": {"uri": uri, **model}}, "status": status}


KEPT = {"run": "a", "uri": NEW, "madeFrom": {"uri": OLD}, "acceptedAt": "2026-01-02T00:00:00Z"}

CASES: dict[str, tuple[dict[str, Any], list[dict[str, Any]], str, str | None]] = {
    "no run": (deployment(), [], OLD, None),
    "a run that was promoted": (deployment(), [run("a", NEW, 2)], NEW, "a"),
    "a run whose model rolls out": (deployment(), [run("a", NEW, 2, "RollingOut")], NEW, "a"),
    "the newest counts": (deployment(), [run("b", NEWER, 3), run("a", NEW, 2)], NEWER, "b"),
    "one that rolls out over one that was promoted": (
        deployment(kept=KEPT), [run("a", NEW, 2), run("b", NEWER, 3, "RollingOut")], NEWER, "b",
    ),
    "one that was rolled back gives way to what was before": (
        deployment(kept=KEPT), [run("a", NEW, 2), run("b", NEWER, 3, "RolledBack")], NEW, "a",
    ),
    "spec was changed since": (deployment(NEWER, KEPT), [run("a", NEW, 2)], NEWER, None),
    "spec was pinned since": (deployment(digest="sha256:1"), [run("a", NEW, 2)], OLD, None),
    "spec was set back": (deployment(), [run("a", NEW, 2), run("b", NEWER, 3, made_from=NEWER)], NEW, "a"),
    "a promoted run was deleted": (deployment(kept=KEPT), [], NEW, "a"),
    "a promoted run is being deleted": (deployment(kept=KEPT), [run("a", NEW, 2, deletionTimestamp="now")], NEW, "a"),
    "a run on trial was deleted": (deployment(), [run("a", NEW, 2, "RollingOut", deletionTimestamp="now")], OLD, None),
    "a status that was lost": (deployment(), [run("a", NEW, 2)], NEW, "a"),
    "what a status remembers can't be read": (deployment(kept={"run": 7}), [], OLD, None),
    "a run for a namesake": (deployment(), [run("a", NEW, 2, uid="another")], OLD, None),
    "runs that count for nothing": (
        deployment(),
        [run(word, NEW, 2, word) for word in ("Running", "Reported", "Refused", "Superseded", "Failed", "Cancelled")],
        OLD, None,
    ),
    "an object that is none of ours": (deployment(), [{"metadata": {"name": "x"}, "spec": {}}], OLD, None),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_effective_model(case: str) -> None:
    body, bodies, uri, made_by = CASES[case]
    for runs in (bodies, bodies[::-1]):
        found = effective_model(body, runs)
        assert (found.model.uri, found.by.run if found.by else None) == (uri, made_by)


ALIAS = "models:/fraud@champion"


def following(at: int, version: str = "3") -> dict[str, Any]:
    """A ModelDeployment whose alias was first seen to be this version on a day of January."""
    reference = {
        "uri": ALIAS, "registry": "mlflow", "address": "http://mlflow", "version": version,
        "source": f"s3://registry/{version}", "since": f"2026-01-0{at}T00:00:00Z",
    }  # fmt: skip
    return {**deployment(ALIAS), "status": {"model": {"uri": f"s3://registry/{version}", "reference": reference}}}


@pytest.mark.parametrize(
    ("body", "bodies", "uri", "made_by"),
    [
        (following(2), [], "s3://registry/3", None),
        (following(2), [run("a", NEW, 3, made_from=ALIAS)], NEW, "a"),
        (following(4), [run("a", NEW, 3, made_from=ALIAS)], "s3://registry/3", None),
        (following(4), [run("a", NEW, 3, made_from=ALIAS), run("b", NEWER, 5, made_from=ALIAS)], NEWER, "b"),
        (deployment(ALIAS), [], ALIAS, None),
        ({**following(2), "spec": {"model": {"uri": "models:/fraud@other"}}}, [], "models:/fraud@other", None),
        ({**following(2), "spec": {"model": {"uri": OLD}}}, [], OLD, None),
    ],
)
def test_of_an_alias_that_moved_and_an_accepted_run_the_newest_wins(
    body: dict[str, Any], bodies: list[dict[str, Any]], uri: str, made_by: str | None
) -> None:
    found = effective_model(body, bodies)
    assert (found.model.uri, found.by.run if found.by else None) == (uri, made_by)


def test_a_run_that_moved_the_alias_itself_leaves_it_to_the_registry() -> None:
    for phase in ("RollingOut", "Promoted"):
        for uri in (ALIAS, NEW, "s3://registry/3"):
            moved = run("a", uri, 5, phase, made_from=ALIAS)
            moved["status"].pop("acceptedAt", None)
            found = effective_model(following(2), [moved])
            assert (found.model.uri, found.by) == ("s3://registry/3", None)


def test_what_was_resolved_is_told_and_remembered_also_while_a_runs_model_serves() -> None:
    own = model_status(effective_model(following(2), []), stable=True)
    assert (own["uri"], own["source"], own["version"]) == ("s3://registry/3", "Registry", "3")
    runs = model_status(effective_model(following(2), [run("a", NEW, 3, made_from=ALIAS)]), stable=True)
    assert (runs["uri"], runs["source"], runs["reference"]["version"]) == (NEW, "RetrainingRun", "3")
    assert runs["madeFrom"] == {"uri": ALIAS}
    again = {**following(2), "status": {"model": runs}}
    assert effective_model(again, []).model.uri == NEW, "what became stable stays when its run is deleted"


LINEAGE = {"name": "fraud", "commit": "5be0", "dataSets": [{"name": "train", "digest": "81835f75"}]}
REGISTRATION = {
    "uri": "models:/fraud/2", "address": "http://mlflow", "version": "2", "registry": "mlflow", "lineage": LINEAGE,
}  # fmt: skip


def test_the_version_that_a_run_reported_is_remembered_with_its_model() -> None:
    made = run("a", NEW, 2)
    made["status"]["registration"] = REGISTRATION
    effective = effective_model(deployment(), [made])
    shown = model_status(effective, stable=True)
    assert (shown["version"], shown["kept"]["registration"]) == ("2", REGISTRATION)
    assert shown["lineage"] == LINEAGE, "as of a version that spec names"
    assert shown["registration"] == {"uri": "models:/fraud/2", "address": "http://mlflow", "registry": "mlflow"}
    again = effective_model(deployment(kept=shown["kept"]), [])
    assert again.by is not None
    assert effective.by is not None
    assert again.by.registration == effective.by.registration
    assert model_status(again, stable=True) == shown, "also when its run is deleted"
    broken = effective_model(deployment(kept={**shown["kept"], "registration": {"uri": 7}}), [])
    assert broken.by is None


def test_only_what_is_stable_is_remembered() -> None:
    tried = effective_model(deployment(), [run("a", NEW, 2, "RollingOut")])
    shown = model_status(tried, stable=False)
    assert shown == {"uri": NEW, "source": "RetrainingRun", "run": "a", "madeFrom": {"uri": OLD}}
    shown = model_status(tried, stable=True)
    assert shown["kept"] == KEPT
    again = effective_model(deployment(kept=shown["kept"]), [])
    assert (again.model.uri, model_status(again, stable=True)) == (NEW, shown), "deleting its run changes nothing"


def test_what_is_remembered_of_another_spec_is_forgotten() -> None:
    assert model_status(effective_model(deployment(NEWER, KEPT), []), stable=True) == {"uri": NEWER, "source": "Spec"}


def test_a_policy_knows_which_version_the_registry_named_unless_a_runs_model_counts() -> None:
    body = following(2)
    body["metadata"]["generation"] = 1
    assert target_facts(body).version == "3"
    assert target_facts(body, [run("a", NEW, 3, made_from=ALIAS)]).version is None
