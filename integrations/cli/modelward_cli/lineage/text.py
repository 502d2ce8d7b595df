"""The same for a person at a terminal."""

from collections.abc import Iterator, Sequence
from typing import Final

from modelward_cli.layout import plain
from modelward_cli.lineage.answers import SHADOW, Answer
from modelward_cli.lineage.compare import Difference, differences
from modelward_cli.lineage.document import Found, Report
from modelward_cli.lineage.origin import CANDIDATE, KEPT, LEAVING, REMOVED, STABLE, Origin

WIDE: Final = 14
"""Columns of the names at the left."""

CELL: Final = 40
"""Characters of a value that is set beside another one."""

ROLES: Final = {
    STABLE: "the stable revision", CANDIDATE: "the candidate", KEPT: "an earlier stable revision that still runs",
    REMOVED: "an earlier stable revision that is gone; status keeps what it was", LEAVING: "not in use any more",
}  # fmt: skip

Row = tuple[str, str | Sequence[str] | None]
"""A name, and a value or several lines of it; None: there is none."""


def text(report: Report) -> str:
    parts = ["\n".join(_block(each)) for each in report.found]
    notes = [plain(note) for note in report.notes]
    return "\n\n".join([*parts, *(["\n".join(notes)] if notes else [])]) + "\n"


def _block(found: Found) -> Iterator[str]:
    of = found.origin
    yield f"{plain(of.revision)}  {_role(of)}"
    if not found.certain and not found.answers:
        share = (
            "it is not known with what share of the requests"
            if found.share is None
            else f"with {found.share} % of the requests"
        )
        yield f"  possible: {share}"
    for each in found.answers:
        yield from _line("answered", _answer(each))
    for name, value in _rows(of):
        yield from _line(name, value)
    before = found.before
    yield ""
    if before is None:
        yield "  Nothing was stable before it, or nobody knows of it any more."
        return
    told = [f"{before.revision}{_version(before)}", _period(before), "(gone)" if before.gone else ""]
    way = "before it" if of.since else "beside it, what is stable now"
    yield f"  {way}: {plain('  '.join(filter(None, told)))}"
    yield from _table(differences(before, of))


def _role(of: Origin) -> str:
    shares = [f"{of.weight} % of the requests" if of.weight else "", f"copies of {of.mirror} %" if of.mirror else ""]
    told = ", ".join([f"{ROLES.get(of.role, of.role)} of {of.model}", *filter(None, shares)])
    return plain(told)


def _answer(each: Answer) -> str:
    way = {SHADOW: " from a copy of the request: nobody saw this answer", "direct": ""}.get(each.arm, f" as {each.arm}")
    return f"{each.time or 'at an unknown time'}{way}, pod {each.pod}"


def _rows(of: Origin) -> Iterator[Row]:
    where = f"alias {of.alias}" if of.alias else ""
    registry = f"registry {of.registry}" if of.registry else ""
    beside = ", ".join(filter(None, (where, registry)))
    name = of.text("name")
    yield "model", f"{name or of.model}{_version(of)}{f' ({beside})' if beside else ''}" if of.version or name else None
    yield "stable", _period(of) or None
    yield "artifact", " ".join(filter(None, (of.uri, of.digest))) or None
    yield "signed by", of.signed_by
    yield "run", of.text("runId")
    yield "logged model", of.text("modelId")
    yield "retraining run", of.run
    yield "commit", " ".join(filter(None, (of.text("commit"), of.commit_url or of.text("repository")))) or None
    yield "data sets", _pairs(of.data_sets)
    pinned = of.features.get("digest") or "(its definitions are not pinned)"
    yield "features", f"{of.features.get('service', '')} {pinned}" if of.features else None
    for group in ("parameters", "metrics", "frameworks", "signature"):
        yield group, _pairs(list(of.texts(group).items()))
    approval = of.text("approval")
    yield "registered by", of.text("registeredBy")
    yield (
        "approved by",
        f"{of.text('approvedBy')}{f': {approval}' if approval else ''}" if of.text("approvedBy") else None,
    )
    if not of.lineage:
        yield "lineage", "no registry told where it came from" if of.version is None else "the registry told none"


def _pairs(pairs: Sequence[tuple[str, str]]) -> Sequence[str]:
    width = max((len(name) for name, _ in pairs), default=0)
    return [f"{name:{width}}  {value}".rstrip() for name, value in pairs]


def _line(name: str, value: str | Sequence[str] | None) -> Iterator[str]:
    lines = [value] if isinstance(value, str) else value or ()
    for index, line in enumerate(lines):
        yield f"  {name if index == 0 else '':{WIDE}}  {plain(line)}"


def _version(of: Origin) -> str:
    return f" version {of.version}" if of.version else ""


def _period(of: Origin) -> str:
    since, until = f"since {of.since}" if of.since else "", f"until {of.until}" if of.until else ""
    return plain(" ".join(filter(None, (since, until))))


def _table(rows: Sequence[Difference]) -> Iterator[str]:
    if not rows:
        yield "  Of what is known of both, nothing differs."
        return
    cells = [(plain(each.what), _cut(each.before), _cut(each.now), _change(each)) for each in rows]
    head = ("differs in", "before", "now", "")
    widths = [max(len(row[column]) for row in (head, *cells)) for column in range(3)]
    for row in (head, *cells):
        yield "  " + "  ".join(f"{cell:{width}}" for cell, width in zip(row, (*widths, 0), strict=True)).rstrip()


def _cut(value: str | None) -> str:
    shown = plain(value) if value else "-"
    return shown if len(shown) <= CELL else f"{shown[: CELL - 1]}…"


def _change(each: Difference) -> str:
    if not each.what.startswith("metrics.") or each.before is None or each.now is None:
        return ""
    try:
        return f"{float(each.now) - float(each.before):+.4g}"
    except ValueError:
        return ""
