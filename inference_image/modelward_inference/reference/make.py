"""The reference of training data of any size: one pass for the bins, and one for exact counts where there is need."""

import logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from modelward_drift.building.builder import LEVELS, recounted
from modelward_drift.building.sample import CAPACITY
from modelward_drift.counting.counting import count_table
from modelward_drift.counting.counts import zero
from modelward_drift.profiles.bins import BINS
from modelward_drift.profiles.reference import Reference
from modelward_inference.artifact.bundle import Signature
from modelward_inference.artifact.features import Layout
from modelward_inference.errors import InvalidConfiguration
from modelward_inference.reference import models, sparse
from modelward_inference.reference.builder import ReferenceBuilder
from modelward_inference.reference.calibrating import Calibration
from modelward_inference.reference.fitting import AsTheyAre, Fitting, Tensors, ToModel, texts_of
from modelward_inference.reference.progress import Progress
from modelward_inference.reference.source import Chunk, Source, open_source

_LOG: Final = logging.getLogger("modelward")


def make_reference(
    data: Any,
    *,
    model: Any = None,
    signature: Signature | None = None,
    kinds: Mapping[str, str] | None = None,
    ignore: Collection[str] = (),
    bins: int = BINS,
    levels: int = LEVELS,
    calibrate_window: int | None = None,
    progress: bool = False,
    warn: Callable[[str], None] = _LOG.warning,
) -> Reference:
    """Profiles of all features of training data, in bounded memory.

    `data`: the path of a .parquet, .feather, .arrow, .csv, .csv.gz or .npy file, a data frame, an array [rows, …], a
    mapping of columns, a pyarrow Table, a sparse matrix of scipy, or chunks of these: a list, an iterator, or a
    function that makes one.
    `model`: whose outputs are profiled too: the path of a bundle or of a saved model, or what `save_bundle` takes;
    `signature`: without a model, how the inputs are called; without both, they are called as the data's columns.
    `kinds`: by feature, where the rules of docs/drift.md don't fit; `ignore`: features and columns that are left out;
    `bins`: of numbers; `levels`: categories with a cell of their own; `calibrate_window`: rows of a window, by which
    it is measured how far rows in a row hang together; `progress`: on stderr; `warn`: gets what is left out, in words.
    Raises InvalidConfiguration and DriftError, whose messages name cause and cure.
    """
    with ExitStack() as stack:
        answering = None if model is None else stack.enter_context(models.opened(model))
        known = answering.model.signature if answering else signature
        data = sparse.as_taken(data, answering.model) if answering else data
        source = open_source(data, partial(texts_of, known))
        if calibrate_window is not None:
            _check_window(calibrate_window, source)
        fitting: Fitting
        if known:
            columns = tuple(getattr(answering.model, "columns", ())) if answering else ()
            fitting = ToModel(known, source, ignore, predicted=answering is not None, columns=columns)
        else:
            fitting = AsTheyAre(source, ignore)
        reading = Reading(source, fitting, answering, Progress(sys.stderr) if progress else None)
        reference = _built(reading, kinds or {}, ignore, ReferenceOptions(bins, levels), warn)
        _check_kinds(reference)
        if calibrate_window is None and reference.rows <= CAPACITY:
            return reference
        if not source.again:
            warn(
                f"the data could be read only once: of {reference.rows} rows a sample of {CAPACITY} was profiled; pass "
                "a file, or a function that makes the iterator, for exact counts"
            )
            return reference
        return _counted(reference, reading, calibrate_window, warn)


class NothingToProfile(InvalidConfiguration):
    """The data have no feature that can be watched, as images have none."""


@dataclass(frozen=True)
class ReferenceOptions:
    """As `make_reference` takes them."""

    bins: int = BINS
    levels: int = LEVELS


@dataclass(frozen=True)
class Batch:
    """Tensors of a chunk, as they are profiled."""

    inputs: Tensors
    outputs: Tensors
    rows: int


@dataclass(frozen=True)
class Reading:
    """Passes over the data. `answering`: None where outputs have no profile."""

    source: Source
    fitting: Fitting
    answering: models.Answering | None
    progress: Progress | None

    def batches(self, title: str) -> Iterator[Batch]:
        """All of them, once. Raises InvalidConfiguration."""
        before = 0
        for chunk in self._chunks(title):
            profiled, taken = self.fitting.tensors(chunk.table)
            outputs = self.answering.predict(taken, chunk.rows, before) if self.answering else {}
            yield Batch(profiled, outputs, chunk.rows)
            before += chunk.rows

    def _chunks(self, title: str) -> Iterator[Chunk]:
        chunks = self.source.chunks()
        return self.progress.over(chunks, title) if self.progress else chunks

    def layout(self, first: Batch, kinds: Mapping[str, str], ignore: Collection[str]) -> Layout:
        """The features. Raises InvalidConfiguration."""
        signature = self.fitting.signature
        if not self.answering:
            signature = Signature(signature.inputs, ())
        made = partial(
            Layout.of_signature, signature, names=self.fitting.names, inputs=first.inputs, outputs=first.outputs,
            classes=self.answering.classes if self.answering else (),
        )  # fmt: skip
        features = {slot.name for slot in made().slots}
        # What the data have and the model does not take is ignored anyway.
        return made(kinds=kinds, ignore=set(ignore) - (set(self.source.names) - features))


def _built(
    reading: Reading, kinds: Mapping[str, str], ignore: Collection[str], options: ReferenceOptions,
    warn: Callable[[str], None],
) -> Reference:  # fmt: skip
    builder: ReferenceBuilder | None = None
    for batch in reading.batches("profiling"):
        if builder is None:
            layout = reading.layout(batch, kinds, ignore)
            for each in reading.source.notes:
                warn(each)
            for each in (*reading.fitting.left_out, *layout.left_out):
                warn(f"left out: {each}")
            if not layout.slots:
                raise NothingToProfile("no feature is left to make a profile of; docs/drift.md tells what is left out")
            builder = ReferenceBuilder(layout, bins=options.bins, levels=options.levels)
        builder.add(batch.inputs, batch.outputs, batch.rows)
    if builder is None:
        raise InvalidConfiguration("the data have no rows; pass some hundred rows of training data at least")
    return builder.reference()


def _counted(reference: Reference, reading: Reading, window: int | None, warn: Callable[[str], None]) -> Reference:
    """With exact counts, and calibrated by windows of so many rows where that is wanted."""
    layout, profiles = Layout.of_reference(reference), reference.profiles
    totals = [zero(profile) for profile in profiles]
    calibration = None if window is None else Calibration(profiles, window)
    for batch in reading.batches("counting"):
        columns = layout.columns(batch.inputs, batch.outputs)
        begin = 0
        while begin < batch.rows:
            rows = batch.rows - begin if calibration is None else calibration.room(batch.rows - begin)
            part = {name: column[begin : begin + rows] for name, column in columns.items()}
            counts = count_table(profiles, part, rows)
            totals = [total + each for total, each in zip(totals, counts, strict=True)]
            begin += rows
            if calibration is not None:
                calibration.add(counts, rows)
    if totals[0].rows != reference.rows:
        raise InvalidConfiguration(
            f"the data had {reference.rows} rows, and {totals[0].rows} when they were read again; wait until nobody "
            "writes to them"
        )
    exact = [recounted(profile, total) for profile, total in zip(profiles, totals, strict=True)]
    if calibration is not None:
        exact = calibration.applied(exact, warn)
    features = zip(reference.features, exact, strict=True)
    return Reference(tuple(replace(feature, profile=profile) for feature, profile in features), reference.source)


def _check_window(window: int, source: Source) -> None:
    if window < 1:
        raise InvalidConfiguration(f"a window of {window} rows is none; take what a window of live traffic has")
    if not source.again:
        raise InvalidConfiguration(
            "calibration reads the data twice, which an iterator can't; pass a file, or a function that makes it"
        )


def _check_kinds(reference: Reference) -> None:
    for profile in reference.profiles:
        *cells, other, _, _ = profile.counts
        if profile.kind != "categorical" and other and not any(cells):
            raise InvalidConfiguration(
                f"{profile.name!r} is to be {profile.kind}, and none of its values is; give it another kind"
            )
