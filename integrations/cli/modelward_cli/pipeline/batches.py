"""A batch scored once, as a BatchInference: started, and looked after to its end. Idempotent by its name.

Failure: KubectlError, or a subclass.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import Any, Final

from modelward_cli.cluster import Cluster, Json
from modelward_cli.fleet.state import table, text
from modelward_cli.kubectl import BATCHES, ExistsError, KubectlError, named

COMPLETE, FAILED = "Complete", "Failed"
"""Of status.phase."""

MAX_NAME: Final = 38
"""A BatchInference's name has at most 40 characters; two are for the attempt."""

_NAME: Final = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")

MAX_ATTEMPTS: Final = 9
"""Of one batch: the suffix of its name has two characters."""


class Stage(Enum):
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True)
class Batch:
    """`keys`: columns by which a row of the answers is found again; `more`: other fields of spec, as they are there
    (credentialsSecret, parallelism, deadline, …)."""

    name: str
    model: str
    input: str
    output: str
    keys: Sequence[str]
    more: Mapping[str, Any]

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or len(self.name) > MAX_NAME + 2:
            raise KubectlError(
                f"{self.name[:80]!r} is no name of a batch: a letter first, then lower-case letters, digits and '-', "
                f"at most {MAX_NAME} characters"
            )
        named(self.model)
        if not self.keys:
            raise KubectlError("name the key columns: without them no answer can be joined with its row")
        taken = {"model", "input", "output", "keys"} & set(self.more)
        if taken or "schedule" in self.more:
            raise KubectlError(
                f"{', '.join(sorted(taken or {'schedule'}))} can't be among the other fields of spec: a pipeline "
                "starts one run, and names these fields itself"
            )

    def body(self) -> Json:
        """As it is created."""
        return {
            "apiVersion": "modelward.io/v1alpha1",
            "kind": "BatchInference",
            "metadata": {"name": self.name, "annotations": {_ASKED: self._fingerprint()}},
            "spec": self._spec(),
        }

    def is_of(self, found: Json) -> bool:
        """Whether this object was made of the same."""
        return text(table(table(found, "metadata"), "annotations"), _ASKED) == self._fingerprint()

    def _spec(self) -> Json:
        model = {"modelDeployment": self.model}
        return {
            "model": model, "input": {"uri": self.input}, "output": {"uri": self.output}, "keys": list(self.keys),
            **self.more,
        }  # fmt: skip

    def _fingerprint(self) -> str:
        return sha256(json.dumps(self._spec(), sort_keys=True).encode()).hexdigest()[:32]


_ASKED: Final = "modelward.io/pipeline"
"""The digest of what was asked: defaults that the API server adds to spec make no other batch of it."""


@dataclass(frozen=True)
class Run:
    """`status`: as the object has it."""

    stage: Stage
    message: str
    status: Json


def start(cluster: Cluster, batch: Batch) -> Json:
    """The object; the one that is there, where the same batch was started before. Raises ExistsError for another."""
    try:
        return cluster.created(BATCHES, batch.body())
    except ExistsError:
        found = cluster.got(BATCHES, batch.name)
        if batch.is_of(found):
            return found
        raise ExistsError(
            f"there is a BatchInference {batch.name} already, and it asks for something else; give this one "
            "another name"
        ) from None


def run_of(found: Json) -> Run:
    """How far a batch is."""
    about, status = table(found, "metadata"), table(found, "status")
    conditions = {str(each.get("type")): each for each in status.get("conditions") or () if isinstance(each, Mapping)}
    phase, generation = text(status, "phase"), about.get("generation")
    stalled = conditions.get("Stalled", {})
    message = text(status, "message") or text(stalled, "message")
    if about.get("deletionTimestamp"):
        return Run(Stage.FAILED, f"{about.get('name')} is being deleted", dict(status))
    if not phase or status.get("observedGeneration", generation) != generation:
        return Run(Stage.RUNNING, "The operator has not taken it up yet", dict(status))
    if phase == COMPLETE:
        return Run(Stage.DONE, message or phase, dict(status))
    if phase == FAILED or stalled.get("status") == "True":
        return Run(Stage.FAILED, f"{phase}: {message or 'its status gives no reason'}", dict(status))
    return Run(Stage.RUNNING, f"{phase}  {message or ''}".strip(), dict(status))


def attempt(cluster: Cluster, batch: Batch) -> Json:
    """The object of the newest attempt: one that goes on or is done is taken up, after one that failed another begins.

    What a pipeline calls that is tried again: an attempt whose start it did not live to see is never started twice.
    Raises KubectlError, ExistsError.
    """
    for number in range(1, MAX_ATTEMPTS + 1):
        named_so = batch if number == 1 else replace(batch, name=f"{batch.name}-{number}")
        found = start(cluster, named_so)
        if run_of(found).stage is not Stage.FAILED:
            return found
    raise BatchFailedError(f"{batch.name} failed {MAX_ATTEMPTS} times; correct its cause, and give it another name")


class BatchFailedError(KubectlError):
    """With its reason."""


def is_done(now: Run) -> bool:
    """False: not yet. Raises BatchFailedError."""
    if now.stage is Stage.FAILED:
        raise BatchFailedError(now.message)
    return now.stage is Stage.DONE


def name_for(model: str, key: str) -> str:
    """A name for the batch of one run of a pipeline: the same key gives the same name."""
    short = sha256(f"{model} {key}".encode()).hexdigest()[:8]
    parts = [re.sub(r"[^a-z0-9]+", "-", each.lower()).strip("-") for each in (model, key)]
    told = "-".join(filter(None, (parts[0][:12].strip("-"), parts[1][:14].strip("-"), short)))
    return told if told[0].isalpha() else f"b-{told}"
