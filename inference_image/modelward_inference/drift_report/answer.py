"""The first lines: what drifted, since when, and what to do."""

from collections.abc import Sequence
from html import escape
from typing import Final

from modelward_drift.judging.policy import Policy
from modelward_inference.drift_report.findings import Finding, Since
from modelward_inference.drift_report.svg import day

SHOWN: Final = 5
"""Drifted features that the first lines name; the page has all."""

_BROKEN: Final = 0.01
"""By how much a share of bad values has to rise before a drift is first of all a question of the data."""


def title(found: Sequence[Finding]) -> str:
    """The verdict in one line."""
    judged = [each for each in found if each.last is not None]
    drifted = sum(each.drifted for each in found)
    if not judged:
        return "No feature is judged"
    few = [each.last for each in judged if each.last is not None and each.last.outcome == "TooFewRows"]
    open_ones = f"; {len(few)} can't be judged" if few else ""
    if drifted:
        return f"{drifted} of {len(judged)} features drifted{open_ones}"
    if len(few) == len(judged):
        most = max(few, key=lambda each: each.statistic.rows)
        return f"Can't be judged: {most.statistic.rows:,} of {most.rule.min_rows:,} rows"
    return f"None of {len(judged) - len(few)} features drifted{open_ones}"


def is_open(found: Sequence[Finding]) -> bool:
    """Whether nothing can be said of the window, good or bad."""
    return all(each.last is None or each.last.outcome == "TooFewRows" for each in found) and not any(
        each.drifted for each in found
    )


def answer(found: Sequence[Finding], policy: Policy, rows: int) -> str:
    """HTML; empty where nothing drifted."""
    drifted = by_urgency(found)
    if not drifted:
        if not is_open(found) or not any(each.last for each in found):
            return ""
        return (
            f"<p>A verdict needs {policy.rules.window.min_samples:,} rows (<code>window.minSamples</code>), and there "
            f"are {rows:,}: that nothing is called drifted says nothing. Give more rows, or a policy that needs fewer."
            "</p>"
        )
    lines = "".join(f"<li>{_line(each)}" for each in drifted[:SHOWN])
    more = f"<li>{len(drifted) - SHOWN} more, below" if len(drifted) > SHOWN else ""
    todo = "".join(f"<li>{each}" for each in _todo(drifted, policy))
    return f'<div class="answer"><ul class="what">{lines}{more}</ul><h2>What to do</h2><ol>{todo}</ol></div>'


def by_urgency(found: Sequence[Finding]) -> list[Finding]:
    """The drifted features: data quality first, then what drifted by bad values, then the worst."""
    return sorted((each for each in found if each.drifted), key=lambda each: (not each.is_quality, not broken(each)))


def broken(finding: Finding) -> bool:
    """Whether bad values are what drifted, or a part of it."""
    if finding.is_quality:
        return True
    seen, rows = finding.quality, max(finding.counts.rows, 1)
    before, now = finding.missing
    return now - before >= _BROKEN or max(seen.type_errors, seen.non_finite) >= _BROKEN * rows


def since(found: Since | None) -> str:
    """As "since 29 Nov 20:00, 18 windows"; empty for a table that has no time."""
    if found is None or found.start is None:
        return ""
    windows = f"{found.windows} window{'s' if found.windows != 1 else ''}"
    some = f", {found.drifted} of them drifted" if found.drifted < found.windows else ""
    earlier = " or earlier" if found.earlier and found.windows > 1 else ""
    return f"since {day(found.start)}{earlier}, {windows}{some}"


def why(finding: Finding) -> str:
    """The causes as one sentence, without a full stop."""
    return "; ".join(finding.causes[:2])


def _line(finding: Finding) -> str:
    when, action = since(finding.since), f" Policy: {finding.action}." if finding.action else ""
    reason = escape(why(finding))
    if not finding.last or not finding.last.drifted:
        reason = f"{reason + '; ' if reason else ''}the last window alone is not drifted"
    parts = [each for each in (reason, when) if each]
    return f"<b>{escape(finding.feature.name)}</b>: {', '.join(parts)}.{action}"


def _todo(drifted: Sequence[Finding], policy: Policy) -> list[str]:
    bad = [each for each in drifted if broken(each)]
    steps = []
    if bad:
        steps.append(
            f"<b>Look at the data first.</b> {_names(bad)}: values are missing, new, or wrong. Find out at the source "
            "why. A model that learns from broken data is worse."
        )
    steps += [f"{escape(hint)}." for each in drifted if (hint := each.hint)][:SHOWN]
    actions = {kind: [each for each in drifted if each.action == kind] for kind in ("Hold", "Retrain", "Warn")}
    if policy.actions is None:
        steps.append(
            "No DriftPolicy was given (<code>--rules</code>), so nothing follows by itself. If the change is real and "
            "the data are sound, train the model anew with rows of these windows."
        )
    elif actions["Retrain"] and not policy.trains:
        steps.append("The policy has no <code>retrain</code>, or is suspended: no run starts. Train the model anew.")
    elif actions["Retrain"] and actions["Hold"]:
        steps.append(
            f"The policy starts no run for {_names(actions['Retrain'])} as long as there is drift of "
            f"{_names(actions['Hold'])}."
        )
    elif actions["Retrain"]:
        steps.append(
            f"The policy retrains for {_names(actions['Retrain'])}, outside of its cooldown: see "
            "<code>kubectl get driftpolicies</code>."
        )
    elif actions["Hold"]:
        steps.append(f"The policy warns of {_names(actions['Hold'])}, and starts no run for a drift meanwhile.")
    if actions["Warn"]:
        steps.append(f"The policy only warns of {_names(actions['Warn'])}: whether that matters is yours to decide.")
    return steps


def _names(found: Sequence[Finding]) -> str:
    names = [escape(each.feature.name) for each in found]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(f"<b>{each}</b>" for each in names[:3]) + more


def effect(metric: str, value: float) -> str:
    """How large a PSI is, by the usual words; empty for other metrics.

    Below 0.1, to 0.25 and above: Siddiqi, Credit Risk Scorecards, 2006.
    """
    if metric != "psi":
        return ""
    return "small" if value < 0.1 else "moderate" if value < 0.25 else "large"
