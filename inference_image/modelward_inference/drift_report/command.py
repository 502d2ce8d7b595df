"""`modelward drift report`: reads, judges, writes."""

from dataclasses import replace
from pathlib import Path

from modelward_drift.budget import Persistence
from modelward_drift.errors import DriftError
from modelward_drift.judging import Rules
from modelward_inference.drift_report import inputs
from modelward_inference.drift_report.page import html
from modelward_inference.errors import InvalidConfiguration


def write(reference: Path, out: Path, windows: Path | None, data: Path | None, rules: Path | None) -> Path:
    """Of windows, or of one table. Raises InvalidConfiguration, OSError."""
    known = inputs.read_reference(reference)
    chosen = inputs.read_rules(rules) if rules else Rules()
    if windows is not None:
        given = inputs.read_windows(windows, known)
    elif data is not None:
        given = (inputs.read_data(data, known),)
        absent = inputs.without_absent_outputs(given[0], known)
        chosen = replace(chosen, ignored=chosen.ignored | absent, persistence=Persistence())
    else:
        raise InvalidConfiguration("there is nothing to report on; give --windows or --data")
    try:
        page = html(known, given, chosen)
    except DriftError as error:
        raise InvalidConfiguration(str(error)) from None
    out.write_text(page, encoding="utf-8", errors="backslashreplace")
    return out
