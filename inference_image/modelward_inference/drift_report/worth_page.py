"""What outcomes say, as sections of the page: quality over time, curves, segments, fairness, feature parity."""

from collections.abc import Iterable
from html import escape
from typing import Final

from modelward_inference.drift_report import markup, plots, svg, worth_parts
from modelward_inference.drift_report.worth import LEVEL, FeatureParity, LossRise, RuleState, Worth, called

DRAWN: Final = 2
"""Metrics whose days are drawn."""

ARMS: Final = 5
"""Metrics by which arms are held against the stable one."""

Section = tuple[str, str, str]
"""Id, heading, and the HTML of a section."""


def title(found: Worth | None, parity: FeatureParity | None) -> str:
    """In one line, of a page that is about outcomes alone."""
    if found is None:
        if parity is None or not parity.is_known:
            return "Nothing is known of feature parity yet"
        wrong = sum(each.wrong for each in parity.columns)
        return f"{wrong or 'No'} column{'' if wrong == 1 else 's'} of requests {'is' if wrong == 1 else 'are'} unequal"
    if found.broken:
        return f"{len(found.broken)} of {len(found.rules)} rules about outcomes are broken"
    rises = _rises(found.shifts)
    if rises:
        return f"The loss has risen since {markup.day_of(rises[0].since)}"
    if not found.values:
        return "Nothing is known of outcomes yet"
    name = found.metrics[0]
    return f"{markup.name_of(name)} is {found.values[name].value:.4g}"


def lead(found: Worth | None, parity: FeatureParity | None) -> str:
    """The first lines: what is worse than it may be, else what the model is worth."""
    lines = [] if found is None else list(_lead(found))
    wrong = [each for each in parity.columns if each.wrong] if parity is not None else []
    if wrong:
        names = ", ".join(f"<b>{escape(each.column)}</b>" for each in wrong[:3])
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        lines.append(f"Requests have other values than the training pipeline: {names}{more}.")
    if parity is not None and parity.problem and not parity.is_known:
        lines.append(f"<b>Nothing is known of feature parity</b>: {escape(parity.problem)}")
    if not lines:
        return ""
    return f'<div class="answer"><h2>By outcomes</h2><ul>{"".join(f"<li>{each}" for each in lines)}</ul></div>'


def _lead(found: Worth) -> Iterable[str]:
    for each in found.broken:
        yield f"{_rule(each)}."
    rises = _rises(found.shifts)
    if rises and not any(each.kind == "concept" for each in found.broken):
        worst = rises[0]
        yield (
            f"<b>Concept drift</b>{escape(markup.of_part(worst.segment, worst.part))}: the loss rose by "
            f"{worst.rise.value:.3g} from {worst.before:.3g} since {markup.day_of(worst.since)}."
        )
    if found.values and not found.is_bad:
        name = found.metrics[0]
        value = markup.said(found.values[name])
        yield f"{markup.name_of(name)} is {value}, by outcomes of {found.rows:,} predictions."
    if found.problem:
        yield f"<b>Nothing newer is known of its outcomes</b>: {escape(found.problem)}"


def _rises(shifts: Iterable[LossRise]) -> list[LossRise]:
    """Those that are sure; of all rows first."""
    return sorted((each for each in shifts if each.alarm), key=lambda each: (bool(each.segment), -each.rise.value))


def _rule(each: RuleState) -> str:
    since = (
        f", since {markup.day_of(each.since)}"
        if each.breached and each.since is not None and "since" not in each.message
        else ""
    )
    said = f": {escape(each.message)}" if each.message else ""
    return f"<b>{escape(called(each.name))}</b> ({escape(each.kind)}){said}{since}"


def is_bad(found: Worth | None, parity: FeatureParity | None) -> bool:
    return (found is not None and found.is_bad) or (parity is not None and any(each.wrong for each in parity.columns))


def is_known(found: Worth | None, parity: FeatureParity | None) -> bool:
    """Whether anything is, good or bad."""
    return (found is not None and bool(found.values)) or (parity is not None and parity.is_known)


def sections(found: Worth | None, parity: FeatureParity | None) -> list[Section]:
    made: list[Section] = []
    if found is not None and (found.values or found.rules):
        made.append(("quality", "Quality", _quality(found)))
        parts = [each for each in found.parts if each.segment != found.fairness]
        if parts:
            made.append(("segments", "Segments", worth_parts.segments(found, parts)))
        if found.gaps:
            made.append(("fairness", "Fairness", worth_parts.fairness(found)))
    if parity is not None and parity.checked:
        made.append(("parity", "Feature parity", worth_parts.parity(parity)))
    return made


def _quality(found: Worth) -> str:
    if not found.values:
        return _rules(found) or "<p>Nothing is known yet.</p>"
    span = f"{svg.moment(found.begin)[:10]} to {svg.moment(found.matured)} UTC" if found.begin is not None else ""
    covered = "" if found.coverage is None else f"; outcomes came for {found.coverage:.1%} of those that matured"
    facts = {
        "Revision": escape(found.revision) or "(not named)",
        "Predictions": f"{found.rows:,} with an outcome{f', from {span}' if span else ''}{covered}",
        "Maturity": _maturity(found),
        "Intervals": f"{markup.percent(found.level)} in tables"
        + (
            f", as wide as the policy's budget of false alarms asks for; {markup.percent(LEVEL)} in pictures"
            if found.level != LEVEL
            else " and pictures"
        ),
    }
    if found.dropped:
        facts["Left out"] = (
            f"{found.dropped} values had no room in the evaluator's message; <code>python -m modelward_evaluate</code> "
            "on the same files has all"
        )
    facts_list = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items() if text)
    figures = [_over_time(found, name) for name in found.metrics[:DRAWN]]
    figures += [_roc(found), _calibration(found)]
    pictures = f'<div class="pictures">{"".join(figures)}</div>'
    tables = (_values, _day_table, _shifts, _arms)
    return f"<dl>{facts_list}</dl>{_rules(found)}{pictures}{''.join(each(found) for each in tables)}"


def _maturity(found: Worth) -> str:
    if found.now <= found.matured:
        return "no label window: each outcome counts as soon as it is there, so the newest days may still change"
    waits = f"{found.waiting:,} predictions wait" if found.waiting is not None else "newer ones wait"
    days = (found.now - found.matured) / plots.DAY
    return (
        f"predictions count when their label window of {days:.3g} days is over, so that a day never changes "
        f"afterwards; {waits}"
    )


def _rules(found: Worth) -> str:
    if not found.rules:
        return ""
    lines = "".join(
        f'<li><span class="state {"bad" if each.breached else "good" if each.known else "none"}">'
        f"{'Broken' if each.breached else 'Not broken' if each.known else 'Not known'}</span> {_rule(each)}"
        for each in sorted(found.rules, key=lambda each: not each.breached)
    )
    return f'<ul class="rules">{lines}</ul>'


def _over_time(found: Worth, name: str) -> str:
    days = [each for each in found.days if each.metric == name]
    if not days:
        return ""
    reference, estimate = found.reference.get(name), found.to_come.get(name)
    rises = [each for each in found.shifts if each.alarm and not each.segment]
    last = days[-1].measure
    shaded = found.now > found.matured
    title = (
        f"{called(name)} by day, from {days[0].measure.value:.4g} to {last.value:.4g} in {len(days)} days"
        + (f", against {reference.value:.4g} of {found.reference_name}" if reference else "")
        + (f"; most likely {estimate.value:.4g} of what has not matured" if estimate else "")
        + ("; the loss rose since " + markup.day_of(rises[0].since) if rises else "")
        + "; the numbers are in the table"
    )
    keys = [markup.key("line", "by day"), markup.key("band", "95 %")]
    keys += [markup.key("cut", found.reference_name)] * (reference is not None)
    keys += [markup.key("waiting", "outcomes still to come")] * shaded
    keys += [markup.key("guess", "most likely")] * (estimate is not None and shaded)
    keys += [markup.key("change", "another revision")] * (len({each.revision for each in days}) > 1)
    keys += [markup.key("rose", "the loss rose")] * bool(rises)
    drawn = plots.by_day(days, plots.Maturity(found.matured, found.now), reference, estimate, rises, title)
    return markup.figure(f"<b>{markup.name_of(name)}</b>: {' '.join(keys)}", drawn)


def _roc(found: Worth) -> str:
    if not found.roc:
        return ""
    area = found.values.get("rocAuc")
    said = f": area {markup.said(area)}" if area is not None else ""
    at = min(found.roc, key=lambda point: abs(point[0] - 0.1))
    title = (
        f"ROC curve{f', area {area.value:.4g}' if area is not None else ''}; at a false positive rate of {at[0]:.2g} "
        f"the true positive rate is {at[1]:.2g}"
    )
    caption = f"<b>ROC</b>{said} {markup.key('cut', 'chance')}"
    return markup.figure(caption, plots.roc(found.roc, title), square=True)


def _calibration(found: Worth) -> str:
    if not found.calibration:
        return ""
    error = found.values.get("calibrationError")
    worst = max(found.calibration, key=lambda each: abs(each.score - each.share.value) * each.share.rows)
    title = (
        f"Calibration in {len(found.calibration)} bins of scores; most of what is off is about the score "
        f"{worst.score:.2f}, of which {worst.share.value:.2f} were positive"
    )
    table = markup.table(
        "Scores", ("mean score", "share positive", "95 %", "rows"),
        [
            (f"{each.score:.4g}", f"{each.share.value:.4g}", markup.interval(each.share), f"{each.share.rows:,}")
            for each in found.calibration
        ],
    )  # fmt: skip
    said = f": error {error.value:.3g}" if error is not None else ""
    caption = f"<b>Calibration</b>{said} {markup.key('cut', 'scores are what they say')}"
    drawn = plots.calibration(found.calibration, title) + markup.folded(table, "Scores in numbers")
    return markup.figure(caption, drawn, square=True)


def _values(found: Worth) -> str:
    against, guessed = bool(found.reference), bool(found.to_come)
    heads = ["metric", "value", markup.percent(found.level), "rows"]
    heads += [found.reference_name] * against + ["not matured: most likely", "95 %"] * guessed
    rows = []
    for name in found.metrics:
        own, cells = found.values[name], [markup.name_of(name)]
        cells += [f"{own.value:.4g}", markup.interval(own), f"{own.rows:,}"]
        if against:
            cells.append(f"{found.reference[name].value:.4g}" if name in found.reference else "")
        if guessed:
            guess = found.to_come.get(name)
            cells += ["", ""] if guess is None else [f"{guess.value:.4g}", markup.interval(guess)]
        rows.append(cells)
    note = (
        "<p>What has not matured is estimated from scores and what became of earlier ones: that can't see concept "
        "drift.</p>"
    )
    return markup.table("Values", heads, rows) + note * guessed


def _day_table(found: Worth) -> str:
    drawn = found.metrics[:DRAWN]
    days = [each for each in found.days if each.metric in drawn]
    if not days:
        return ""
    rows = [
        (
            svg.moment(each.day)[:10], escape(each.revision), markup.name_of(each.metric), f"{each.measure.value:.4g}",
            markup.interval(each.measure), f"{each.measure.rows:,}",
        )
        for each in days
    ]  # fmt: skip
    return markup.folded(
        markup.table("Days", ("day", "revision", "metric", "value", "95 %", "rows"), rows), "Days in numbers"
    )


def _shifts(found: Worth) -> str:
    if not found.shifts:
        return ""
    rows = [
        (
            escape(markup.of_part(each.segment, each.part).removeprefix(" of ")) or "all rows",
            f'<span class="state {"bad" if each.alarm else "good"}">{"Rose" if each.alarm else "No rise"}</span>',
            svg.moment(each.since)[:10], f"{each.before:.4g}", f"{each.rise.value:+.4g}", markup.interval(each.rise),
            f"{each.rise.rows:,}",
        )
        for each in sorted(found.shifts, key=lambda each: (bool(each.segment), not each.alarm, -each.rise.value))
    ]  # fmt: skip
    heads = ("rows of", "", "most likely since", "loss before", "rise", "95 %", "rows since")
    return "<h3>Concept drift: has the loss risen?</h3>" + markup.table("Concept drift", heads, rows)


def _arms(found: Worth) -> str:
    rows = [
        (
            escape(each.arm),
            escape(each.revision),
            markup.name_of(name),
            f"{own.value:+.4g}",
            markup.interval(own),
            f"{own.rows:,}",
        )
        for each in found.arms
        for name, own in each.metrics.items()
        if name in found.metrics[:ARMS]
    ]
    if not rows:
        return ""
    table = markup.table("Arms", ("arm", "revision", "metric", "difference", "95 %", "rows"), rows)
    return f"<h3>Arms against the stable one</h3>{table}"
