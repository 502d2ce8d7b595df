"""Words and tables that the sections about outcomes have in common, as HTML."""

from collections.abc import Iterable, Sequence
from html import escape

from modelward_inference.drift_report import svg
from modelward_inference.drift_report.worth import Measure, called


def of_part(segment: str, part: str) -> str:
    return f" of {segment} = {part}" if segment else ""


def name_of(metric: str) -> str:
    return escape(called(metric))


def said(measure: Measure) -> str:
    ends = interval(measure)
    return f"{measure.value:.4g}{f' ({ends})' if ends else ''}"


def interval(measure: Measure, *, percent: bool = False) -> str:
    if measure.low is None or measure.high is None:
        return "" if measure.low is None else f"from {measure.low:.4g}"
    return f"{measure.low:.2%} to {measure.high:.2%}" if percent else f"{measure.low:.4g} to {measure.high:.4g}"


def percent(level: float) -> str:
    return f"{100 * level:.6g} %"


def table(label: str, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """`rows`: of HTML."""
    head = "".join(f"<th scope=col>{each}" for each in heads)
    body = "".join(f"<tr><th scope=row>{first}{''.join(f'<td>{each}' for each in others)}" for first, *others in rows)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(label)}"><table><thead><tr>{head}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def folded(content: str, summary: str) -> str:
    return f'<div><details class="numbers"><summary>{escape(summary)}</summary>{content}</details></div>'


def figure(caption: str, drawn: str, *, square: bool = False) -> str:
    """`caption`, `drawn`: HTML."""
    kind = ' class="square"' if square else ""
    return f"<figure{kind}><figcaption>{caption}</figcaption>{drawn}</figure>"


def key(kind: str, words: str) -> str:
    """What a line or mark of a picture means. `kind`: its class."""
    return f'<span class="of-key"><i class="key {kind}"></i> {escape(words)}</span>'


def day_of(seconds: float) -> str:
    """As people say it: 29 Nov."""
    return svg.day(seconds).removesuffix(" 00:00")
