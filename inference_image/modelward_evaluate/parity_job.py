"""Feature parity as a Job of the operator's: what it is asked, and what it tells in the message of its pod.

The columns that are told are the worst ones. Values of features are people's: they are in no message but where the
policy asks for examples.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field

from modelward_evaluate.inputs import of_days
from modelward_evaluate.parity import Parity, check
from modelward_evaluate.report import VERSION, cut, short
from modelward_evaluate.sources import listing, logged

FIELD: Final = "parity"
"""By which such a Job is told from others."""

WORST: Final = 3
"""Columns of which examples are told."""

COLUMNS: Final = 40
"""That are told, the worst first."""


class ParityJob(BaseModel):
    """`revision`: whose log it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    parity: Parity
    revision: Annotated[str, Field(min_length=1)]


def run(job: ParityJob) -> dict[str, Any]:
    """As JSON. Raises EvaluationError."""
    asked = job.parity
    files = asked.features.files
    if files is not None and not listing(files).paths:
        return _nothing(job, "features")
    found, of_log = logged(asked.predictions)
    if not (of_days(of_log, asked) if of_log else found.paths):
        return _nothing(job, "predictions")
    return told(check(asked), job)


def told(found: Mapping[str, Any], job: ParityJob) -> dict[str, Any]:
    """`found`: as `check` returns it."""
    counts, columns = found["counts"], found["columns"]
    wrong = set(found["unequal"])
    first = [each for each in columns if each["column"] in wrong] + [
        each for each in columns if each["column"] not in wrong
    ]
    examples = [
        [cut(each["column"]), *(_text(one[name]) for name in ("request_id", "row", "logged", "feature"))]
        for each in first[:WORST]
        if each["column"] in wrong
        for one in each["examples"][: job.parity.examples]
    ]
    return {
        "v": VERSION,
        "revision": job.revision,
        "rows": counts["compared"],
        "counts": counts,
        "checked": len(columns),
        "unequal": len(wrong),
        "examples": examples,
        "columns": [_row(each, each["column"] in wrong) for each in first if each["share"]][:COLUMNS],
    }


def _row(each: Mapping[str, Any], is_wrong: bool) -> list[Any]:
    share = each["share"]
    ends = (short(share["value"]), short(share["low"]), short(share["high"]))
    missing = (each["loggedMissing"], each["featureMissing"])
    return [
        cut(each["column"]), cut(each["feature"]), int(is_wrong), *ends, share["rows"], each["unequal"], *missing,
        each["since"],
    ]  # fmt: skip


def _nothing(job: ParityJob, of: str) -> dict[str, Any]:
    """There are no files of it."""
    return {"v": VERSION, "revision": job.revision, "rows": 0, "nothing": of}


def _text(value: Any) -> str:
    return "" if value is None else cut(str(value))
