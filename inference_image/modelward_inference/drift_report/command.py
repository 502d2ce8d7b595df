"""`modelward drift report`: reads, judges, writes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from modelward_drift.errors import DriftError
from modelward_drift.judging.budget import Persistence
from modelward_drift.judging.judge import Rules
from modelward_drift.judging.policy import Policy
from modelward_drift.profiles.reference import Reference
from modelward_inference.drift_report import inputs
from modelward_inference.drift_report.findings import Window
from modelward_inference.drift_report.page import html
from modelward_inference.drift_report.policyfile import read_policy
from modelward_inference.drift_report.stored import OWN, read_stored
from modelward_inference.errors import InvalidConfiguration


def write(
    out: Path,
    *,
    reference: Path | None = None,
    windows: Path | None = None,
    data: Path | None = None,
    stored: Path | None = None,
    reader: str = OWN,
    rules: Path | None = None,
    warn: Callable[[str], None] | None = None,
) -> Path:
    """Of windows, of one table, or of what the operator has stored. `warn`: gets what was not taken of a table as it
    may have been meant. Raises InvalidConfiguration, OSError."""
    chosen = read_policy(rules) if rules else Policy()
    if stored is not None:
        kept = read_stored(stored, reader)
        return _written(out, kept.reference, kept.windows, chosen if rules else Policy(Rules(kept.settings)))
    if reference is None:
        raise InvalidConfiguration("there is nothing to compare with; give --reference")
    known = inputs.read_reference(reference)
    if windows is not None:
        given = inputs.read_windows(windows, known)
    elif data is not None:
        given = (inputs.read_data(data, known, warn),)
        absent = inputs.without_absent_outputs(given[0], known)
        single = replace(chosen.rules, persistence=Persistence())
        chosen = replace(chosen, rules=single, absent=absent)
    else:
        raise InvalidConfiguration("there is nothing to report on; give --windows, --data or --stored")
    return _written(out, known, given, chosen)


def _written(out: Path, known: Reference, given: tuple[Window, ...], policy: Policy) -> Path:
    try:
        page = html(known, given, policy)
    except DriftError as error:
        raise InvalidConfiguration(str(error)) from None
    out.write_text(page, encoding="utf-8", errors="backslashreplace")
    return out
