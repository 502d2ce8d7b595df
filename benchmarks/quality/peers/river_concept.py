"""Labelled streams of the river package, and its detectors of concept drift; run in an environment of its own.

`python river_concept.py pools FILE ROWS SEED`: rows of each stream before and after its concept changes.
`python river_concept.py detect FILE REFERENCE [DETECTOR=SETTING…]`: of each detector and setting, or of those that are
named, the first alarm of each run after its reference.
"""

import json
import sys

import numpy as np
from river.datasets import synth
from river.drift import ADWIN
from river.drift.binary import DDM

STREAMS = {
    "SEA": (
        lambda seed: synth.SEA(variant=0, noise=0.1, seed=seed),
        lambda seed: synth.SEA(variant=3, noise=0.1, seed=seed),
    ),
    "STAGGER": (
        lambda seed: synth.STAGGER(classification_function=0, seed=seed),
        lambda seed: synth.STAGGER(classification_function=1, seed=seed),
    ),
    "Agrawal": (
        lambda seed: synth.Agrawal(classification_function=0, seed=seed, perturbation=0.05),
        lambda seed: synth.Agrawal(classification_function=1, seed=seed, perturbation=0.05),
    ),
    # Its weights are drawn by the seed: another seed is another plane, and none of the two moves.
    "Hyperplane": (
        lambda seed: synth.Hyperplane(seed=seed, n_features=10, n_drift_features=0, noise_percentage=0.05),
        lambda seed: synth.Hyperplane(seed=seed + 1000, n_features=10, n_drift_features=0, noise_percentage=0.05),
    ),
}
"""Before and after."""

DETECTORS = {
    "ADWIN": (
        lambda setting: ADWIN(delta=setting),
        (0.2, 0.05, 0.01, 0.002, 5e-4, 1e-4, 1e-5, 1e-7, 1e-9),
    ),
    "DDM": (
        lambda setting: DDM(warning_threshold=setting - 0.5, drift_threshold=setting),
        (2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0),
    ),
}
"""With settings from the one that alarms most to the one that alarms least."""


def pools(path: str, rows: int, seed: int) -> None:
    found = {}
    for name, sides in STREAMS.items():
        for side, made in zip(("before", "after"), sides, strict=True):
            taken = list(made(seed).take(rows))
            found[f"{name} {side} x"] = np.array([list(x.values()) for x, _ in taken], np.float64)
            found[f"{name} {side} y"] = np.array([bool(y) for _, y in taken])
    np.savez(path, **found)


def detect(path: str, reference: int, named: list[str]) -> None:
    """`path`: arrays of mistakes, shape (runs, rows), by name. Prints by name, detector and setting the first alarm of
    each run, -1 where there is none."""
    given, found = np.load(path), {}
    for name in given.files:
        of_name = found.setdefault(name, {})
        for detector, (made, settings) in DETECTORS.items():
            of_name[detector] = {
                str(setting): [first(made(setting), run.tolist(), reference) for run in given[name]]
                for setting in settings
                if not named or f"{detector}={setting}" in named
            }
    print(json.dumps(found))


def first(detector: object, mistakes: list[int], reference: int) -> int:
    for place, mistake in enumerate(mistakes):
        detector.update(mistake)
        if detector.drift_detected and place >= reference:
            return place - reference
    return -1


if __name__ == "__main__":
    if sys.argv[1] == "pools":
        pools(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
    else:
        detect(sys.argv[2], int(sys.argv[3]), sys.argv[4:])
