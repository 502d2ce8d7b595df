"""How much wider than independent rows counts scatter, where rows hang together. bootstrap.py estimates it."""

from dataclasses import dataclass, replace
from math import inf

from modelward_drift.errors import ProfileError


@dataclass(frozen=True)
class Inflation:
    """`factor`: of variances, that of the contrast of cells that scatters most; `mean`: over all contrasts. Both are 1
    for independent rows. `rows`: of the windows that they were measured on; `blocks`: how many; 0 where nothing was.

    The effective sample size is rows / factor (Kish's design effect). Raises ProfileError.
    """

    factor: float = 1.0
    mean: float = 1.0
    rows: float = 0.0
    blocks: float = 0.0

    def __post_init__(self) -> None:
        figures = (self.factor, self.mean, self.rows, self.blocks)
        if not all(isinstance(each, int | float) and 0 <= each < inf for each in figures):
            raise ProfileError(f"a variance inflation of {figures} is none; calibrate anew")
        if not 1 <= self.mean <= self.factor or (self.blocks and self.blocks < 2):
            raise ProfileError(f"a variance inflation of {figures} is below 1, or of one block; calibrate anew")

    def at(self, rows: float) -> "Inflation":
        """What it is in windows of `rows`.

        In larger windows than those measured it may be larger: at worst the surplus grows with them, as it does where
        each window has an offset of its own.
        """
        growth = max(1.0, rows / self.rows) if self.rows else 1.0
        return replace(self, factor=1 + (self.factor - 1) * growth, mean=1 + (self.mean - 1) * growth)

    def effective(self, rows: float) -> float:
        """Independent rows that say as much as a window of `rows`."""
        return rows / self.at(rows).factor
