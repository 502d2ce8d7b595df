"""The reference's rare labels: those without a cell of their own, told from labels that it never had.

What is kept is a Bloom filter (Bloom, Communications of the ACM 13, 1970): it knows every label that was put into it,
and takes FALSE_POSITIVES of all others for known, more where there are more labels than fit. It holds no label in the
clear; whoever guesses one can ask whether it is in it, with that error. By their hash labels fall into GROUPS, so that
a rare one that becomes common shows in its group.

Labels that nobody has seen yet come without drift, too. How many is estimated from those that the reference has once
(Good, Biometrika 40, 1953) with a margin, so that a column of names is no drift by itself. And the commonest of many
labels are so by luck as well, and rarer in every window: they are chosen by one half of the rows, and tested against
the other (`halves`).
"""

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, log, sqrt
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from modelward_drift.arrays import Integers, Mask
from modelward_drift.errors import ProfileError

FALSE_POSITIVES: Final = 0.01

GROUPS: Final = 8
"""A power of two. Of a profile with rare labels so many cells are `other`."""

BYTES: Final = 64 << 10
"""That a filter has at most: enough for 54,000 labels. With 100,000 it takes 8 % of others for known, with a million
85 %."""

ALL_BYTES: Final = 384 << 10
"""That the filters of a reference have together: it has to fit into a ConfigMap."""

MOST: Final = 1 << 20
"""Labels that are told apart while a reference is made (9 bytes each); with more there is no filter."""

PENDING: Final = 1 << 16

MARGIN: Final = 3.0
"""Standard errors that are added to the estimate of unseen labels."""

Hashes = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Rare:
    """`labels`: put into the filter; `once`, `twice`: of them, how many the reference has in one row, and in two;
    `hashes`: bits a label; `bits`: the filter, in base64; `held`: rows of each category with a cell, in the half of
    `held_rows` by which it was not chosen. Raises ProfileError."""

    labels: int
    once: int
    twice: int
    hashes: int
    bits: str = field(repr=False)
    held: tuple[int, ...] = ()
    held_rows: int = 0

    def __post_init__(self) -> None:
        figures = (self.labels, self.once, self.twice, self.hashes, *self.held, self.held_rows)
        sound = all(type(each) is int and each >= 0 for each in figures) and isinstance(self.bits, str)
        if not sound or self.once + self.twice > self.labels or not 1 <= self.hashes <= 64:
            raise ProfileError(f"a filter of rare labels with {figures} is none; make the reference anew")
        if sum(self.held) > self.held_rows:
            raise ProfileError(f"{sum(self.held)} held rows of {self.held_rows} are none; make the reference anew")
        try:
            size = len(base64.b64decode(self.bits, validate=True))
        except ValueError:
            size = 0
        if not 0 < size <= BYTES:
            raise ProfileError("the filter of rare labels can't be read; make the reference anew")

    @cached_property
    def _filter(self) -> Mask:
        return np.unpackbits(np.frombuffer(base64.b64decode(self.bits), np.uint8)).astype(np.bool_)

    def known(self, hashes: Hashes) -> Mask:
        """(labels,): whether each is one of the rare ones, from its hash. False is certain."""
        return np.asarray(self._filter[_places(hashes, self.hashes, len(self._filter))].all(axis=1))

    def unseen(self, rows: int) -> float:
        """The share of rows without drift whose label a reference of `rows` does not have, at most: Good's estimate and
        MARGIN standard errors (Esty, Annals of Statistics 11, 1983), and three rows (the rule of three)."""
        error = sqrt(self.once * (1 - min(1.0, self.once / rows)) + 2 * self.twice)
        return min(1.0, (self.once + MARGIN * error + 3) / rows)


def groups(hashes: Hashes) -> Integers:
    """(labels,): the group of each, from 0."""
    return np.asarray(hashes >> np.uint64(65 - GROUPS.bit_length()), np.int64)


def dealt(rows: int, weights: Integers) -> Integers:
    """`rows` shared out in proportion to `weights` (cells,), in whole rows; evenly where all are 0."""
    wanted = weights.tolist() if weights.any() else [1] * len(weights)
    total = sum(wanted)
    shares = [rows * weight // total for weight in wanted]  # of Python's numbers, which do not overflow
    most = sorted(range(len(wanted)), key=lambda cell: (-(rows * wanted[cell] % total), cell))
    for cell in most[: rows - sum(shares)]:
        shares[cell] += 1
    return np.array(shares, np.int64)


def rare(hashes: Hashes, times: npt.NDArray[np.uint8], size: int = BYTES) -> Rare:
    """The filter of labels by hash, and in how many rows each is; of `size` bytes at most."""
    labels = len(hashes)
    wanted = ceil(labels * log(1 / FALSE_POSITIVES) / log(2) ** 2 / 8)
    bits = 8 * max(1, min(wanted, size, BYTES))
    number = max(1, round(bits / max(labels, 1) * log(2)))
    number = min(number, 64)
    filled = np.zeros(bits, np.bool_)
    filled[_places(hashes, number, bits).ravel()] = True
    packed = base64.b64encode(np.packbits(filled).tobytes()).decode()
    return Rare(labels, int(np.count_nonzero(times == 1)), int(np.count_nonzero(times == 2)), number, packed)


def halves(seen: Mapping[str, int]) -> dict[str, int]:
    """About half of the rows of each label, drawn by a generator of the label's own, so that neither the order of rows
    nor other labels change it. Both halves are what as many independent rows would be."""
    seeds = hashed(seen).tolist()
    return {
        label: int(np.random.default_rng(seed).binomial(rows, 0.5))
        for seed, (label, rows) in zip(seeds, seen.items(), strict=True)
    }


def share_of_bytes(features: int) -> int:
    """What each of so many filters may have."""
    return max(1, min(BYTES, ALL_BYTES // max(features, 1)))


def hashed(labels: Iterable[str]) -> Hashes:
    """(labels,): 64 bits of BLAKE2b each, the same on every machine."""
    digest = (hashlib.blake2b(each.encode(errors="surrogatepass"), digest_size=8).digest() for each in labels)
    return np.frombuffer(b"".join(digest), "<u8").astype(np.uint64)


def _places(hashes: Hashes, number: int, bits: int) -> npt.NDArray[np.int64]:
    """(labels, number): places in the filter, from the halves of each hash (Kirsch, Mitzenmacher, Random Structures and
    Algorithms 33, 2008)."""
    first, second = hashes & np.uint64(0xFFFFFFFF), hashes >> np.uint64(32)
    steps = np.arange(number, dtype=np.uint64)
    return ((first[:, None] + steps * (second[:, None] | np.uint64(1))) % np.uint64(bits)).astype(np.int64)


@dataclass
class Tally:
    """How often labels came, by hash, up to three times: that is all that `rare` asks. Bounded by MOST."""

    hashes: Hashes = field(default_factory=lambda: np.empty(0, np.uint64))
    times: npt.NDArray[np.uint8] = field(default_factory=lambda: np.empty(0, np.uint8))
    full: bool = False
    _pending: dict[str, int] = field(default_factory=dict)

    def add(self, labels: Mapping[Any, int]) -> None:
        """Rows by label; what is no text is passed over."""
        for label, rows in labels.items():
            if isinstance(label, str):
                self._pending[label] = self._pending.get(label, 0) + rows
        if len(self._pending) >= PENDING:
            self.settle()

    def merge(self, other: Self) -> None:
        other.settle()
        self.settle()
        self._take(other.hashes, other.times)
        self.full = self.full or other.full

    def settle(self) -> Self:
        """With nothing pending."""
        times = np.fromiter((min(each, 3) for each in self._pending.values()), np.uint8, len(self._pending))
        self._take(hashed(self._pending), times)
        self._pending = {}
        return self

    def without(self, labels: Iterable[str]) -> tuple[Hashes, npt.NDArray[np.uint8]]:
        """Hashes and times of all other labels."""
        self.settle()
        kept = ~np.isin(self.hashes, hashed(labels))
        return self.hashes[kept], self.times[kept]

    def _take(self, hashes: Hashes, times: npt.NDArray[np.uint8]) -> None:
        if self.full:
            return
        self.hashes, places = np.unique(np.concatenate([self.hashes, hashes]), return_inverse=True)
        weights = np.concatenate([self.times, times])
        self.times = np.minimum(np.bincount(places, weights, len(self.hashes)), 3).astype(np.uint8)
        if len(self.hashes) > MOST:
            self.hashes, self.times, self.full = self.hashes[:0], self.times[:0], True
