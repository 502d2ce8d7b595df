"""The kinds of gates, in the order in which status shows them. A new one is a file beside these, and a line here."""

from typing import Final

from modelward.rollouts.gates import disagreement, metric, quality, shares
from modelward.rollouts.gates.gate import Kind

GATES: Final[tuple[Kind, ...]] = (
    *shares.KINDS,
    disagreement.KIND,
    metric.KIND,
    quality.KIND,
)
