"""What status says of the monitors: the condition Monitored, and the numbers of the last window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelward.api.conditions import MONITORED, Condition
from modelward.monitoring.windows import Window
from modelward.runtimes.runtime import MODELWARD
from modelward.values.times import show_time
from modelward_drift.counting.reading import Intake
from modelward_drift.judging.causes import causes, explained, hint
from modelward_drift.judging.verdict import Decision
from modelward_drift.profiles.reference import Reference

CURE = "Publish the model as a bundle with one: `modelward reference` and save_bundle write it (docs/drift.md)"


@dataclass(frozen=True)
class PodMonitor:
    """What one pod's monitor said. `digest`: of the reference it counts against; `learning`: rows it has, of those it
    learns from; `problem`: what it says is wrong. All None: it did not answer. `starting`: its pod is, so that is no
    news."""

    pod: str
    digest: str | None = None
    learning: tuple[int, int] | None = None
    problem: str | None = None
    starting: bool = False


@dataclass(frozen=True)
class Monitored:
    """`pods`: that were asked; `window`: the last that ended, with its `decisions`, the worst first; `began`: when the
    open one did, seconds since the epoch; `given_up`: why a window was given up; `intake`: since the revision runs."""

    revision: str
    top: int
    reference: Reference | None = None
    pods: tuple[PodMonitor, ...] = ()
    window: Window | None = None
    decisions: tuple[Decision, ...] = ()
    began: float | None = None
    given_up: str | None = None
    intake: Intake | None = None

    @property
    def drifted(self) -> tuple[Decision, ...]:
        return tuple(decision for decision in self.decisions if decision.drifted)


def _silent(seen: Monitored) -> list[PodMonitor]:
    return [pod for pod in seen.pods if pod.digest is None and pod.learning is None and pod.problem is None]


def unreachable(seen: Monitored) -> list[str]:
    """The pods whose monitor does not answer; those that start are none."""
    return [pod.pod for pod in _silent(seen) if not pod.starting]


def condition(seen: Monitored) -> Condition:
    """Whether the model is looked after: every pod counts, against one reference."""
    silent, mute = _silent(seen), unreachable(seen)
    wrong = next((pod for pod in seen.pods if pod.problem), None)
    learning = [pod.learning for pod in seen.pods if pod.learning]
    digest = seen.reference.digest if seen.reference else None
    others = [pod.pod for pod in seen.pods if pod.digest not in (None, digest)]
    if not seen.pods or (seen.reference is None and len(silent) == len(seen.pods) and not mute):
        return Condition(
            MONITORED, None, "WaitingForPods", f"No pod of {seen.revision} has a monitor that can be asked"
        )
    if wrong is not None:
        return Condition(MONITORED, False, "MonitorFailed", f"The monitor of pod {wrong.pod} says: {wrong.problem}")
    if others:
        return Condition(
            MONITORED,
            False,
            "ReferencesDiffer",
            f"{', '.join(others)} count against another reference than the other pods of {seen.revision}, and are left "
            "out. The artifact was overwritten under its address: publish each version under one of its own",
        )
    if seen.reference is None and learning:
        rows, of = max(learning)
        return Condition(
            MONITORED,
            False,
            "LearningReference",
            f"The model brings no reference; one is learned from the first {of} rows of requests, {rows} so far. "
            f"{CURE}",
        )
    if mute:
        return Condition(
            MONITORED,
            False,
            "MonitorUnreachable",
            f"The monitor of {', '.join(sorted(mute))} does not answer; the model serves as before. See the logs of "
            f"its container `{MODELWARD.containers.monitor}`, and whether a NetworkPolicy lets the operator reach port "
            f"{MODELWARD.ports.monitor}",
        )
    return _counting(seen)


def _counting(seen: Monitored) -> Condition:
    reference = seen.reference
    if reference is None:
        return Condition(MONITORED, None, "WaitingForReference", f"The monitors of {seen.revision} have not begun")
    learned = reference.source == "learned"
    against = (
        f"the first {reference.rows} rows of requests"
        if learned
        else f"the {reference.rows} rows of the reference that it was published with"
    )
    message = f"{len(reference.features)} features are compared with {against}{_rows(reference)}. {_of_window(seen)}"
    if seen.given_up:
        message = f"{message}. {seen.given_up}"
    if learned:
        message = f"{message}. What was wrong from the beginning can't be seen this way. {CURE}"
    return Condition(MONITORED, True, "LearnedReference" if learned else "Counting", message)


def _rows(reference: Reference) -> str:
    """What the budget of false alarms hangs on."""
    return "" if reference.calibrated else ", and rows are taken as independent (docs/which-window.md)"


def _of_window(seen: Monitored) -> str:
    if seen.window is None:
        return "The first window has not ended yet"
    said = f"The last window had {seen.window.rows} rows"
    if seen.window.missing:
        said = f"{said} ({seen.window.missing[0].lower()}{seen.window.missing[1:]})"
    if not seen.drifted:
        return f"{said}: no drift"
    return f"{said}: {len(seen.drifted)} of {len(seen.decisions)} features drifted. {_worst(seen, seen.window)}"


def _worst(seen: Monitored, window: Window) -> str:
    """Of the features that drifted, and why."""
    worst = seen.drifted[0]
    features = seen.reference.features if seen.reference and len(seen.reference.features) == len(window.counts) else ()
    pairs = zip(features, window.counts, strict=False)
    found = next(((each.profile, counts) for each, counts in pairs if each.name == worst.statistic.feature), None)
    if found is None or found[0].digest != found[1].digest:
        return worst.message
    return explained(worst.message, causes(*found), hint(*found))


def status(seen: Monitored, last: Mapping[str, Any]) -> dict[str, Any]:
    """`status.monitor`. `last`: as it was, for what nothing is known of yet."""
    shown: dict[str, Any] = {"revision": seen.revision}
    if seen.reference is not None:
        shown["reference"] = {
            "digest": seen.reference.digest, "source": seen.reference.source.capitalize(),
            "rows": seen.reference.rows, "features": len(seen.reference.features),
        }  # fmt: skip
    if seen.began is not None:
        shown["windowBegan"] = show_time(int(seen.began))
    if seen.window is not None:
        window = {
            "start": show_time(int(seen.window.start)), "end": show_time(int(seen.window.end)),
            "rows": seen.window.rows, "drifted": len(seen.drifted), "missing": seen.window.missing,
        }  # fmt: skip
        shown["window"] = {name: value for name, value in window.items() if value is not None}
        shown["features"] = features(seen.decisions[: seen.top])
        # Totals change with each look; a write for each would tell little, so they are those of the window's end.
        known = (last.get("window") or {}).get("end") == shown["window"]["end"] and last.get("intake")
        shown["intake"] = known or _intake(seen.intake or Intake())
    return shown


def features(decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """A line each, as status holds them."""
    return [
        {
            "name": each.statistic.feature,
            "metric": each.statistic.metric,
            "value": f"{each.statistic.value:.4g}",
            "cut": f"{each.cut:.4g}",
            "verdict": each.outcome,
            "message": each.message,
        }
        for each in decisions
    ]


def _intake(intake: Intake) -> dict[str, int]:
    return {
        "counted": intake.counted, "sampledOut": intake.sampled_out, "dropped": intake.dropped,
        "refused": intake.refused, "lost": intake.lost,
    }  # fmt: skip
