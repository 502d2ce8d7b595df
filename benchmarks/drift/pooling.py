"""What the operator pays for a look: the readings of 200 pods, pooled and judged, beside reading them as JSON."""

import json
from dataclasses import dataclass
from time import process_time
from typing import Final

import numpy as np

from modelward.monitoring import pooling, windows
from modelward.monitoring.judging import Rules, judged
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.reading import Reading
from modelward_drift.judging.judge import WindowSettings
from modelward_drift.judging.verdict import Decision
from modelward_drift.profiles.reference import Feature, Reference

PODS: Final = 200
FEATURES: Final = 100
ROWS: Final = 1000
REPEATS: Final = 5


@dataclass(frozen=True)
class Pooling:
    """Seconds of CPU a look, the best of REPEATS; `json`: of them json.loads; `size`: bytes."""

    seconds: float
    json: float
    size: int


def run(pods: int = PODS, features: int = FEATURES, repeats: int = REPEATS) -> Pooling:
    reference, documents = readings(pods, features)
    looks, loads = [], []
    for _ in range(repeats):
        started = process_time()
        for document in documents:
            json.loads(document)
        loads.append(process_time() - started)
        started = process_time()
        look(reference, documents)
        looks.append(process_time() - started)
    return Pooling(min(looks), min(loads), sum(map(len, documents)))


def look(reference: Reference, documents: list[bytes]) -> tuple[Decision, ...]:
    """As the operator does it: from bytes to verdicts on a window that just ended."""
    opened = pooling.opened(reference)
    book = windows.opened(opened, 0.0)
    read = [Reading.from_dict(json.loads(document), reference) for document in documents]
    pool = pooling.heard(opened, read, frozenset(each.pod for each in read))
    closed = windows.advanced(book, pool, WindowSettings(), "revision", 3600.0).closed
    return judged(reference, closed, Rules()) if closed else ()


def readings(pods: int, features: int) -> tuple[Reference, list[bytes]]:
    """A reference of numeric features and what so many pods have counted against it."""
    random = np.random.default_rng(0)
    profiles = [profile_of(f"f{index}", "numeric", random.standard_normal(10_000)) for index in range(features)]
    reference = Reference(tuple(Feature("input", each.name, None, each) for each in profiles))
    documents = []
    for pod in range(pods):
        counts = tuple(count(each, random.standard_normal(ROWS)) for each in profiles)
        reading = Reading(f"pod-{pod}", "epoch", 1, reference.digest, counts)
        documents.append(json.dumps(reading.to_dict()).encode())
    return reference, documents
