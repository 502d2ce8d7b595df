"""A DriftPolicy from a file: what its spec says of judging, with the CRD's defaults. Raises InvalidConfiguration.

The API server has checked what comes from a cluster; a file that was written by hand is checked here.
"""

import json
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Final

from modelward_drift.judging.badvalues import Limits
from modelward_drift.judging.budget import Persistence
from modelward_drift.judging.judge import FeatureRule, Rules, WindowSettings
from modelward_drift.judging.policy import ACTIONS, Actions, Policy
from modelward_drift.metrics.registry import metric
from modelward_inference.errors import InvalidConfiguration

_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}

_OUTPUTS: Final = ("Judge", "Ignore")

_QUALITY: Final = {
    "missing": "missing",
    "newCategories": "new_categories",
    "outOfRange": "out_of_range",
    "typeErrors": "type_errors",
    "nonFinite": "non_finite",
}

_Raw = Mapping[str, Any]


def read_policy(path: Path) -> Policy:
    """A DriftPolicy as JSON (`kubectl get driftpolicy NAME -o json`), or its spec alone."""
    try:
        raw = json.loads(path.read_text())
        return policy_from(_section(raw, "spec") if isinstance(raw, Mapping) and "spec" in raw else _mapping(raw))
    except json.JSONDecodeError as error:
        raise InvalidConfiguration(f"{path} is no JSON: {error}") from None
    except (KeyError, TypeError, ValueError) as error:  # DriftError is a ValueError
        raise InvalidConfiguration(
            f"{path} has no rules that can be read: {error}; write them as in a DriftPolicy's spec"
        ) from None


def policy_from(spec: _Raw) -> Policy:
    """Of a spec. Raises KeyError, TypeError and ValueError where it is none."""
    window, features, actions = (_section(spec, name) for name in ("window", "features", "actions"))
    persistence, alarms, quality = (
        _section(spec, "persistence"),
        _section(spec, "falseAlarms"),
        _section(features, "dataQuality"),
    )
    wanted = _one_of("features.outputs", features.get("outputs", "Judge"), _OUTPUTS)
    _known("features.dataQuality", quality, _QUALITY)
    return Policy(
        rules=Rules(
            WindowSettings(_duration(window.get("duration", "24h")), int(window.get("minSamples", 500))),
            _rule(_section(features, "default")),
            {str(each["name"]): _rule(each) for each in features.get("overrides") or ()},
            frozenset(map(str, features.get("ignore") or ())),
            float(alarms.get("maxPer30Days", 0.05)),
            Persistence(int(persistence.get("needed", 1)), int(persistence.get("windows", 1))),
        ),
        outputs=wanted == "Judge",
        limits=Limits(**{_QUALITY[name]: _share(name, limit) for name, limit in quality.items() if limit is not None}),
        actions=Actions(
            *(
                _one_of(f"actions.{name}", actions.get(name, usual), ACTIONS)
                for name, usual in (("inputs", "Retrain"), ("outputs", "Retrain"), ("dataQuality", "Hold"))
            )
        ),
        trains=spec.get("retrain") is not None and not spec.get("suspend", False),
    )


def _rule(raw: _Raw) -> FeatureRule:
    rule = FeatureRule(str(raw.get("metric", "psi")), float(raw.get("threshold", 0.2)))
    metric(rule.metric)
    return rule


def _section(raw: _Raw, name: str) -> _Raw:
    found = raw.get(name)
    return {} if found is None else _mapping(found, name)


def _mapping(raw: Any, name: str = "it") -> _Raw:
    if not isinstance(raw, Mapping):
        raise TypeError(f"{name} is no object but {str(raw)[:50]!r}")
    return raw


def _known(where: str, raw: _Raw, names: Collection[str]) -> None:
    unknown = sorted(raw.keys() - set(names))
    if unknown:
        raise ValueError(f"{where} has {', '.join(unknown)}; there are {', '.join(names)}")


def _one_of(where: str, value: Any, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"{where} is {value!r}; there are {', '.join(allowed)}")
    return str(value)


def _duration(text: Any) -> float:
    found = re.fullmatch(r"([0-9]+)([smh])", str(text))
    if not found:
        raise ValueError(f"{text!r} is no duration such as 1h")
    return int(found[1]) * _SECONDS[found[2]]


def _share(name: str, text: Any) -> float:
    found = re.fullmatch(r"([0-9]+(?:[.][0-9]*)?)%", str(text))
    if not found or float(found[1]) > 100:
        raise ValueError(f"features.dataQuality.{name} is {text!r}; write a percentage such as 1%")
    return float(found[1]) / 100
