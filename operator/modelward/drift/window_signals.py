"""A window's divergence from the reference as signals: one for each feature that drifts, or whose numbers are kept."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from modelward.api.driftpolicy import Spec
from modelward.drift.signal import WINDOW, Kind, Signal
from modelward_drift.judging.policy import Actions


def actions_of(spec: Spec) -> Actions:
    """As the kernel takes them."""
    return Actions(spec.actions.inputs, spec.actions.outputs, spec.actions.data_quality)


def window_signals(
    drifted: tuple[str, ...], features: tuple[Mapping[str, Any], ...], since: float | None
) -> Iterator[Signal]:
    """`drifted`: features, the worst first; `features`: numbers as status shows them; `since`: the window's end."""
    numbers = {str(each.get("name")): each for each in features}
    for name in (*drifted, *(name for name in numbers if name not in drifted)):
        known, breached = numbers.get(name, {}), name in drifted
        value = f"{known['metric']} {known['value']}" if "metric" in known and "value" in known else None
        yield Signal(WINDOW, name, value, known.get("cut"), breached, since if breached else None)


KIND: Final = Kind(WINDOW, lambda spec, name: actions_of(spec).on(name))
