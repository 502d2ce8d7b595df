"""docs/metrics.md is a contract: it names every metric that the code has and no other, by Prometheus's conventions."""

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from docs import generate_metrics
from docs.generate_metrics import CONTRACT, PARTS, Told, bound

from manifests.alerts import generate
from modelward.facts import ABORTED
from modelward.statusmetrics import PREFIX, StatusMetrics

ROOT = Path(__file__).parents[3]
TOLD = generate_metrics.told()
OURS = [each for part in PARTS if part != "router" for each in TOLD[part]]

CONNECTION = {"modelward_default", "modelward_conn_id"}
"""Of Airflow."""

NOT_METRICS = {"modelward_key", "modelward_model", "modelward_metric", "modelward_run", "modelward_briefing"}
"""Words of documents that look like one: a column of the prediction log, a part of a name, parameters of a pipeline."""


def names_in(text: str) -> set[str]:
    """What looks like a metric of ours, or of the router's, without the endings of histograms."""
    found = set(re.findall(r"(?<![\w:/.-])((?:modelward|envoy)_[a-z0-9_]+[a-z0-9])(?![\w/(-]|\.[a-z])", text))
    bare = {re.sub(r"_(bucket|sum|count)$", "", each) if each not in KNOWN else each for each in found}
    return bare - {label for part in PARTS for each in TOLD[part] for label in each.labels}


KNOWN = {each.name for part in PARTS for each in TOLD[part]}
GRPC = re.compile(r"envoy_cluster_grpc_\d+")


def test_the_page_is_generated_from_this_code() -> None:
    subprocess.run([sys.executable, "-m", "docs.generate_metrics", "--check"], cwd=ROOT, check=True)


@pytest.mark.parametrize("part", PARTS)
def test_every_metric_of_the_code_is_in_the_contract_and_no_other(part: str) -> None:
    assert [each for each, times in Counter(each.name for each in TOLD[part]).items() if times > 1] == []
    assert {each.name for each in TOLD[part]} == set(CONTRACT[part])


@pytest.mark.parametrize("told", OURS, ids=lambda told: told.name)
def test_names_keep_to_the_conventions(told: Told) -> None:
    assert re.fullmatch(r"modelward(_[a-z0-9]+)+", told.name)
    assert told.name.endswith("_total") == (told.kind == "counter")
    assert not re.search(
        r"_(ms|milliseconds|minutes|hours|percent|kilobytes|megabytes|count|sum|bucket)(_|$)", told.name
    )
    assert not {"le", "quantile", "job", "instance", "pod", "container"} & set(told.labels), "Prometheus gives these"
    assert told.help.strip()
    assert not re.search(r"[Pp]ercent", told.help), "shares are from 0 to 1"


def test_a_ratio_is_called_one() -> None:
    for told in OURS:
        assert (" from 0 to 1" in told.help) == told.name.endswith("_ratio"), told.name


def test_every_metric_has_a_unit() -> None:
    for part in PARTS:
        for each in TOLD[part]:
            assert generate_metrics.unit(each.name, each.kind, CONTRACT[part][each.name]), each.name


def largest() -> dict[str, Any]:
    """A ModelDeployment with everything that there can be of one: four variants, 21 gates, a rollout."""
    arm = {"revision": "fraud-0123456789", "version": "1", "weight": 1}
    conditions = (
        "Ready", "Servable", "Stalled", "Resolved", "PredictionLogged", "CacheUsable", "OutcomesCompared",
        "WrittenBack",
    )  # fmt: skip
    told = [{"name": f"m{number}", "difference": "0", "low": "-1", "high": "1"} for number in range(7)]
    return {
        "metadata": {"namespace": "ml", "name": "fraud"},
        "spec": {"slo": {"availability": "99.9%", "latency": {"threshold": "200ms", "objective": "99%"}}},
        "status": {
            "conditions": [{"type": each, "status": "True"} for each in conditions],
            "stable": arm, "candidate": arm,
            "variants": [{"name": name, **arm, "quality": {"metrics": told}} for name in "abcd"],
            "predictionLog": dict.fromkeys(("written", "stored", "waiting", "lost"), 1),
            "rollout": {
                "phase": ABORTED, "step": 1, "stepStartedAt": "2026-01-01T00:00:00Z",
                "gates": [
                    *({"name": f"g{number}", "verdict": "Pass"} for number in range(14)),
                    *({"name": f"quality:{each['name']}", "verdict": "Pass", "outcomes": each} for each in told),
                ],
            },
        },
    }  # fmt: skip


def test_a_model_with_everything_stays_within_the_bounds_of_the_page() -> None:
    shown = Counter(sample.name for family in StatusMetrics([largest()]).collect() for sample in family.samples)
    models = CONTRACT["sizes"]["models"][0]
    bounds = {
        name: bound(said, "gauge") / models for name, said in CONTRACT["models"].items() if "models" in said["each"]
    }
    of_model = {name: count for name, count in shown.items() if name in bounds}
    assert len(of_model) >= 18
    assert of_model == {name: bounds[name] for name in of_model}
    assert sum(shown.values()) == sum(of_model.values())
    assert shown[f"{PREFIX}rollout_gate"] == 21


def test_rules_name_what_there_is() -> None:
    recorded = {each.name for each in generate.recordings()}
    for rule in (*generate.recordings(), *generate.alerts()):
        for series in re.findall(r"\bmodel(?:_revision)?:[\w:]+", rule.expr):
            assert series in recorded, f"{rule.name} asks {series}"
        for name in names_in(rule.expr):
            assert name in KNOWN or GRPC.fullmatch(name), f"{rule.name} asks {name}"


@pytest.mark.parametrize("page", sorted((ROOT / "docs").rglob("*.md")), ids=lambda page: page.stem)
def test_documents_name_what_there_is(page: Path) -> None:
    folders = [*(ROOT / "inference_image").iterdir(), *(ROOT / "integrations").glob("*/*")]
    packages = {each.name for each in folders} | CONNECTION
    text = page.read_text()
    if page.name == "upgrades.md":
        text = re.sub(r"^\| `\w+` \| `", "", text, flags=re.MULTILINE)  # how metrics were called before
    unknown = {each for each in names_in(text) if each not in packages | NOT_METRICS and not GRPC.fullmatch(each)}
    assert unknown <= KNOWN, unknown - KNOWN
