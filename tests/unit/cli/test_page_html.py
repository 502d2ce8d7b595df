"""The page is text of others in elements of ours: whatever they write, it is shown and never obeyed."""

import json
import re
from html.parser import HTMLParser
from typing import Any, Final

import pytest

import fleets
from modelward_cli.fleet.read import Fleet
from modelward_cli.fleet.state import models
from modelward_cli.layout import plain
from modelward_cli.page import drawings
from modelward_cli.page.card import _odds
from modelward_cli.page.html import POLICY, Asked, page
from modelward_cli.page.markup import Html, element, flat, table
from modelward_cli.page.view import View, view

NOW: Final = 1_767_657_660.0
ELEMENTS: Final = frozenset(
    (
        "a",
        "b",
        "body",
        "button",
        "details",
        "div",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "head",
        "header",
        "html",
        "input",
        "label",
        "li",
        "line",
        "link",
        "main",
        "meta",
        "nav",
        "noscript",
        "option",
        "p",
        "polyline",
        "rect",
        "script",
        "section",
        "select",
        "span",
        "summary",
        "svg",
        "table",
        "tbody",
        "td",
        "th",
        "thead",
        "title",
        "tr",
        "ul",
    )
)
FORBIDDEN: Final = frozenset(("style", "srcdoc", "formaction"))
OWN: Final = re.compile(r"#models|\?(state=[a-z]+)?|page\.css|page\.js|icon\.svg")
ATTACKS: Final = (
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "'\"><svg onload=alert(1)>", "javascript:alert(1)",
    "</title><script>", "<!--", "]]>", "&lt;b&gt;", "a\u202eb\u2066c", "\x00\x1b[31m", "\ud800", "-->", "{{1}}",
)  # fmt: skip


class Tree(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for tag, attributes in self.elements if tag == name]


def drawn(bodies: Any, policies: Any = (), runs: Any = (), *, problem: str | None = None, where: str = "context c",
          asked: Asked | None = None, notes: Any = ()) -> Tree:  # fmt: skip
    found = Fleet(models(bodies, policies, runs), policies, runs, list(notes))
    given = asked or Asked()
    seen = view(found, given.wanted, given.state)
    return parsed(page(where, given, seen, {}, NOW, problem, NOW, 5.0))


def parsed(content: bytes) -> Tree:
    tree = Tree()
    tree.feed(content.decode())
    tree.close()
    return tree


def poisoned(value: Any, poison: str) -> Any:
    """Each text of it is the poison, but for those that the code compares."""
    if isinstance(value, dict):
        kept = ("phase", "type", "status", "namespace", "verdict", "outcome", "observedGeneration", "value", "cut")
        return {
            key: each if key in kept and isinstance(each, str) else poisoned(each, poison)
            for key, each in value.items()
        }
    if isinstance(value, list | tuple):
        return [poisoned(each, poison) for each in value]
    return poison if isinstance(value, str) else value


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_others_write_becomes_an_element(attack: str) -> None:
    bodies, policies, runs = fleets.everything()
    spoilt = [poisoned(each, attack) for each in (bodies, policies, runs)]
    for part, bare in zip(spoilt, (bodies, policies, runs), strict=True):
        for body, before in zip(part, bare, strict=True):  # what ties them together stays
            body["metadata"]["name"] = f"{before['metadata']['name']}{attack}"
            if "target" in body["spec"]:
                body["spec"]["target"] = before["spec"]["target"]
    tree = drawn(*spoilt, problem=attack, where=attack, asked=Asked(), notes=[attack])
    names = {tag for tag, _ in tree.elements}
    assert names <= ELEMENTS
    assert len(tree.all("script")) == 1
    for tag, attributes in tree.elements:
        assert not [name for name in attributes if name.startswith("on") or name in FORBIDDEN], tag
        for name in ("href", "src", "action"):
            assert OWN.fullmatch(attributes.get(name) or "?"), tag
    controls = {each for text in tree.text for each in text if not each.isprintable() and each != "\n"}
    assert not controls
    assert any(plain(attack) in text for text in tree.text), "it is shown"


@pytest.mark.parametrize("attack", ATTACKS)
def test_what_is_asked_for_is_text_too(attack: str) -> None:
    tree = drawn([fleets.model("m")], asked=Asked(attack))
    assert {tag for tag, _ in tree.elements} <= ELEMENTS
    (search,) = [each for each in tree.all("input") if each.get("type") == "search"]
    assert "onerror" not in search
    assert "None of 1 models is as asked for." in tree.text


def test_every_state_is_drawn_with_its_evidence() -> None:
    tree = drawn(*fleets.everything())
    text = "\n".join(tree.text)
    for told in (
        "Rolled back", "Aborted", "Paused", "Rolling out", "Worse by outcomes", "Drifts", "Run failed", "Retraining",
        "2 of 3000 (0.067 %)", "9 of 200 (4.5 %)", "2 : 1", "more than 1000000 : 1", "amount", "0.31",
        "No run yet: Within its cooldown until 2026-01-06T00:00:00Z", fleets.BAD, fleets.IMAGE, "70 %",
        "5 %, copies of 10 %", "No revision has been made yet.", "learning-run-1", "s3://m/9", "97.3%",
    ):  # fmt: skip
        assert told in text, told
    ids = [attributes["id"] for _, attributes in tree.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert len(tree.all("details")) == len(fleets.STATES)
    regions = [each for each in tree.all("div") if each.get("class") == "scroll"]
    assert all(each.get("tabindex") == "0" and each.get("aria-label") for each in regions)


@pytest.mark.parametrize("value", [None, 3, "x", [], {}, [1], {"a": 1}])
@pytest.mark.parametrize("field", ["status", "rollout", "stable", "conditions", "variants", "monitor", "history"])
def test_a_status_of_another_shape_is_no_failure(field: str, value: Any) -> None:
    body = fleets.model("m", rollout=fleets.rollout("m", "Progressing", "x", fleets.CANARY))
    if field == "status":
        body["status"] = value
    else:
        body["status"][field] = value
    assert drawn([body]).all("details")


@pytest.mark.parametrize(
    "gate",
    [{}, {"name": 1}, {"stable": {"requests": 0, "bad": 0}}, {"against": "nan", "supports": "1e999"}, {"against": "x"},
     {"candidate": {"requests": 10**400, "bad": 1}}, {"candidate": {"requests": 1, "bad": 10**400}}],
)  # fmt: skip
def test_a_gate_of_another_shape_is_no_failure(gate: Any) -> None:
    body = fleets.model("m", rollout=fleets.rollout("m", "Progressing", "x", [gate], steps=10**9, step=-3))
    assert drawn([body]).all("details")


@pytest.mark.parametrize(
    ("logarithm", "odds"),
    [("0", "1 : 1"), ("0.6931", "2 : 1"), ("-2.3026", "0.1 : 1"), ("99999", "more than 1000000 : 1"),
     ("-99999", "1e-06 : 1"), ("x", None), (None, None)],
)  # fmt: skip
def test_evidence_is_told_as_odds(logarithm: str | None, odds: str | None) -> None:
    assert _odds(logarithm) == odds


def test_a_cluster_that_does_not_answer_is_said() -> None:
    tree = parsed(page("c", Asked(), None, {}, 0.0, "kubectl: it is forbidden\nAsk for that right", NOW, 5.0))
    assert "kubectl: it is forbidden Ask for that right" in tree.text
    assert "The cluster has not answered yet" in tree.text
    old = drawn([fleets.model("m")], problem="nobody answers")
    assert "nobody answers" in old.text
    assert old.all("details"), "with what was seen before"
    assert "! Modelward" in old.text


def test_an_empty_fleet_says_so() -> None:
    assert "There is no ModelDeployment." in drawn([]).text
    assert isinstance(view(Fleet([])), View)


def test_the_policy_lets_nothing_in() -> None:
    rules = dict(each.split(" ", 1) for each in POLICY.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["frame-ancestors"] == "'none'"
    assert all(each in ("'none'", "'self'", "'script'") for each in rules.values()), "nothing inline"


def test_a_page_is_small_for_what_it_says() -> None:
    bodies = [fleets.model(f"m{each}") for each in range(200)]
    found = Fleet(models(bodies, [], []), [], [], [])
    assert len(page("c", Asked(), view(found), {}, NOW, None, NOW, 5.0)) < 700_000


def test_markup_escapes_all_but_its_own() -> None:
    assert element("p", "<", Html("<b>x</b>"), None, 3, ["&", ["'"]]) == "<p>&lt;<b>x</b>3&amp;&#x27;</p>"
    assert element("input", value='"', hidden=False, disabled=True, max=None) == '<input value="&quot;" disabled/>'
    assert flat(["a\nb", None]) == "a b"
    shown = table("t", ("a", "b", "c"), [("x", None, "y"), ("z", "", 0)])
    assert '<th scope="col">b</th>' not in shown, "nothing is in it"
    assert "<td>0</td>" in shown


def test_drawings_stay_within_their_frame() -> None:
    over = drawings.shares([("stable", 90), ("candidate", 50), ("variant", -7)])
    wide = [float(each) for each in re.findall(r'width="([\d.]+)"', over)]
    assert wide == [100, 90, 10, 0]
    assert 'width="100.00"' in drawings.against(1e300, 0.2)
    assert 'width="0.00"' in drawings.against(-1.0, 0.2)
    assert 'width="0.00"' in drawings.against(0.0, 0.0)
    assert drawings.trail([0.1], 0.2) is None
    heights = [float(each) for each in re.findall(r",([\d.-]+)", drawings.trail([0.0, 0.1, -5.0, 9.0], 0.2) or "")]
    assert len(heights) == 4
    assert all(0 <= each <= drawings.HIGH for each in heights)
    assert json.dumps(drawings.steps(3, 1000)).count("rect") == 20
