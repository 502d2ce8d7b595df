"""The kinds of signals that a verdict is made of. A new one is a file beside these, and a line here."""

from collections.abc import Iterable
from typing import Any, Final

from modelward.api.driftpolicy import WARN, Spec
from modelward.drift import concept_signals, window_signals
from modelward.drift.quality_signals import BUSINESS_KIND, FAIRNESS_KIND, QUALITY_KIND
from modelward.drift.signal import Sight, Signal, read_signal

SIGNALS: Final = (window_signals.KIND, QUALITY_KIND, FAIRNESS_KIND, BUSINESS_KIND, concept_signals.KIND)


def action_of(spec: Spec, signal: Signal) -> str:
    """Retrain, Warn or Hold."""
    return next((kind.action(spec, signal.name) for kind in SIGNALS if kind.name == signal.kind), WARN)


def signals_of(spec: Spec, sight: Sight) -> tuple[Signal, ...]:
    """Of all kinds but the window's, in the order of the registry; `sight.last`: of all kinds."""
    found: list[Signal] = []
    for kind in SIGNALS:
        if kind.signals is not None:
            own = tuple(each for each in sight.last if each.kind == kind.name)
            found += kind.signals(spec, Sight(sight.revision, own, sight.now, sight.sources))
    return tuple(found)


def read_signals(stored: Iterable[Any]) -> tuple[Signal, ...]:
    """What is stored of kinds that this operator knows. Another version may have written of others, or otherwise: that
    is passed over."""
    names = {kind.name for kind in SIGNALS}
    found = []
    for raw in stored:
        try:
            signal = read_signal(raw)
        except ValueError:
            continue
        if signal.kind in names:
            found.append(signal)
    return tuple(found)
