"""The dashboards are what their source says, name what the code has, and can be read by Grafana's own types.

tests/api/test_dashboards.py asks a real Prometheus each of their questions.
"""

import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models import units
from grafana_foundation_sdk.models.dashboard import Dashboard

from dashboards import known_metrics, questions
from manifests.dashboards import style
from manifests.dashboards.generate import DASHBOARDS, HERE

ROOT = Path(__file__).parents[3]
COLOURS = {value for name, value in vars(style).items() if name.isupper() and re.fullmatch(r"#\w{6}", str(value))}
PALE = "#E8F1F8"
"""Next to nothing, in the heat map."""

FUNCTIONS = {
    "sum", "max", "min", "count", "topk", "rate", "increase", "histogram_quantile", "label_replace", "sort_desc",
    "time", "vector",
}  # fmt: skip
WORDS = {"by", "on", "or", "and", "bool", "group_left", "group_right"}


@pytest.fixture(scope="module", params=sorted(DASHBOARDS))
def dashboard(request: pytest.FixtureRequest) -> Any:
    return json.loads((HERE / request.param).read_text())


def test_they_are_up_to_date() -> None:
    check = [sys.executable, "-m", "manifests.dashboards.generate", "--check"]
    subprocess.run(check, cwd=ROOT, check=True)


def test_what_is_out_of_date_is_told(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from manifests.dashboards import generate; generate.HERE = pathlib.Path(sys.argv.pop(1));"
        "sys.exit(generate.main())"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1
    assert "fleet.json is out of date; run `make dashboards`" in ended.stderr


def test_grafanas_types_lose_nothing_of_them(dashboard: Any) -> None:
    register_default_plugins()
    for annotation in dashboard["annotations"].get("list", ()):
        assert annotation.pop("titleFormat")  # of the data source's, which these types do not have
    assert json.loads(JSONEncoder().encode(Dashboard.from_json(dashboard))) == dashboard


def test_panels_say_what_they_show_and_in_which_unit(dashboard: Any) -> None:
    known = {value for name, value in vars(units).items() if isinstance(value, str) and not name.startswith("_")}
    panels = [each for each in dashboard["panels"] if each["type"] != "row"]
    assert len(panels) >= 15
    assert [each["id"] for each in dashboard["panels"]] == list(range(1, len(dashboard["panels"]) + 1))
    assert len({each["title"] for each in panels}) == len(panels)
    for panel in panels:
        about = panel["title"]
        assert panel["description"].endswith("."), about
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, about
        assert panel["targets"], about
        refs = [each["refId"] for each in panel["targets"]]
        assert len(set(refs)) == len(refs), about
        assert all(each["datasource"] == panel["datasource"] for each in panel["targets"]), about
        if panel["type"] in ("timeseries", "stat", "bargauge", "status-history"):
            assert panel["fieldConfig"]["defaults"]["unit"] in known, about
        for properties in (each["properties"] for each in panel["fieldConfig"].get("overrides", ())):
            shown = [each["value"] for each in properties if each["id"] == "unit"]
            assert set(shown) <= known, about


def test_panels_lie_beside_each_other(dashboard: Any) -> None:
    places = [each["gridPos"] for each in dashboard["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        apart = (
            one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        )  # fmt: skip
        assert apart, (one, other)


def test_colours_can_be_told_apart_by_everybody(dashboard: Any) -> None:
    found = set(re.findall(r'"#\w+"', json.dumps(dashboard)))
    assert {each.strip('"').upper() for each in found} <= COLOURS | {PALE}
    modes = {each["mode"] for each in _with(dashboard["panels"], "mode") if "color" not in each}
    assert not {mode for mode in modes if "palette" in str(mode) or "continuous" in str(mode)}
    for panel in dashboard["panels"]:
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["color"]["mode"] in ("fixed", "thresholds"), panel["title"]


def test_links_and_variables_are_there(dashboard: Any) -> None:
    uids = {json.loads((HERE / name).read_text())["uid"]: name for name in DASHBOARDS}
    text = json.dumps(dashboard)
    for uid, query in re.findall(r"/d/([\w-]+)/[\w-]*\?([^\"]*)", text):
        target = json.loads((HERE / uids[uid]).read_text())
        variables = {each["name"] for each in target["templating"]["list"]}
        assert set(re.findall(r"var-(\w+)=", query)) == variables, "each is handed over"
    used = set(re.findall(r"\$\{?(\w+)", " ".join(expr for _, expr in questions(dashboard))))
    variables = {each["name"] for each in dashboard["templating"]["list"]}
    assert used <= variables | {"__rate_interval", "__range", "1"}


def test_the_fleet_leads_to_its_models() -> None:
    fleet = json.loads((HERE / "fleet.json").read_text())
    tables = [each for each in fleet["panels"] if each["type"] == "table"]
    assert len(tables) == 3
    for table in tables:
        links = [each for each in table["fieldConfig"]["overrides"] if each["matcher"]["options"] == "name"]
        assert "/d/modelward-model/" in json.dumps(links), table["title"]
    assert tables[0]["options"]["sortBy"] == [{"displayName": "Trouble", "desc": True}], "the worst first"


def test_questions_name_only_what_the_code_has(dashboard: Any) -> None:
    metrics = known_metrics()
    asked = list(questions(dashboard))
    assert asked
    for about, expr in asked:
        assert not list(_unknown(expr, metrics)), about


@pytest.mark.parametrize("expr", [
    "sum(modelward_no_such_thing)", 'modelward_drift{feture="x"}', "sum by (arm) (modelward_drift)", "sum(up)",
    "rate(modelward_reconciles[5m])", "modelward_inference_request_duration_seconds", "sum by (le) (modelward_leader)",
])  # fmt: skip
def test_a_wrong_name_would_be_found(expr: str) -> None:
    assert list(_unknown(expr, known_metrics()))


def _unknown(expr: str, metrics: Mapping[str, set[str]]) -> Iterator[str]:
    """Names of metrics, and of labels, that nobody gives out. Labels that an expression makes itself are known."""
    bare = re.sub(r"label_values\((.*), *\w+\)", r"\1", expr)
    made = set(re.findall(r'label_replace\(.*?, "(\w+)", "[^"]*", "\w*", "[^"]*"\)', bare)) | {"name", "why"}
    without = re.sub(r'"[^"]*"', '""', bare)
    named = set()
    for name, labels in re.findall(r"([a-z]\w*)\s*\{([^}]*)\}", without):
        named.add(name)
        yield from set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", labels)) - metrics.get(name, set())
    plain = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", without)
    grouped = " ".join(re.findall(r"(?:by|on|group_left|group_right)\s*\(([^)]*)\)", plain))
    plain = re.sub(r"(by|on|group_left|group_right)\s*\([^)]*\)", " ", plain)
    named |= set(re.findall(r"\b[a-z_]\w*", plain)) - FUNCTIONS - WORDS
    yield from named - set(metrics)
    there = set().union(made, *(metrics.get(name, set()) for name in named))
    yield from set(re.findall(r"\w+", grouped)) - there


def _with(value: Any, key: str) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if key in value:
            yield value
        for each in value.values():
            yield from _with(each, key)
    elif isinstance(value, list):
        for each in value:
            yield from _with(each, key)
