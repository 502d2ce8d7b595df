"""Sections about parts of the rows: segments, groups of people, and columns that requests have otherwise."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Final

from modelward_inference.drift_report import markup, plots, svg
from modelward_inference.drift_report.worth import (
    SMALLER_IS_BETTER,
    FeatureParity,
    GroupGap,
    Measure,
    PartMeasure,
    Worth,
    called,
)

DRAWN: Final = 2
"""Metrics of segments that are drawn."""

SHOWN: Final = 12
"""Parts of segments, and columns, that are drawn: the worst. Tables have all."""

_MEANINGS: Final[Mapping[str, str]] = {
    "statisticalParity": "selection rates",
    "equalOpportunity": "true positive rates",
    "predictiveEquality": "false positive rates",
    "equalizedOdds": "the larger of the last two",
}


def segments(found: Worth, parts: Sequence[PartMeasure]) -> str:
    made = []
    for name in [each for each in found.metrics if any(part.metric == each for part in parts)][:DRAWN]:
        own = sorted((each for each in parts if each.metric == name), key=_badness)
        whole = found.values.get(name)
        rows = [(f"{each.segment}: {each.part}", each.measure, _apart(each.measure, whole)) for each in own[:SHOWN]]
        worst = own[0]
        title = (
            f"{called(name)} by segment, the worst first: {worst.segment} {worst.part} has {worst.measure.value:.4g}"
            + (f", all rows {whole.value:.4g}" if whole is not None else "")
        )
        more = f", the worst {SHOWN} of {len(own)}" if len(own) > SHOWN else ""
        keys = f"{markup.key('cut', 'all rows')} {markup.key('alarm', 'surely apart from them')}"
        drawn = plots.side_by_side(rows, whole.value if whole is not None else None, title)
        made.append(markup.figure(f"<b>{markup.name_of(name)}</b>{more}: {keys}", drawn))
    heads = ("segment", "value", "metric", "", markup.percent(found.level), "rows")
    table = markup.table("Segments", heads, [
        (
            escape(each.segment), escape(each.part), markup.name_of(each.metric), f"{each.measure.value:.4g}",
            markup.interval(each.measure), f"{each.measure.rows:,}",
        )
        for each in parts
    ])  # fmt: skip
    return f'<div class="pictures">{"".join(made)}</div>{markup.folded(table, "Segments in numbers")}'


def _badness(each: PartMeasure) -> float:
    return -each.measure.value if each.metric in SMALLER_IS_BETTER else each.measure.value


def _apart(own: Measure, whole: Measure | None) -> bool:
    """Its interval leaves the value of all rows out."""
    if whole is None or own.low is None or own.high is None:
        return False
    return not own.low <= whole.value <= own.high


def fairness(found: Worth) -> str:
    made = []
    for name in dict.fromkeys(each.metric for each in found.groups):
        own = [each for each in found.groups if each.metric == name][:SHOWN]
        title = f"{called(name)} by {found.fairness}: " + ", ".join(
            f"{each.part} {each.measure.value:.3g}" for each in own
        )
        drawn = plots.side_by_side([(each.part, each.measure, False) for each in own], None, title)
        made.append(markup.figure(f"<b>{markup.name_of(name)}</b> by {escape(found.fairness)}", drawn))
    left_out = max(each.left_out for each in found.gaps)
    note = f"<p>{left_out} group{'s are' if left_out > 1 else ' is'} too small to say anything of.</p>" * bool(left_out)
    heads = (
        "gap",
        "of",
        "highest",
        "lowest",
        "difference",
        markup.percent(found.level),
        "ratio",
        markup.percent(found.level),
    )
    table = markup.table("Fairness", heads, map(_gap, found.gaps))
    return f'{table}{note}<div class="pictures">{"".join(made)}</div>'


def _gap(each: GroupGap) -> Sequence[str]:
    one, other = each.difference, each.ratio
    return (
        markup.name_of(each.name), _MEANINGS.get(each.name, ""), escape(each.highest), escape(each.lowest),
        "" if one is None else f"{one.value:.4g}", "" if one is None else markup.interval(one),
        "" if other is None else f"{other.value:.4g}", "" if other is None else markup.interval(other),
    )  # fmt: skip


def parity(found: FeatureParity) -> str:
    wrong = sum(each.wrong for each in found.columns)
    days = (
        f", of requests from {svg.moment(found.begin)} to {svg.moment(found.end)} UTC"
        if found.begin is not None and found.end is not None
        else ""
    )
    said = f"{wrong} of {found.checked} columns are surely unequal" if wrong else f"{found.checked} columns were held"
    text = (
        f"<p>{said}: values as they were logged against those of the training pipeline at the time of the request, "
        f"{found.rows:,} rows{days}.</p>"
    )
    if found.problem:
        text += f"<p><b>Nothing newer is known</b>: {escape(found.problem)}</p>"
    if not found.columns:
        return text
    shown = [each for each in found.columns if each.share.value > 0][:SHOWN]
    figure = ""
    if shown:
        rows = [(each.column, each.share, each.wrong) for each in shown]
        title = "Share of unequal values by column: " + ", ".join(
            f"{each.column} {each.share.value:.2%}" for each in shown[:5]
        )
        keys = markup.key("alarm", "surely more than are allowed")
        drawn = plots.side_by_side(rows, None, title, percent=True)
        figure = f'<div class="pictures">{markup.figure(f"<b>Unequal values</b>: {keys}", drawn)}</div>'
    heads = ("column", "feature", "", "unequal", "95 %", "rows", "missing in the log", "missing in features", "since")
    table = markup.table("Feature parity", heads, [
        (
            escape(each.column), escape(each.feature),
            f'<span class="state {"bad" if each.wrong else "good"}">{"Unequal" if each.wrong else "Allowed"}</span>',
            f"{each.share.value:.2%}", markup.interval(each.share, percent=True), f"{each.share.rows:,}",
            f"{each.logged_missing:,}", f"{each.feature_missing:,}", escape(each.since),
        )
        for each in found.columns
    ])  # fmt: skip
    return text + figure + table
