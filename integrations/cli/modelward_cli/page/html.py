"""The whole page, of what was seen. Pure: the clock and the cluster are the caller's."""

from dataclasses import dataclass
from typing import Final

from modelward_cli.page.card import card
from modelward_cli.page.markup import Html, element
from modelward_cli.page.markup import table as rows_of
from modelward_cli.page.trails import Trails
from modelward_cli.page.view import STATES, PastRun, View
from modelward_cli.times import age, shown

POLICY: Final = "; ".join((
    "default-src 'none'", "style-src 'self'", "script-src 'self'", "img-src 'self'", "connect-src 'self'",
    "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'", "require-trusted-types-for 'script'",
    "trusted-types 'none'",
))  # fmt: skip
"""The Content-Security-Policy: nothing from elsewhere, nothing inline, and no text of a script becomes HTML."""


@dataclass(frozen=True)
class Asked:
    """What the browser asks for. `wanted`: a part of names; `state`: one of STATES, or empty."""

    wanted: str = ""
    state: str = ""


def page(where: str, asked: Asked, seen: View | None, trails: Trails, asof: float, problem: str | None,
         now: float, every: float) -> bytes:  # fmt: skip
    """`where`: cluster and namespaces; `seen`: None where the cluster has never answered; `asof`: when it was asked
    last and answered, `now`: both since the epoch; `every`: seconds between two looks."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", _title(seen, problem)),
        element("link", rel="stylesheet", href="page.css"),
        element("link", rel="icon", href="icon.svg", type="image/svg+xml"),
        element("script", src="page.js", defer=True),
        element("noscript", element("meta", http_equiv="refresh", content=f"{max(2, round(every))}")),
    )
    body = element(
        "body",
        element("a", "To the models", href="#models", class_="skip"),
        element(
            "header",
            element("h1", "Modelward"),
            element("p", where, class_="soft where"),
            element("p", _asof(seen, asof), class_="soft", id="asof"),
            element("button", "Pause updates", type="button", id="pause", hidden=True, aria_pressed="false"),
        ),
        element("p", class_="problem", id="silent", role="status", hidden=True),
        element("main", _main(asked, seen, trails, problem, now), id="main", data_every=round(every * 1000)),
    )
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n".encode(errors="replace")


def _title(seen: View | None, problem: str | None) -> str:
    """What a tab shows: how many are not as they should be."""
    if seen is None or problem is not None:
        return "! Modelward"
    wrong = sum(many for state, many in seen.counts.items() if state not in ("ready", "progressing", "retraining"))
    return f"({wrong}) Modelward" if wrong else "Modelward"


def _asof(seen: View | None, asof: float) -> str:
    return "The cluster has not answered yet" if seen is None else f"As of {(shown(asof) or '')[11:]}"


def _main(asked: Asked, seen: View | None, trails: Trails, problem: str | None, now: float) -> list[Html | None]:
    trouble = element("p", problem, class_="problem", role="alert") if problem else None
    if seen is None:
        return [trouble or element("p", "Asking the cluster …")]
    return [
        trouble,
        element("ul", [element("li", each) for each in seen.notes], class_="notes") if seen.notes else None,
        _counts(asked, seen),
        _filter(asked),
        element(
            "section",
            element("h2", "Models"),
            [card(each, trails, now) for each in seen.cards] or element("p", _nothing(asked, seen), class_="soft"),
            element("p", f"{seen.left_out} more are not shown; filter by name or state.") if seen.left_out else None,
            id="models",
            tabindex=-1,
        ),
        _runs(seen.runs, now),
    ]


def _counts(asked: Asked, seen: View) -> Html:
    """How many are in which state; each leads to those."""
    links = [
        element(
            "a", element("b", many), f" {STATES[state]}", href=f"?state={state}", class_=f"count state {state}",
            aria_current="true" if asked.state == state else None,
        )
        for state, many in seen.counts.items()
    ]  # fmt: skip
    everything = element("a", element("b", sum(seen.counts.values())), " in all", href="?", class_="count")
    return element("nav", everything, links, aria_label="Models by state")


def _filter(asked: Asked) -> Html:
    states = [element("option", "any state", value="")]
    states += [
        element("option", name, value=state, selected=state == asked.state) for state, name in STATES.items()
    ]  # fmt: skip
    return element(
        "form",
        element("label", "Name has ", element("input", name="q", value=asked.wanted, type="search", maxlength=253)),
        element("label", "and it is ", element("select", states, name="state")),
        element("button", "Show"),
        method="get",
        action="?",
        role="search",
    )


def _nothing(asked: Asked, seen: View) -> str:
    if asked.wanted or asked.state:
        return f"None of {sum(seen.counts.values())} models is as asked for."
    return "There is no ModelDeployment."


def _runs(runs: tuple[PastRun, ...], now: float) -> Html | None:
    if not runs:
        return None
    rows = []
    for each in runs:
        run, ago = each.run, age(each.run.created, now)
        bad = run.phase in ("Failed", "RolledBack", "Refused")
        phase = element("span", run.phase, class_="bad" if bad else "good" if run.phase == "Promoted" else None)
        rows.append((
            [element("span", f"{each.namespace}/", class_="soft"), run.name], each.target, phase, run.trigger,
            f"{ago} ago" if ago else None, each.finished, each.holdout, element("span", run.message, class_="said"),
        ))  # fmt: skip
    head = ("run", "model", "phase", "trigger", "began", "ended", "held-out rows", "")
    return element("section", element("h2", "Retraining runs"), rows_of("Retraining runs", head, rows), id="runs")
