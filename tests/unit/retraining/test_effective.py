"""What a ModelDeployment is to serve: a table of specs, runs, and what its status remembers."""

from typing import Any

import pytest

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
