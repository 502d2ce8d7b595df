"""The first lines answer what drifted, since when, and what to do; nothing is called good that was not judged."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.judging.badvalues import Limits
from modelward_drift.judging.budget import Persistence
from modelward_drift.judging.judge import Rules, WindowSettings
from modelward_drift.judging.policy import Actions, Policy
from modelward_drift.profiles.inflation import Inflation
from modelward_drift.profiles.reference import Feature, Reference
from modelward_inference.drift_report import command
from modelward_inference.drift_report.findings import Window, findings
from modelward_inference.drift_report.page import html

START = 1795960800.0  # 2026-11-29 14:00 UTC


def reference(name: str = "age") -> Reference:
    random = np.random.default_rng(0)
    return Reference((Feature("input", name, None, profile_of(name, "numeric", random.normal(40, 10, 5000))),))


def windows(shifts: Sequence[float], known: Reference, nulls: float = 0.0, rows: int = 1000) -> list[Window]:
    random = np.random.default_rng(1)
    found = []
    for hour, shift in enumerate(shifts):
        values = random.normal(40 + shift, 10, rows)
        values[: round(nulls * rows) if shift else 0] = np.nan
        counts = (count(known.profiles[0], values),)
        found.append(Window(counts, START + 3600 * hour, START + 3600 * (hour + 1)))
    return found


def header(text: str) -> str:
    """Without tags."""
    found = re.search("<header[^>]*>(.*)</header>", text, re.S)
    assert found
    return re.sub("<[^>]*>", "", found[1])


@pytest.mark.parametrize(
    ("shifts", "persistence", "words"),
    [
        ([0, 0, 20, 20], Persistence(), "since 29 Nov 16:00, 2 windows"),
        ([20, 0, 20], Persistence(), "since 29 Nov 16:00, 1 window."),
        ([20, 20, 20], Persistence(), "since 29 Nov 14:00 or earlier, 3 windows"),
        ([0, 20, 0, 20, 20], Persistence(2, 3), "since 29 Nov 15:00, 4 windows, 3 of them drifted"),
        ([20, 0, 0, 20, 20, 0], Persistence(2, 3), "since 29 Nov 17:00, 3 windows, 2 of them drifted"),
    ],
)
def test_since_when(shifts: list[float], persistence: Persistence, words: str) -> None:
    known = reference()
    text = header(html(known, windows(shifts, known), Policy(Rules(persistence=persistence))))
    assert words in text
    assert "the median moved from about " in text or "the last window alone is not drifted" in text


def test_what_to_do_by_the_policys_actions() -> None:
    known = reference()
    seen = windows([0, 20], known)

    def said(policy: Policy) -> str:
        return header(html(known, seen, policy))

    assert "No DriftPolicy was given" in said(Policy())
    assert "The policy retrains for age" in said(Policy(actions=Actions(), trains=True))
    assert "no run starts" in said(Policy(actions=Actions()))
    assert "only warns of age" in said(Policy(actions=Actions(inputs="Warn"), trains=True))
    assert "Policy: Hold." in said(Policy(actions=Actions(inputs="Hold"), trains=True))


def test_data_quality_comes_first() -> None:
    known = reference()
    policy = Policy(limits=Limits(missing=0.05), actions=Actions(), trains=True)
    text = header(html(known, windows([0, 20], known, nulls=0.29), policy))
    assert text.index("quality:missing:age: 29 % are missing, before 0 %") < text.index("Policy: Retrain")
    assert "Look at the data first." in text
    assert "starts no run for age as long as there is drift of quality:missing:age" in text


@pytest.mark.parametrize(("rows", "title"), [(400, "Can't be judged: 400 of 500 rows"), (0, "Can't be judged: 0 of")])
def test_too_few_rows_are_not_good(rows: int, title: str) -> None:
    known = reference()
    text = html(known, windows([30], known, rows=rows), Policy())
    assert f"<h1>{title}" in text
    assert '<header class="none">' in text
    assert 'class="state none">Too few rows' in text
    assert "good" not in re.sub("<style>.*</style>", "", text, flags=re.S)


def test_what_is_judged_is_good() -> None:
    known = reference()
    text = html(known, windows([0], known), Policy())
    assert "<h1>None of 1 features drifted</h1>" in text
    assert '<header class="good">' in text
    assert 'class="state good">No drift' in text


def test_nothing_is_judged() -> None:
    known = reference()
    text = html(known, windows([0], known), Policy(Rules(ignored=frozenset({"age"}))))
    assert "<h1>No feature is judged</h1>" in text
    assert '<header class="none">' in text


def test_a_number_that_only_grows() -> None:
    ids = profile_of("id", "numeric", np.arange(100_000.0, 103_000.0))
    known = Reference((Feature("input", "id", None, ids),))
    later = Window((count(ids, np.arange(103_000.0, 104_000.0)),), 0.0, 3600.0)
    assert "put it into spec.features.ignore" in header(html(known, [later], Policy()))
    assert findings(known, [later], Policy())[0].causes == ("100 % are out of range, which was 100000 to 102999",)


def test_no_impossible_probability_is_printed() -> None:
    known = reference()
    text = html(known, windows([80], known), Policy())
    assert "not by chance" in text
    assert not re.search(r"e\+[0-9]{2}", text)


def test_categories_are_told_from_the_cells_that_all_features_have() -> None:
    labels = ["null", "other", "web", " web", ""]
    profile = profile_of("x", "categorical", labels * 200)
    known = Reference((Feature("input", "x", None, profile),))
    live: list[Any] = [*labels * 100, *["new"] * 250, *[None] * 250]
    text = html(known, [Window((count(profile, live),), 0.0, 3600.0)], Policy())
    rows = re.findall(r"<tr><th scope=row>(.*?)<td>", text)[: len(labels) + 2]
    assert sorted(rows) == sorted([
        "&quot;null&quot;", "&quot;other&quot;", "web", "&quot; web&quot;", "&quot;&quot;",
        "<i>other categories</i>", "<i>no value</i>",
    ])  # fmt: skip


def test_the_operators_rules_hold_in_the_command(tmp_path: Path) -> None:
    """Outputs that are ignored do not drift, and data quality does: as the operator has it of the same window."""
    random = np.random.default_rng(1)
    age = profile_of("age", "numeric", random.normal(40, 10, 20_000))
    score = profile_of("output:score", "numeric", random.random(20_000))
    known = Reference((Feature("input", "age", None, age), Feature("output", "score", None, score)))
    values = np.where(random.random(2000) < 0.02, np.nan, random.normal(40, 10, 2000))
    counts = [count(age, values), count(score, random.random(2000) ** 3)]
    window = {"start": 0, "end": 3600, "digest": known.digest, "counts": [each.to_dict() for each in counts]}
    spec = {"features": {"outputs": "Ignore", "dataQuality": {"missing": "1%"}}}
    for name, content in {"r.json": known.to_dict(), "w.jsonl": window, "p.json": {"spec": spec}}.items():
        (tmp_path / name).write_text(json.dumps(content))
    out = command.write(
        tmp_path / "o.html", reference=tmp_path / "r.json", windows=tmp_path / "w.jsonl", rules=tmp_path / "p.json"
    )
    text = out.read_text()
    pairs = re.findall(r'class="state \w+">([^<]+)</span> <h3>([^<]+)', text)
    states = {name: state for state, name in pairs}
    assert states["quality:missing:age"] == "Drifted"
    assert states["output:score"] == "Not judged"
    assert states["age"] == "No drift"


def test_the_promise_says_what_it_hangs_on() -> None:
    known = reference()
    assert "rows are taken as independent" in header(html(known, windows([0], known), Policy()))
    profile = replace(known.profiles[0], inflation=Inflation(3.0, 2.0, 500, 40))
    measured = Reference((replace(known.features[0], profile=profile),))
    text = header(html(measured, windows([0], measured), Policy()))
    assert "by how far rows hung together" in text
    assert "independent" not in text


def test_windows_that_are_not_the_policys_are_told() -> None:
    known = reference()
    day = Rules(WindowSettings(86_400.0, 500))
    text = header(html(known, windows([0, 0], known), Policy(day, actions=Actions())))
    assert "These windows last 1 h, the policy's 24 h" in text
    hour = Rules(WindowSettings(3600.0, 500))
    assert "These windows" not in header(html(known, windows([0, 0], known), Policy(hour, actions=Actions())))
    assert "These windows" not in header(html(known, windows([0, 0], known), Policy(day)))
