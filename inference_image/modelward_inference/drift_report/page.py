"""The page: one HTML document without a script, and without a resource from elsewhere.

Every feature is a `details` element, so that hundreds stay quick; what is closed is not laid out.
"""

from collections.abc import Iterable, Sequence
from html import escape
from importlib.resources import files

from modelward_drift.judging.causes import percent
from modelward_drift.judging.policy import Policy
from modelward_drift.judging.verdict import Outcome
from modelward_drift.profiles.reference import Reference
from modelward_inference.drift_report import answer, svg, worth_page
from modelward_inference.drift_report.cells import Cell, cells
from modelward_inference.drift_report.findings import Finding, Window, findings
from modelward_inference.drift_report.worth import FeatureParity, Worth

OPEN = 5
"""Features that are open at first: of those that drifted, the worst."""

WORDS: dict[Outcome, str] = {
    "Drifted": "Drifted",
    "NotSignificant": "May be chance",
    "BelowThreshold": "No drift",
    "TooFewRows": "Too few rows",
}
PENDING = "Not yet"
"""Drifted in the last window, but not in as many as an alarm needs."""

UNJUDGED = "Not judged"


def html(
    reference: Reference,
    windows: Sequence[Window],
    policy: Policy,
    worth: Worth | None = None,
    parity: FeatureParity | None = None,
) -> str:
    """`windows`: at least one, in the order of time; `worth`, `parity`: what is known beside drift. Raises
    SettingError, MismatchError."""
    found = findings(reference, windows, policy)
    drifted = answer.by_urgency(found)
    unjudged = [each for each in found if not each.drifted and _class(_state(each)) == "none"]
    rest = [each for each in found if not each.drifted and each not in unjudged]
    opened = {each.feature.name for each in drifted[:OPEN]}
    state = "bad" if drifted else "none" if answer.is_open(found) else "good"
    head = f"""{answer.answer(found, policy, windows[-1].rows)}
{worth_page.lead(worth, parity)}
{_facts(reference, windows, policy, found)}"""
    features = [
        ("drifted", "Drifted", drifted),
        ("not-drifted", "Not drifted", rest),
        ("not-judged", "Not judged", unjudged),
    ]
    own: list[worth_page.Section] = [
        (place, f"{title} <span>{len(each)}</span>", _features(each, windows, policy, opened))
        for place, title, each in features
        if each
    ]
    bad = "bad" if worth_page.is_bad(worth, parity) else state
    sections = [*worth_page.sections(worth, parity), *own, _quality(found)]
    return _document("Drift report", answer.title(found), bad, head, sections)


def html_of_outcomes(worth: Worth | None, parity: FeatureParity | None) -> str:
    """Where nothing is known of windows. One of both is there."""
    state = "good" if worth_page.is_known(worth, parity) else "none"
    state = "bad" if worth_page.is_bad(worth, parity) else state
    head = worth_page.lead(worth, parity)
    return _document(
        "Report of outcomes", worth_page.title(worth, parity), state, head, worth_page.sections(worth, parity)
    )


def _document(kind: str, title: str, state: str, head: str, sections: Sequence[worth_page.Section]) -> str:
    """`head`: HTML of the first lines; `state`: good, bad or none."""
    style = files(__package__).joinpath("style.css").read_text()
    links = "".join(f'<li><a href="#{place}">{heading}</a>' for place, heading, _ in sections)
    navigation = f'<nav aria-label="Sections"><ul>{links}</ul></nav>' if len(sections) > 2 else ""
    main = "\n".join(
        f'<section id="{place}" aria-labelledby="{place}-title"><h2 id="{place}-title">{heading}</h2>'
        f"{content}</section>"
        for place, heading, content in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{kind}: {title}</title>
<style>
{style}</style>
</head>
<body>
<header class="{state}">
<p class="eyebrow">{kind}</p>
<h1>{title}</h1>
{head}
{navigation}
</header>
<main>
{main}
</main>
</body>
</html>
"""


def _facts(reference: Reference, windows: Sequence[Window], policy: Policy, found: Sequence[Finding]) -> str:
    last, rules = windows[-1], policy.rules
    judged = len([each for each in found if each.decisions])
    span = f"{svg.moment(last.start)} to {svg.moment(last.end)} UTC" if last.end is not None else "The table"
    source = "training data" if reference.source == "training" else "the first requests"
    facts = {
        "Window": f"{span}, {last.rows:,} rows"
        + (f"; the last of {len(windows)}" if len(windows) > 1 else "")
        + _others_windows(windows, policy),
        "Reference": f"{reference.rows:,} rows of {source}, <code>{escape(reference.digest[:19])}…</code>",
        "Rule": f"Drift is what reaches its threshold and is no chance. At most {rules.per_30_days:g} false alarms are "
        f"expected in 30 days, over {judged} features and a window every {_length(rules.window.duration)}"
        f"{_rows(reference)}.",
        "Cut": "What the metric has to reach: its threshold, or what chance reaches where that is more, as of few rows."
        + _ANCHORS * any(each.last is not None and each.last.statistic.metric == "psi" for each in found),
    }
    persistence = rules.persistence
    if persistence.windows > 1:
        facts["Alarm"] = f"When {persistence.needed} of the last {persistence.windows} windows drifted."
    if policy.actions is not None:
        actions = policy.actions
        facts["Actions"] = (
            f"Inputs: {actions.inputs}; outputs: {actions.outputs if policy.outputs else 'not judged'}; "
            f"data quality: {actions.data_quality}."
        )
    return f"<dl>{''.join(f'<dt>{name}</dt><dd>{text}</dd>' for name, text in facts.items())}</dl>"


def _others_windows(windows: Sequence[Window], policy: Policy) -> str:
    """Where the policy asks for longer ones: the operator judges those. Longer than asked for they may be, for rows."""
    lasted = max(
        (each.end - each.start for each in windows if each.start is not None and each.end is not None), default=0
    )
    asked = policy.rules.window.duration
    if policy.actions is None or not 0 < lasted < 0.99 * asked:
        return ""
    return (
        f". These windows last {_length(lasted)}, the policy's {_length(asked)}: the operator judges its own, which "
        "<code>--stored</code> shows by <code>--reader</code> and the policy's uid"
    )


def _rows(reference: Reference) -> str:
    """What the promise hangs on."""
    if reference.calibrated:
        return ", by how far rows hung together in the reference's own windows"
    return (
        "; rows are taken as independent, which those of one client or hour are not: windows of a whole day or week "
        "are safer (docs/which-window.md)"
    )


_ANCHORS = (
    " A PSI below 0.1 is commonly called small, from 0.1 to 0.25 moderate, above large (Siddiqi, Credit Risk "
    "Scorecards, 2006)."
)


def _features(found: Sequence[Finding], windows: Sequence[Window], policy: Policy, opened: Iterable[str]) -> str:
    return "".join(_feature(each, windows, policy, each.feature.name in opened) for each in found)


def _feature(finding: Finding, windows: Sequence[Window], policy: Policy, opened: bool) -> str:
    name, last = escape(finding.feature.name), finding.last
    state = _state(finding)
    figures = ""
    if last:
        size = answer.effect(last.statistic.metric, last.statistic.value)
        figures = (
            f"{last.statistic.metric} <b>{last.statistic.value:.3g}</b>"
            f'<span class="cutoff">{f" ({size})" if size else ""}, cut {last.cut:.3g}</span>'
        )
    summary = (
        f'<summary><span class="state {_class(state)}">{state}</span> <h3>{name}</h3> '
        f'<span class="figures">{figures}</span></summary>'
    )
    return (
        f"<details{' open' if opened else ''}>{summary}{_verdict(finding, policy)}"
        f'<div class="pictures">{_pictures(finding, windows)}</div>{_numbers(finding)}</details>\n'
    )


def _state(finding: Finding) -> str:
    if finding.drifted:
        return "Drifted"
    if finding.last is None:
        return UNJUDGED
    return PENDING if finding.last.drifted else WORDS[finding.last.outcome]


def _class(state: str) -> str:
    if state in (UNJUDGED, WORDS["TooFewRows"]):
        return "none"
    return "bad" if state == "Drifted" else "doubt" if state in (PENDING, WORDS["NotSignificant"]) else "good"


def _verdict(finding: Finding, policy: Policy) -> str:
    if finding.last is None:
        return f"<p>{'The rules ignore this feature.' if finding.counts.rows else 'There are no rows of it.'}</p>"
    message = escape(finding.last.message) + "."
    persistence = policy.rules.persistence
    if persistence.windows > 1:
        recent = finding.decisions[-persistence.windows :]
        drifted = sum(each.drifted for each in recent)
        message += f" Drifted in {drifted} of the last {len(recent)} windows; an alarm needs {persistence.needed}."
    if not (finding.drifted or finding.last.drifted):
        return f"<p>{message}</p>"
    why, when = answer.why(finding), answer.since(finding.since)
    first = ", ".join(each for each in (escape(why[:1].upper() + why[1:]), when) if each)
    hint = f"<p>{escape(finding.hint)}.</p>" if finding.hint else ""
    return f"<p><b>{first}.</b></p>{hint}<p>{message}</p>"


def _pictures(finding: Finding, windows: Sequence[Window]) -> str:
    profile, name = finding.feature.profile, finding.feature.name
    shares = _shares(finding)
    drawn = svg.histogram(
        profile, cells(finding), *shares, f"Shares of {name}, reference and window; the numbers are in the table"
    )
    figures = f"<figure><figcaption>{_LEGEND}</figcaption>{drawn}</figure>"
    if len(finding.decisions) > 1:
        metric = finding.decisions[-1].statistic.metric
        drifted = sum(each.drifted for each in finding.decisions)
        title = f"{metric} of {name} in {len(windows)} windows, and its cut; {drifted} drifted"
        line = svg.timeline(finding.decisions, [each.start for each in windows], title)
        figures += (
            f'<figure><figcaption><i class="key line"></i> {metric} <i class="key cut"></i> cut '
            f'<i class="key alarm"></i> drifted</figcaption>{line}</figure>'
        )
    return figures


_LEGEND = 'Share of rows: <i class="key reference"></i> reference <i class="key current"></i> window'


def _shares(finding: Finding) -> tuple[list[float], list[float]]:
    reference, current = finding.feature.profile.reference, finding.counts.cells
    return (reference / reference.sum()).tolist(), (current / max(current.sum(), 1)).tolist()


def _numbers(finding: Finding) -> str:
    """Cells that a side has rows in."""
    profile, counts = finding.feature.profile, finding.counts
    shares = _shares(finding)
    kind = "rows" if finding.bad else profile.kind
    numbers = zip(cells(finding), profile.counts, shares[0], counts.cells.tolist(), shares[1], strict=True)
    rows = "".join(
        f"<tr><th scope=row>{_cell(name)}<td>{before:,}<td>{share:.2%}<td>{now:,}<td>{other:.2%}"
        for name, before, share, now, other in numbers
        if before or now
    )
    return (
        '<details class="numbers"><summary>Numbers</summary><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Numbers of {escape(finding.feature.name)}"><table><thead><tr><th scope=col>{kind}'
        "<th scope=col>reference<th scope=col>share<th scope=col>window<th scope=col>share</thead>"
        f"<tbody>{rows}</tbody></table></div></details>"
    )


def _cell(cell: Cell) -> str:
    return f"<i>{cell.text}</i>" if cell.special else escape(cell.text)


def _quality(found: Sequence[Finding]) -> worth_page.Section:
    """Features with something in the window that is more than their reference had."""
    rows, own = [], [each for each in found if each.bad is None]
    for finding in sorted(own, key=lambda each: each.missing[0] - each.missing[1]):
        seen, (before, now) = finding.quality, finding.missing
        wrong = (seen.out_of_range, seen.new_categories, seen.non_finite, seen.type_errors)
        if any(wrong) or now > before:
            shares = "".join(f"<td>{_of(each, finding.counts.rows)}" for each in wrong)
            rows.append(f"<tr><th scope=row>{escape(finding.feature.name)}<td>{now:.2%}<td>{before:.2%}{shares}")
    if not rows:
        nothing = "Nothing more is missing than in the reference, and nothing is out of range, new or of a wrong type."
        return "data-quality", "Data quality", f"<p>{nothing}</p>"
    columns = ("feature", "missing", "in reference", "out of range", "new categories", "not finite", "type errors")
    heads = "".join(f"<th scope=col>{each}" for each in columns)
    return (
        "data-quality",
        f"Data quality <span>{len(rows)}</span>",
        "<p>Rows of the last window, and the share that is missing beside that of the reference.</p>"
        f'<div class="scroll" tabindex="0" role="region" aria-label="Data quality"><table><thead><tr>{heads}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>",
    )


def _of(number: int, rows: int) -> str:
    return f"{number:,} ({percent(number / rows)})" if number else "0"


def _length(seconds: float) -> str:
    """In the largest unit that it fills."""
    size, unit = next((each for each in ((3600, "h"), (60, "min")) if seconds >= each[0]), (1, "s"))
    return f"{seconds / size:.3g} {unit}"
