"""The page says what the kernel says, in HTML that holds together, whatever features are called."""

import re
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.judging.budget import Persistence
from modelward_drift.judging.judge import FeatureRule, Rules, judged
from modelward_drift.judging.policy import Policy
from modelward_drift.profiles.reference import Feature, Reference
from modelward_inference.drift_report.findings import Window, findings
from modelward_inference.drift_report.page import html

EVIL = """<script>alert("1")</script> & 'x' \u202e"""
VOID = {"meta", "br"}
OPTIONAL = {"tr", "td", "th", "thead", "tbody", "li"}
"""Whose ends the page leaves out, as HTML allows."""


class Page(HTMLParser):
    """Tags and texts of a page; fails where one is closed that is not open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID | OPTIONAL and not tag.endswith("/"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        if tag not in OPTIONAL:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(self.texts)

    def count(self, tag: str) -> int:
        return sum(found == tag for found, _ in self.tags)


def reference(names: Sequence[str] = ("amount", "age", EVIL)) -> Reference:
    random = np.random.default_rng(0)
    profiles = [profile_of(name, "numeric", random.standard_normal(5000)) for name in names]
    labels = random.choice(["card", EVIL], 5000).astype(object)
    profiles.append(profile_of("method", "categorical", labels))
    return Reference(tuple(Feature("input", "x", place, each) for place, each in enumerate(profiles)))


def window(of: Reference, shift: float, seed: int, hour: int = 0) -> Window:
    """`shift`: of the first feature."""
    random = np.random.default_rng(seed)
    counts = []
    for place, profile in enumerate(of.profiles):
        if profile.kind == "categorical":
            values: Any = random.choice(["card", EVIL], 1000).astype(object)
        else:
            values = random.standard_normal(1000) + (shift if place == 0 else 0)
        counts.append(count(profile, values))
    return Window(tuple(counts), 3600.0 * hour, 3600.0 * (hour + 1))


def test_verdicts_and_numbers_are_the_kernels() -> None:
    known = reference()
    windows = [window(known, shift, seed, seed) for seed, shift in enumerate((0.0, 1.0))]
    page = Page(html(known, windows, Policy()))
    for decision in judged(known, windows[-1].counts, Rules()):
        assert f"{decision.message}." in page.text
        assert f"{decision.statistic.value:.3g}" in page.texts
    assert "1 of 4 features drifted" in page.texts
    cells = windows[-1].counts[0].cells
    row = re.search(r"<tr><th scope=row>&lt; .*?</tbody>", html(known, windows, Policy()), re.S)
    assert row
    assert [int(each.replace(",", "")) for each in re.findall(r"<td>([0-9,]+)<td>[0-9.]+%", row[0])][1::2] == [
        each for each in cells.tolist() if each
    ]


def test_it_holds_together_and_asks_for_nothing() -> None:
    known = reference()
    text = html(known, [window(known, 1.0, 1, hour) for hour in range(3)], Policy())
    page = Page(text)
    assert page.open == []
    assert page.count("script") == page.count("link") == page.count("img") == page.count("iframe") == 0
    assert not re.search(r"https?:|url\(|@import|\b(src|href)=(?!\"#)", text)
    policy = next(attrs["content"] for tag, attrs in page.tags if attrs.get("http-equiv"))
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"
    assert page.count("h1") == 1
    assert page.count("h3") == len(known.features)
    assert page.count("svg") == 2 * len(known.features)
    assert all(attrs.get("role") == "img" for tag, attrs in page.tags if tag == "svg")


def test_names_are_shown_and_do_nothing() -> None:
    known = reference()
    text = html(known, [window(known, 0.0, 1)], Policy())
    assert "<script" not in text
    assert EVIL in Page(text).texts
    labels = [unescape(attrs["aria-label"] or "") for _, attrs in Page(text).tags if "aria-label" in attrs]
    assert f"Numbers of {EVIL}" in labels


def test_the_worst_come_first_and_only_they_are_open() -> None:
    names = [f"f{place}" for place in range(300)]
    known = reference(names)
    page = Page(html(known, [window(known, 1.0, 1)], Policy()))
    features = [attrs for tag, attrs in page.tags if tag == "details" and attrs.get("class") is None]
    assert len(features) == 301
    assert ["open" in attrs for attrs in features] == [True] + 300 * [False]
    found = findings(known, [window(known, 1.0, 1)], Policy())
    assert found[0].feature.name == "f0"


@pytest.mark.parametrize(
    ("shifts", "alarm", "words"),
    [
        ((0.0, 0.0, 1.0), False, "Drifted in 1 of the last 3 windows; an alarm needs 2."),
        ((0.0, 1.0, 1.0), True, "Drifted in 2 of the last 3 windows; an alarm needs 2."),
        ((1.0, 1.0, 0.0), True, "Drifted in 2 of the last 3 windows; an alarm needs 2."),
        ((1.0, 0.0, 0.0), False, "Drifted in 1 of the last 3 windows; an alarm needs 2."),
    ],
)
def test_persistence(shifts: tuple[float, ...], alarm: bool, words: str) -> None:
    known, rules = reference(), Rules(persistence=Persistence(2, 3))
    windows = [window(known, shift, seed, seed) for seed, shift in enumerate(shifts)]
    assert findings(known, windows, Policy(rules))[0].drifted == alarm
    text = Page(html(known, windows, Policy(rules))).text
    assert words in text
    assert ("1 of 4 features drifted" if alarm else "None of 4 features drifted") in text


def test_features_that_are_ignored_are_shown_without_a_verdict() -> None:
    known = reference()
    rules = Rules(ignored=frozenset({"amount"}), overrides={"age": FeatureRule("ks", 0.1)})
    text = Page(html(known, [window(known, 1.0, 1)], Policy(rules))).text
    assert "The rules ignore this feature." in text
    assert "None of 3 features drifted" in text
    assert "age: ks" in text


def test_data_quality() -> None:
    known = reference(("amount",))
    profile, method = known.profiles
    values = [None] * 20 + [1e9] * 7 + ["seven"] * 3 + [float("inf")] * 2 + [0.0] * 968
    bad = Window((count(profile, values), count(method, ["new"] * 5 + ["card"] * 995)))
    text = html(known, [bad], Policy())
    assert "<tr><th scope=row>amount<td>2.00%<td>0.00%<td>7 (0.7 %)<td>0<td>2 (0.2 %)<td>3 (0.3 %)" in text
    assert "<tr><th scope=row>method<td>0.00%<td>0.00%<td>0<td>5 (0.5 %)<td>0<td>0" in text
    fine = Window((count(profile, np.zeros(1000)), count(method, ["card"] * 1000)))
    assert "Nothing more is missing" in html(known, [fine], Policy())
