"""What the operator keeps of a revision: its reference and its last windows, in one ConfigMap."""

import base64
import gzip
import json
import sys
from pathlib import Path
from typing import Any, Final

from modelward_drift.counts import Counts
from modelward_drift.reference import Reference
from modelward_inference.drift_report.findings import Window
from modelward_inference.errors import InvalidConfiguration

OWN: Final = "own"
"""Whose windows are shown: those of the ModelDeployment itself. DriftPolicies have windows of their own, by uid."""

STDIN: Final = Path("-")


def read_stored(path: Path, reader: str = OWN) -> tuple[Reference, tuple[Window, ...]]:
    """The ConfigMap `<revision>-monitor` as JSON. Raises InvalidConfiguration, which names the cause and the cure."""
    text = sys.stdin.read() if path == STDIN else path.read_text()
    where = "what came by standard input" if path == STDIN else str(path)
    try:
        body = json.loads(text)
        packed = base64.b64decode(body["binaryData"]["reference.json.gz"])
        reference = Reference.from_dict(json.loads(gzip.decompress(packed)))
        readers = [name.removeprefix("window.").removesuffix(".json") for name in body["data"] if "window." in name]
        if reader not in readers:
            raise InvalidConfiguration(f"{where} has no windows of {reader!r}; it has those of {', '.join(readers)}")
        ended = json.loads(body["data"][f"window.{reader}.json"])["ended"]
        windows = tuple(_window(each, reference) for each in ended)
    except (KeyError, TypeError, ValueError, AttributeError, OSError, EOFError) as error:
        raise InvalidConfiguration(
            f"{where} is not what the operator keeps of a revision ({type(error).__name__}: {error}); write "
            "`kubectl get configmap REVISION-monitor -o json`"
        ) from None
    if not windows:
        raise InvalidConfiguration(f"{where} has no window that has ended yet; wait for spec.monitor.window")
    return reference, windows


def _window(raw: Any, reference: Reference) -> Window:
    counts = tuple(
        Counts.from_dict({"digest": profile.digest, "cells": cells, "quality": quality}, profile)
        for (cells, quality), profile in zip(raw["counts"], reference.profiles, strict=True)
    )
    return Window(counts, float(raw["start"]), float(raw["end"]))
