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
from modelward_inference.drift_report.from_memory import read_memory
from modelward_inference.drift_report.from_result import read_parity, read_result
from modelward_inference.drift_report.page import html, html_of_outcomes
from modelward_inference.drift_report.policyfile import read_policy
from modelward_inference.drift_report.stored import OWN, read_stored
from modelward_inference.drift_report.worth import FeatureParity, Worth
from modelward_inference.errors import InvalidConfiguration

OfOutcomes = tuple[Worth | None, FeatureParity | None]


def write(
    out: Path,
    *,
    reference: Path | None = None,
    windows: Path | None = None,
    data: Path | None = None,
    stored: Path | None = None,
    reader: str = OWN,
    rules: Path | None = None,
    memory: Path | None = None,
    outcomes: Path | None = None,
    parity: Path | None = None,
    warn: Callable[[str], None] | None = None,
) -> Path:
    """Of windows, of one table, or of what the operator has stored; and of what outcomes say: what a policy's operator
    remembers (`memory`), or results of the evaluator. `warn`: gets what was not taken of a table as it may have been
    meant. Raises InvalidConfiguration, OSError."""
    chosen = read_policy(rules) if rules else Policy()
    of_outcomes = _of_outcomes(memory, outcomes, parity)
    if stored is windows is data is None:
        if reference is None and any(of_outcomes):
            return _saved(out, html_of_outcomes(*of_outcomes))
        raise InvalidConfiguration(
            "there is nothing to report on; give --windows, --data or --stored"
            + (
                f"; {memory} says nothing of outcomes yet"
                if memory and not any(of_outcomes)
                else ", or --outcomes alone"
            )
        )
    if stored is not None:
        kept = read_stored(stored, reader)
        return _written(
            out, kept.reference, kept.windows, chosen if rules else Policy(Rules(kept.settings)), of_outcomes
        )
    if reference is None:
        raise InvalidConfiguration("there is nothing to compare with; give --reference")
    known = inputs.read_reference(reference)
    if windows is not None:
        given = inputs.read_windows(windows, known)
    else:
        assert data is not None
        given = (inputs.read_data(data, known, warn),)
        absent = inputs.without_absent_outputs(given[0], known)
        single = replace(chosen.rules, persistence=Persistence())
        chosen = replace(chosen, rules=single, absent=absent)
    return _written(out, known, given, chosen, of_outcomes)


def _of_outcomes(memory: Path | None, outcomes: Path | None, parity: Path | None) -> OfOutcomes:
    """What is given by name goes before what a policy remembers. Raises InvalidConfiguration, OSError."""
    worth, equal = read_memory(memory) if memory is not None else (None, None)
    return (
        read_result(outcomes) if outcomes is not None else worth,
        read_parity(parity) if parity is not None else equal,
    )


def _written(out: Path, known: Reference, given: tuple[Window, ...], policy: Policy, of_outcomes: OfOutcomes) -> Path:
    try:
        page = html(known, given, policy, *of_outcomes)
    except DriftError as error:
        raise InvalidConfiguration(str(error)) from None
    return _saved(out, page)


def _saved(out: Path, page: str) -> Path:
    out.write_text(page, encoding="utf-8", errors="backslashreplace")
    return out
