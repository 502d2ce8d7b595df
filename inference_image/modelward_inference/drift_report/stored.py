"""What the operator keeps of a revision: its reference and its last windows, in one ConfigMap."""

import base64
import gzip
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from modelward_drift.counting.counts import Counts
from modelward_drift.judging.judge import WindowSettings
from modelward_drift.profiles.reference import Reference
from modelward_inference.drift_report.findings import Window
from modelward_inference.errors import InvalidConfiguration

OWN: Final = "own"
"""Whose windows are shown: those of the ModelDeployment itself. DriftPolicies have windows of their own, by uid."""

STDIN: Final = Path("-")


@dataclass(frozen=True)
class Stored:
    """`settings`: by which the operator judges the model's own windows."""

    reference: Reference
    windows: tuple[Window, ...]
    settings: WindowSettings


def read_stored(path: Path, reader: str = OWN) -> Stored:
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
        settings = _settings(body["data"].get("settings.json"), windows)
    except (KeyError, TypeError, ValueError, AttributeError, OSError, EOFError) as error:
        raise InvalidConfiguration(
            f"{where} is not what the operator keeps of a revision ({type(error).__name__}: {error}); write "
            "`kubectl get configmap REVISION-monitor -o json`"
        ) from None
    if not windows:
        raise InvalidConfiguration(f"{where} has no window that has ended yet; wait for spec.monitor.window")
    return Stored(reference, windows, settings)


def _settings(text: str | None, windows: Sequence[Window]) -> WindowSettings:
    """Earlier releases stored none: their windows are as long as they were asked to be, or longer."""
    if text is not None:
        raw = json.loads(text)
        return WindowSettings(float(raw["duration"]), int(raw["minSamples"]))
    shortest = min(((each.end or 0.0) - (each.start or 0.0) for each in windows), default=3600.0)
    return WindowSettings(max(1.0, shortest), 1)


def _window(raw: Any, reference: Reference) -> Window:
    counts = tuple(
        Counts.from_dict({"digest": profile.digest, "cells": cells, "quality": quality}, profile)
        for (cells, quality), profile in zip(raw["counts"], reference.profiles, strict=True)
    )
    return Window(counts, float(raw["start"]), float(raw["end"]))
