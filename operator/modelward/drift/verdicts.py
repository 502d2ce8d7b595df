"""The verdict on one model: from its last window, the policy's rules, earlier windows, and other signals. Pure.

A verdict is over signals (signal.py): whoever acts on it or shows it asks for `word`, `sentence` and `breached`, and
need not know of which kind they are. Its other fields are the window's alone, which is the kind that has to be
remembered window by window.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from modelward.api.driftpolicy import HOLD, IGNORE, RETRAIN, DriftPolicy, Spec
from modelward.drift.registry import action_of, signals_of
from modelward.drift.signal import WINDOW, Sight, Signal
from modelward.drift.window_signals import actions_of, window_signals
from modelward.monitoring.judging import FeatureRule, Rules
from modelward.monitoring.windows import Look, Window, WindowSettings
from modelward.values.durations import seconds, share
from modelward.values.stored import Stored
from modelward.values.times import read_time, show_time
from modelward_drift.errors import DriftError
from modelward_drift.judging.badvalues import Limits
from modelward_drift.judging.budget import Persistence
from modelward_drift.judging.causes import explained
from modelward_drift.judging.policy import Judgement, Policy, judge, lasting
from modelward_drift.judging.verdict import Decision
from modelward_drift.profiles.reference import Reference

DRIFTED, NO_DRIFT, PENDING, UNKNOWN = "Drifted", "NoDrift", "Pending", "Unknown"

SHOWN: Final = 10
"""Features whose numbers are kept."""

NAMED: Final = 100
"""Drifted features whose names are kept: more say no more, and a status must not grow without end."""


@dataclass(frozen=True)
class Judged:
    """What is kept of a window. Times: seconds since the epoch; `reference`: its digest."""

    start: float
    end: float
    rows: int
    reference: str


@dataclass(frozen=True)
class Recent:
    """A window that persistence still looks at: its end, and which features drifted in it."""

    end: float
    drifted: tuple[str, ...]


@dataclass(frozen=True)
class Verdict:
    """`drifted`: features that drift in as many windows as have to, the worst first; `features`: numbers as status
    shows them; `problem`: why the policy can't judge at all; `missing`: why there is nothing to judge (any more);
    `others`: the signals of other kinds."""

    verdict: str = PENDING
    message: str = ""
    revision: str | None = None
    window: Judged | None = None
    judged: int = 0
    drifted: tuple[str, ...] = ()
    features: tuple[Mapping[str, Any], ...] = ()
    recent: tuple[Recent, ...] = ()
    problem: str | None = None
    missing: str | None = None
    others: tuple[Signal, ...] = ()

    @property
    def kinds(self) -> dict[str, bool]:
        """By kind of signal, whether one of it is beyond its bound."""
        found = {WINDOW: bool(self.drifted)}
        for each in self.others:
            found[each.kind] = found.get(each.kind, False) or each.breached
        return found

    @property
    def signals(self) -> tuple[Signal, ...]:
        """Of all kinds, the window's first, and of these the worst."""
        return (*window_signals(self.drifted, self.features, self.window.end if self.window else None), *self.others)

    @property
    def breached(self) -> tuple[Signal, ...]:
        """Those beyond their bounds."""
        return tuple(each for each in self.signals if each.breached)

    @property
    def word(self) -> str:
        """Drifted, where any signal is beyond its bound; else what the window says."""
        return DRIFTED if any(each.breached for each in self.others) else self.verdict

    @property
    def sentence(self) -> str:
        """What was found, of every kind that found something."""
        told = [each.message for each in self.others if each.breached and each.message]
        return "; ".join([*([self.message] if self.verdict == DRIFTED or not told else []), *told])

    @property
    def lacks(self) -> str | None:
        """Why something that should be judged can't be (any more)."""
        return self.missing or next((each.missing for each in self.others if each.missing), None)

    @property
    def since(self) -> float | None:
        """Since when it is as it is: the window's end, where its features drift; else when the latest breach began."""
        if self.window is not None and self.drifted:
            return self.window.end
        return max((each.since for each in self.others if each.breached and each.since is not None), default=None)


def settings_of(spec: Spec) -> WindowSettings:
    """The windows that a policy asks for."""
    return WindowSettings(seconds(spec.window.duration), spec.window.min_samples)


def verdict_on(
    policy: DriftPolicy,
    revision: str,
    look: Look,
    last: Verdict,
    *,
    fresh: bool,
    now: float = 0.0,
    sources: Mapping[str, Any] | None = None,
) -> Verdict:
    """The verdict on `revision`. `last`: the one that is stored; `fresh`: spec has changed since; `now`, `sources`: see
    Sight.

    A window is judged once, however often it is looked at; while there is none, the last verdict on the revision stays.
    """
    kept = last if last.revision == revision else Verdict(revision=revision)
    sight = Sight(revision, kept.others, now, sources or {})
    return replace(_on_window(policy, revision, look, kept, fresh), others=signals_of(policy.spec, sight))


def _on_window(policy: DriftPolicy, revision: str, look: Look, kept: Verdict, fresh: bool) -> Verdict:
    window = look.closed if look.closed is not None and look.closed.revision == revision else None
    if window is None or look.reference is None:
        return _without_window(kept, look)
    if kept.window is not None and (window.end < kept.window.end or (window.end == kept.window.end and not fresh)):
        return _with(kept, missing=None, problem=kept.problem)
    try:
        return _judge(policy.spec, look.reference, window, kept)
    except DriftError as error:
        message = f"The rules of spec.features can't be applied: {error}"
        return Verdict(UNKNOWN, message, revision, _judged(window), problem=message)


def action_on(spec: Spec, feature: str) -> str:
    """Retrain, Warn or Hold."""
    return actions_of(spec).on(feature)


def to_retrain_for(spec: Spec, verdict: Verdict) -> tuple[str, ...]:
    """The drifted features, and other breached signals, that retraining is asked for."""
    return tuple(each.key for each in verdict.breached if action_of(spec, each) == RETRAIN)


def holding(spec: Spec, verdict: Verdict) -> tuple[str, ...]:
    """Those that hold retraining up."""
    return tuple(each.key for each in verdict.breached if action_of(spec, each) == HOLD)


def _without_window(kept: Verdict, look: Look) -> Verdict:
    if look.reference is None:
        missing = look.problem or "There is no reference to compare with yet"
        message = kept.message if kept.window else missing
        return _with(kept, missing=missing, message=message, problem=kept.problem)
    waiting = "The first window has not ended yet"
    problem = f". {look.problem}" if look.problem else ""
    return _with(kept, missing=None, message=kept.message if kept.window else waiting + problem, problem=kept.problem)


def _with(kept: Verdict, *, missing: str | None, problem: str | None, message: str | None = None) -> Verdict:
    return Verdict(
        kept.verdict, kept.message if message is None else message, kept.revision, kept.window, kept.judged,
        kept.drifted, kept.features, kept.recent, problem, missing,
    )  # fmt: skip


def _judge(spec: Spec, reference: Reference, window: Window, kept: Verdict) -> Verdict:
    found = judge(reference, window.counts, policy_of(spec))
    now = tuple(each.statistic.feature for each in found.drifted[:NAMED])
    earlier = [each for each in kept.recent if each.end < window.end]
    recent = (Recent(window.end, now), *earlier)[: spec.persistence.windows]
    persistence = Persistence(spec.persistence.needed, spec.persistence.windows)
    lasts = lasting((each.drifted for each in recent), persistence)[:NAMED]
    return Verdict(
        verdict=DRIFTED if lasts else NO_DRIFT,
        message=_sentence(spec, window, found, lasts),
        revision=window.revision,
        window=_judged(window),
        judged=len(found.decisions),
        drifted=lasts,
        features=tuple(_numbers(each) for each in found.decisions[:SHOWN]),
        recent=recent if spec.persistence.windows > 1 else (),
    )


def policy_of(spec: Spec) -> Policy:
    """What spec says of judging, as the kernel takes it."""
    features, quality = spec.features, spec.features.data_quality
    return Policy(
        rules=Rules(
            window=settings_of(spec),
            default=FeatureRule(features.default.metric, float(features.default.threshold)),
            overrides={each.name: FeatureRule(each.metric, float(each.threshold)) for each in features.overrides},
            ignored=frozenset(features.ignore),
            per_30_days=float(spec.false_alarms.max_per30_days),
            persistence=Persistence(spec.persistence.needed, spec.persistence.windows),
        ),
        outputs=features.outputs != IGNORE,
        limits=Limits(
            missing=_share(quality.missing),
            new_categories=_share(quality.new_categories),
            out_of_range=_share(quality.out_of_range),
            type_errors=_share(quality.type_errors),
            non_finite=_share(quality.non_finite),
        ),
        actions=actions_of(spec),
        trains=spec.retrain is not None and not spec.suspend,
    )


def _share(limit: str | None) -> float | None:
    return None if limit is None else share(limit)


def _sentence(spec: Spec, window: Window, found: Judgement, lasts: tuple[str, ...]) -> str:
    decisions, drifted = found.decisions, found.drifted
    if not decisions:
        return "No feature is judged: spec.features ignores all of them"
    if lasts:
        worst = next((each for each in drifted if each.statistic.feature in lasts), None)
        others = f", and {len(lasts) - 1} more" if len(lasts) > 1 else ""
        if worst is not None:
            name = worst.statistic.feature
            return explained(f"{worst.message}{others}", found.causes(name), found.hint(name))
        return f"{lasts[0]} drifted in {spec.persistence.needed} of the last {spec.persistence.windows} windows{others}"
    if drifted:
        looks = f"{spec.persistence.needed} of {spec.persistence.windows} windows"
        return f"{drifted[0].message}; that counts as drift when it is so in {looks}"
    return f"None of {len(decisions)} features drifts in {window.rows} rows; {decisions[0].message}"


def _judged(window: Window) -> Judged:
    return Judged(window.start, window.end, window.rows, window.digest)


def _numbers(decision: Decision) -> dict[str, Any]:
    seen = decision.statistic
    return {
        "name": seen.feature,
        "metric": seen.metric,
        "value": f"{seen.value:.4g}",
        "threshold": f"{decision.rule.threshold:.4g}",
        "cut": f"{decision.cut:.4g}",
        "rows": seen.rows,
        "outcome": decision.outcome,
    }


def show_window(window: Judged | None) -> dict[str, Any] | None:
    """As status has it."""
    if window is None:
        return None
    return {
        "start": show_time(window.start),
        "end": show_time(window.end),
        "rows": window.rows,
        "reference": window.reference,
    }


class StoredWindow(Stored):
    """The inverse of show_window."""

    start: str
    end: str
    rows: int
    reference: str

    def value(self) -> Judged:
        """Raises ValueError."""
        return Judged(read_time(self.start), read_time(self.end), self.rows, self.reference)
