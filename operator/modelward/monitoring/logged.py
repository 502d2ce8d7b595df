"""What the pods say of the prediction log, added up, and the condition that tells whether it is whole. Pure.

Invariant: a row counts as kept only where a pod has said so; what nobody knows is Unknown, never whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from modelward.api.conditions import PREDICTION_LOGGED, Condition
from modelward.facts import Unmounted
from modelward.net.untrusted import quoted
from modelward.runtimes.runtime import MODELWARD
from modelward.values.times import show_time

MOST: Final = 1 << 62
"""Of a count: what is larger is none."""

ROWS: Final = ("written", "stored", "waiting", "left_out")

REASONS: Final[Mapping[str, str]] = {
    "full": "for which there was no room in spec.predictionLog.diskLimit",
    "dropped": "that servers had no room for before the monitor took them",
    "failed": "that could not be written to the pod's disk",
    "unreadable": "of batches that could not be read",
    "damaged": "of segments that could not be read later",
}
"""Of lost rows, in words."""

SAID: Final = 600
"""Characters of what a pod says is wrong."""


class LogError(ValueError):
    """What a pod said is no such document."""


@dataclass(frozen=True)
class PodLog:
    """`rows`: by ROWS; `lost`: by REASONS; `failure`: what keeps files from the store, `since`: when that began,
    seconds since the epoch; `disk`: what keeps rows from the pod's disk. `silent`: it did not answer; `starting`: its
    pod is, or it ends, so that is no news."""

    pod: str
    rows: Mapping[str, int] = field(default_factory=dict)
    lost: Mapping[str, int] = field(default_factory=dict)
    failure: str | None = None
    kind: str = ""
    since: float = 0.0
    disk: str | None = None
    silent: bool = False
    starting: bool = False

    @classmethod
    def of(cls, pod: str, uid: str, raw: Any) -> Self | None:
        """From a monitor's document; None: it is another pod's, that has the address by now. Raises LogError."""
        try:
            if raw["pod"] != uid:
                return None
            rows = {name: _count(raw["rows"][name]) for name in ROWS}
            lost = {reason: _count(raw["lost"].get(reason, 0)) for reason in REASONS}
            failure, disk = raw["failure"], raw["disk_failure"]
            since = float(failure["since"]) if failure else 0.0
            if not 0 <= since < 2**40:
                raise LogError("it fails since a time that is none")
            return cls(
                pod, rows, lost, quoted(failure["message"], SAID) if failure else None,
                quoted(failure["kind"], 20) if failure else "", since, quoted(disk, SAID) if disk else None,
            )  # fmt: skip
        except (KeyError, TypeError, AttributeError, ValueError, OverflowError) as error:
            raise LogError(f"its log's document can't be read: {quoted(error)}") from None


@dataclass(frozen=True)
class Logged:
    """`pods`: that keep a log."""

    uri: str
    pods: tuple[PodLog, ...] = ()

    def total(self, name: str) -> int:
        return sum(pod.rows.get(name, 0) for pod in self.pods)

    @property
    def lost(self) -> dict[str, int]:
        """By reason, those that occur."""
        found = {reason: sum(pod.lost.get(reason, 0) for pod in self.pods) for reason in REASONS}
        return {reason: rows for reason, rows in found.items() if rows}


def condition(seen: Logged, unmounted: Unmounted | None = None) -> Condition:
    """Whether every row is in the store, or on its way. `unmounted`: why pods can't start that need its claim."""
    failing = sorted((pod.since, pod.pod, pod) for pod in seen.pods if pod.failure)
    disk = next((pod for pod in seen.pods if pod.disk), None)
    mute = sorted(pod.pod for pod in seen.pods if pod.silent and not pod.starting)
    if unmounted is not None:
        return Condition(PREDICTION_LOGGED, False, unmounted.reason, unmounted.message)
    if not seen.pods or all(pod.silent and pod.starting for pod in seen.pods):
        return Condition(PREDICTION_LOGGED, None, "WaitingForPods", "No pod keeps a log that can be asked yet")
    if disk is not None:
        return Condition(PREDICTION_LOGGED, False, "DiskFailed", f"Pod {disk.pod} says: {disk.disk}")
    if failing:
        since, _, pod = failing[0]
        others = f" ({len(failing)} of {len(seen.pods)} pods)" if len(failing) > 1 else ""
        waiting = f"{seen.total('waiting')} rows wait on the pods' disks"
        reason = {"Denied": "StoreDenied", "Missing": "StoreMissing", "Full": "StoreFull", "Away": "StoreAway"}
        message = f"Since {show_time(int(since))} pod {pod.pod} says: {pod.failure}{others}. {waiting}{_lost(seen)}"
        return Condition(PREDICTION_LOGGED, False, reason.get(pod.kind, "WriterFailed"), message)
    if seen.lost:
        return Condition(PREDICTION_LOGGED, False, "RowsLost", f"The log is not whole{_lost(seen)}")
    if mute:
        return Condition(
            PREDICTION_LOGGED, False, "MonitorUnreachable",
            f"The monitor of {', '.join(mute)} does not answer, so nobody knows of its log. See the logs of container "
            f"`{MODELWARD.containers.monitor}`",
        )  # fmt: skip
    return Condition(
        PREDICTION_LOGGED, True, "Complete", f"Every row that the pods took up is in {seen.uri}, or on its way there"
    )


def status(seen: Logged) -> dict[str, Any]:
    """`status.predictionLog`."""
    failing = [pod.since for pod in seen.pods if pod.failure]
    shown: dict[str, Any] = {
        "uri": seen.uri, "written": seen.total("written"), "stored": seen.total("stored"),
        "waiting": seen.total("waiting"), "leftOut": seen.total("left_out"), "lost": sum(seen.lost.values()),
    }  # fmt: skip
    return shown | ({"failingSince": show_time(int(min(failing)))} if failing else {})


def _lost(seen: Logged) -> str:
    """The end of a sentence."""
    words = [f"{rows} {REASONS[reason]}" for reason, rows in seen.lost.items()]
    return f"; {sum(seen.lost.values())} rows are lost: {', '.join(words)}" if words else ""


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < MOST:
        raise LogError(f"{value!r} is no count")
    return value
