"""What the data plane needs of a model."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Signature

PREDICT, PREDICT_PROBA = "predict", "predict_proba"
"""Outputs, after scikit-learn's methods: labels or numbers, and the probability of each class."""

TRANSFORM = "transform"
"""The output of what predicts nothing: scalers, projections, encoders, pipelines that end in one."""


class Model(Protocol):
    """A loaded model. `predict` may be called by several threads at once."""

    @property
    def signature(self) -> Signature: ...

    @property
    def libraries(self) -> Mapping[str, str]: ...

    @property
    def warnings(self) -> Sequence[str]: ...

    def predict(self, inputs: Mapping[str, Array], outputs: Sequence[str]) -> dict[str, Array]:
        """Compute the named outputs; inputs have the names, types and shapes of the signature."""
        ...
