"""What of a policy goes on in other systems, as an annotation on the policy itself, beside the finalizer that holds it.

A RetrainingRun and a memory are owned by their policy: a deletion in the foreground, or that of a namespace, takes them
away first. Only the policy is still there then, so it says what is to be stopped. Invariant: a run stands here before
it is started, until its end is stored; and the annotation fits into an object, whatever a policy has under way.
"""

import json
import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from modelward.api.names import ANNOTATION_GOING
from modelward.retraining.lifecycle import run as runs
from modelward.retraining.lifecycle.run import Artifact, Run
from modelward.values.stored import Stored, Text, known_text
from modelward.values.times import read_time, show_time

log = logging.getLogger(__name__)

LARGEST: Final = 128 * 1024
"""Characters. All annotations of an object may have 256 KiB."""


class _StoredRun(Stored):
    name: Text
    key: Text
    kind: Text
    target: str
    started_at: str
    handle: str | None = None

    def value(self) -> Run:
        """As one that runs: whether it was started is not known."""
        return Run(
            name=self.name, key=self.key, kind=self.kind, trigger="", reason="", started_at=read_time(self.started_at),
            revision="", from_model=Artifact(""), phase=runs.RUNNING, handle=self.handle, target=self.target,
        )  # fmt: skip


class _StoredGoing(Stored):
    policy: str
    runs: tuple[_StoredRun, ...] = ()


def show_going(policy_uid: str, going: Iterable[Run]) -> str | None:
    """The annotation's value, None where nothing goes on. What does not fit in any more is left out, and logged."""
    size, shown = 0, []
    for run in sorted(going, key=lambda each: (each.started_at, each.name)):
        entry = _show_run(run)
        added = len(json.dumps(entry)) + 2
        if size + added > LARGEST:
            log.warning("%s is not noted on its policy, which has too much under way", run.name)
            continue
        size += added
        shown.append(entry)
    return json.dumps({"policy": policy_uid, "runs": shown}, sort_keys=True) if shown else None


def read_going(metadata: Mapping[str, Any]) -> dict[str, Run]:
    """By name. `metadata`: of the policy. What is another policy's, as after a restore, or unreadable, is left out."""
    text = (metadata.get("annotations") or {}).get(ANNOTATION_GOING)
    try:
        stored = known_text(_StoredGoing, text or "")
        found = {each.name: each.value() for each in stored.runs}
    except (ValueError, TypeError):
        return {}
    return found if stored.policy == metadata["uid"] else {}


def _show_run(run: Run) -> dict[str, Any]:
    shown = {
        "name": run.name,
        "key": run.key,
        "kind": run.kind,
        "target": run.target,
        "startedAt": show_time(run.started_at),
        "handle": run.handle,
    }
    return {name: value for name, value in shown.items() if value is not None}
