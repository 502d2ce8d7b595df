"""What the runs of a BatchInference have written, as the prediction log that a policy's quality is made of. Pure."""

from dataclasses import dataclass
from typing import Final

from modelward.api.batchinference import BatchInference
from modelward.api.modeldeployment import ModelDeployment, PredictionLog
from modelward.api.quality import Predictions
from modelward.quality.measured import Problem

NO_BATCH: Final = "NoBatch"
"""Why nothing is measured: there is no such batch, or none that says anything of the model."""


@dataclass(frozen=True)
class BatchLog(PredictionLog):
    """`uri`, `credentials_secret`: of the output; `batch`: whose runs count; `key`: the column that outcomes are told
    by; `account`: that its pods run as, None: the namespace's default."""

    batch: str = ""
    key: str = ""
    account: str | None = None


def batch_log(asked: Predictions, batch: BatchInference | None, model: ModelDeployment) -> BatchLog | Problem:
    """`batch`: None: there is none of this name."""
    name, field = asked.batch_inference, "spec.quality.predictions"
    if batch is None or batch.deleting:
        told = f"There is no BatchInference {name} in this namespace, which {field} names"
        return Problem(NO_BATCH, f"{told}. Create it, or correct the name")
    scores = batch.spec.model.model_deployment
    if scores != model.name:
        by = f"the ModelDeployment {scores}" if scores else "an artifact of its own"
        told = f"BatchInference {name} scores with {by}: its rows say nothing of {model.name}"
        return Problem(NO_BATCH, f"{told}. Name in {field} one whose spec.model.modelDeployment is {model.name}")
    keys = ", ".join(batch.spec.keys)
    if asked.key is None and len(batch.spec.keys) > 1:
        told = f"BatchInference {name} has several keys ({keys}): write into {field}.key by which one outcomes are told"
        return Problem(NO_BATCH, told)
    key = asked.key or batch.spec.keys[0]
    if key not in batch.spec.keys:
        return Problem(NO_BATCH, f"{key} is no key of BatchInference {name}: write one of {keys} into {field}.key")
    return BatchLog(
        batch.spec.output.uri, batch.spec.credentials_secret, batch=name, key=key,
        account=batch.spec.service_account_name,
    )  # fmt: skip
