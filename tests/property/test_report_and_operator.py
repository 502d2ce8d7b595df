"""The report of a window says what the operator decides on it, whatever the policy and the windows are."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelward.api.driftpolicy import parse
from modelward.drift.verdicts import UNKNOWN, Verdict, action_on, verdict_on
from modelward.monitoring.windows import Look
from modelward.monitoring.windows import Window as OperatorsWindow
from modelward_drift.building.builder import profile_of
from modelward_drift.counting.counting import count
from modelward_drift.counting.counts import Counts
from modelward_drift.errors import DriftError
from modelward_drift.profiles.reference import Feature, Reference
from modelward_inference.drift_report.findings import Window, findings
from modelward_inference.drift_report.policyfile import read_policy

RANDOM = np.random.default_rng(0)
REFERENCE = Reference(
    (
        Feature("input", "age", None, profile_of("age", "numeric", RANDOM.normal(40, 10, 3000))),
        Feature("input", "channel", None, profile_of("channel", "categorical", ["web", "shop", None] * 1000)),
        Feature("output", "score", None, profile_of("output:score", "numeric", RANDOM.random(3000))),
    )
)
NAMES = [each.name for each in REFERENCE.features]
QUALITY = ["quality:missing:age", "quality:nonFinite:output:score", "quality:newCategories:channel"]
LIMITS = st.sampled_from(["0%", "1%", "5.5%", "50%"])
RULES = {"metric": st.sampled_from(["psi", "ks", "js", "wasserstein"]), "threshold": st.sampled_from(["0", "0.1", "2"])}

SPECS = st.fixed_dictionaries(
    {},
    optional={
        "window": st.fixed_dictionaries(
            {}, optional={"duration": st.sampled_from(["30s", "1h", "24h"]), "minSamples": st.just(400)}
        ),
        "features": st.fixed_dictionaries(
            {},
            optional={
                "default": st.fixed_dictionaries({}, optional=RULES),
                "overrides": st.lists(
                    st.fixed_dictionaries({"name": st.sampled_from([*NAMES, *QUALITY, "absent"])}, optional=RULES),
                    max_size=2,
                    unique_by=lambda each: each["name"],
                ),
                "ignore": st.lists(st.sampled_from([*NAMES, *QUALITY]), max_size=2, unique=True),
                "outputs": st.sampled_from(["Judge", "Ignore"]),
                "dataQuality": st.fixed_dictionaries(
                    {},
                    optional=dict.fromkeys(
                        ["missing", "newCategories", "outOfRange", "typeErrors", "nonFinite"], LIMITS
                    ),
                ),
            },
        ),
        "falseAlarms": st.fixed_dictionaries({}, optional={"maxPer30Days": st.sampled_from(["0.001", "1"])}),
        "persistence": st.sampled_from([{"needed": 2, "windows": 3}, {"needed": 1, "windows": 2}, {}]),
        "actions": st.fixed_dictionaries(
            {},
            optional=dict.fromkeys(["inputs", "outputs", "dataQuality"], st.sampled_from(["Retrain", "Warn", "Hold"])),
        ),
    },
)


@st.composite
def windows(draw: st.DrawFn) -> tuple[Counts, ...]:
    """At least minSamples rows: the operator ends none before."""
    random, rows = np.random.default_rng(draw(st.integers(0, 99))), 600
    age = random.normal(40 + draw(st.sampled_from([0, 0, 8])), 10, rows)
    score = random.random(rows)
    for column, value in ((age, np.nan), (score, np.inf)):
        column[random.random(rows) < draw(st.sampled_from([0, 0, 0.03, 0.2]))] = value
    names: list[Any] = ["web", "shop", draw(st.sampled_from([None, "new"]))] * (rows // 3)
    return tuple(count(*each) for each in zip(REFERENCE.profiles, (age, names, score), strict=True))


@pytest.mark.parametrize("bare", [True, False])
@settings(max_examples=75, suppress_health_check=list(HealthCheck), deadline=None)
@given(spec=SPECS, seen=st.lists(windows(), min_size=1, max_size=4))
def test_they_agree(
    tmp_path_factory: pytest.TempPathFactory, bare: bool, spec: dict[str, Any], seen: list[tuple[Counts, ...]]
) -> None:
    metadata = {"namespace": "n", "name": "p", "uid": "u"}
    policy = parse({"metadata": metadata, "spec": {"target": {"name": "m"}, **spec}})
    path: Path = tmp_path_factory.mktemp("p") / "policy.json"
    path.write_text(json.dumps(spec if bare else {"kind": "DriftPolicy", "spec": spec}))

    verdict = Verdict()
    for number, counts in enumerate(seen):
        window = OperatorsWindow("r", REFERENCE.digest, 3600.0 * number, 3600.0 * (number + 1), counts)
        verdict = verdict_on(policy, "r", Look(REFERENCE, None, window), verdict, fresh=False)
    given_windows = [Window(each, 3600.0 * at, 3600.0 * (at + 1)) for at, each in enumerate(seen)]
    try:
        found = findings(REFERENCE, given_windows, read_policy(path))
    except DriftError as error:
        refused = str(error)
    else:
        refused = ""
    assert (verdict.verdict == UNKNOWN) == bool(refused)
    if refused:
        assert refused in verdict.message
        return
    assert {each.feature.name for each in found if each.drifted} == set(verdict.drifted)
    assert sum(each.last is not None for each in found) == verdict.judged
    assert all(each.action == action_on(policy.spec, each.feature.name) for each in found)
    cuts = {each.feature.name: each.last for each in found if each.last is not None}
    for told in verdict.features:
        last = cuts[told["name"]]
        assert (told["value"], told["cut"]) == (f"{last.statistic.value:.4g}", f"{last.cut:.4g}")
        assert told["outcome"] == last.outcome
