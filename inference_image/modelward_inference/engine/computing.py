"""Calls of the model: several requests at once where that is possible, and each one's own outcome in any case.

A joined batch that the model refuses is halved until the refusing requests stand alone: of k requests with one that is
refused, the model is called at most 1 + 2 ceil(log2 k) times, each of the others computed again at most ceil(log2 k)
times, and where all are refused there are 2k - 1 calls. Invariant: outcomes are those of each request alone, in its own
rows. Runs in any thread, several at once.
"""

import logging
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.engine.jobs import Job
from modelward_inference.protocol.origin import Asked

log = logging.getLogger(__name__)

Predict = Callable[[Mapping[str, Array], Sequence[str]], dict[str, Array]]
Outcome = dict[str, Array] | Exception
Observer = Callable[[Mapping[str, Array], Mapping[str, Array], int, Sequence[Asked]], None]
"""Is given inputs (with what travels beside them), outputs, rows and requests of each call of the model that succeeded,
in the thread that made it. It raises nothing; nobody changes the arrays any more."""


class Computer:
    """`predict`: the model. `joins`: until it shows that it does not answer row by row."""

    observer: Observer | None = None
    joins = True

    def __init__(self, predict: Predict) -> None:
        self._predict = predict

    def outcomes(self, batch: list[Job]) -> list[Outcome]:
        """Of each request, in as many calls as that takes."""
        found = self.together(batch)
        if found is None:
            found = [outcome for part in self.parts(batch) for outcome in self.outcomes(part)]
        return found

    def parts(self, batch: list[Job]) -> list[list[Job]]:
        """What to ask the model instead of a batch that it did not answer."""
        if not self.joins:
            return [[job] for job in batch]
        middle = len(batch) // 2
        return [batch[:middle], batch[middle:]]

    def together(self, batch: list[Job]) -> list[Outcome] | None:
        """In one call. None: it did not answer several requests as it should, and has to be asked for parts of them."""
        if len(batch) == 1:
            return [self._alone(batch[0])]
        try:
            joined = {name: np.concatenate([job.inputs[name] for job in batch]) for name in batch[0].inputs}
            outputs = self._predict(joined, batch[0].wanted)
            rows = sum(job.rows for job in batch)
            fits = all(array.ndim and array.shape[0] == rows for array in outputs.values())
        except Exception:  # noqa: BLE001  a model may raise anything, and give anything
            return None
        if not fits:
            if self.joins:
                log.warning("the model does not answer row by row; requests are computed one at a time from now on")
            self.joins = False
            return None
        if self.observer is not None:
            seen = {**joined, **_beside(batch)} if batch[0].beside else joined
            self.observer(seen, outputs, rows, [(job.origin, job.rows, job.arrived) for job in batch])
        outcomes: list[Outcome] = []
        begin = 0
        for job in batch:
            end = begin + job.rows
            outcomes.append({name: array[begin:end] for name, array in outputs.items()})
            begin = end
        return outcomes

    def _alone(self, job: Job) -> Outcome:
        try:
            outputs = self._predict(job.inputs, job.wanted)
        except Exception as error:  # noqa: BLE001  it belongs to the one who asked
            return error
        if self.observer is not None:
            seen = {**job.inputs, **job.beside} if job.beside else job.inputs
            self.observer(seen, outputs, job.rows, ((job.origin, job.rows, job.arrived),))
        return outputs


def _beside(batch: Sequence[Job]) -> dict[str, Array]:
    """Of jobs whose keys say that they have the same of it."""
    return {name: np.concatenate([job.beside[name] for job in batch]) for name in batch[0].beside}
