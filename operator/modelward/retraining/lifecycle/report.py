"""What a training run writes into its termination message, or answers: JSON, read without trust."""

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from modelward.net.untrusted import decoded, quoted
from modelward.retraining.lifecycle.run import Artifact, Holdout, Report

EXAMPLE: Final = '{"modelUri": "s3://models/fraud/5/fraud.tar"}'

LONGEST_URI: Final = 1024
"""Characters, as spec.model.uri may have."""

LONGEST_VERSION: Final = 253
"""Characters: a registry's are shorter, and status keeps it."""

LONGEST_METRIC: Final = 100
"""Characters of a metric's name that are told."""

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class ReportError(ValueError):
    """The run ended well, but does not tell what it made."""


def read_report(text: str) -> Report:
    """Raises ReportError."""
    if not text.strip():
        raise ReportError(f"it wrote nothing; write JSON such as {EXAMPLE} to /dev/termination-log")
    try:
        return parse_report(decoded(text))
    except ValueError as error:
        if isinstance(error, ReportError):
            raise
        cut = " (a message is cut at 4096 bytes)" if len(text.encode()) >= 4096 else ""
        raise ReportError(f"it wrote no JSON{cut}: {quoted(text, 120)!r}; write such as {EXAMPLE}") from None


def parse_report(raw: Any) -> Report:
    """Raises ReportError."""
    if not isinstance(raw, Mapping) or not isinstance(raw.get("modelUri"), str) or not raw["modelUri"].strip():
        raise ReportError(f"it does not name its model; write such as {EXAMPLE}")
    if len(raw["modelUri"].strip()) > LONGEST_URI:
        raise ReportError(
            f"its modelUri has more than {LONGEST_URI} characters; publish the model under a shorter address"
        )
    if not raw["modelUri"].strip().isprintable():
        raise ReportError(f"its modelUri has control characters: {quoted(raw['modelUri'])!r}; write the address alone")
    digest = raw.get("digest")
    if digest is not None and not (isinstance(digest, str) and _DIGEST.fullmatch(digest)):
        raise ReportError(f"its digest is {quoted(digest)!r}; write sha256: and 64 hex digits, or leave it out")
    metrics = raw.get("metrics")
    holdout = metrics.get("holdout") if isinstance(metrics, Mapping) else None
    return Report(
        Artifact(raw["modelUri"].strip(), digest),
        _version(raw.get("version")),
        None if holdout is None else _holdout(holdout),
    )


def _version(raw: Any) -> str | None:
    """Text, or a number as text."""
    if raw is None:
        return None
    text = str(raw) if isinstance(raw, str | int | float) else ""
    if not 0 < len(text) <= LONGEST_VERSION or not text.isprintable():
        raise ReportError(
            f"its version is {quoted(raw, 60)!r}; write a text of at most {LONGEST_VERSION} characters on one line, or "
            "a number, or leave it out"
        )
    return text


def _holdout(raw: Any) -> Holdout:
    try:
        better = raw.get("higherIsBetter", True)
        current, candidate = raw["current"], raw["candidate"]
        if isinstance(better, bool) and all(type(each) in (int, float) for each in (current, candidate)):
            # A current model that can't be measured on these rows is no measure; a new one that can't is no good.
            usable = float(current) if math.isfinite(current) else math.nan
            return Holdout(quoted(raw.get("metric", "metric"), LONGEST_METRIC), usable, float(candidate), better)
    except (AttributeError, KeyError, TypeError):
        pass
    raise ReportError(
        'its metrics.holdout can\'t be read; write {"metric": "accuracy", "current": 0.91, "candidate": 0.93, '
        '"higherIsBetter": true}'
    )
