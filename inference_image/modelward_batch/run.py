"""A pod's part of a run: the plan, its units one after another, and the manifest where it is the last.

What is written, in this order: the plan (once for all pods); of each unit its answers, its refused rows, its counts
where drift is asked for, and then its receipt; when all receipts are there, what the counts say, and the manifest. A
unit without a receipt is scored again, from its beginning, into files of the same names. Invariant: whoever is killed
between any two of these, a repeated run has each row once. Failure: Incurable, Passing, and the model's own ModelError.
"""

import logging
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import orjson
import pyarrow as pa

from modelward_batch import accounts, csvfile, parquetfile, plan
from modelward_batch.accounts import Receipt, Sums
from modelward_batch.answers import Answers, outputs_of
from modelward_batch.drift import (
    NO_REFERENCE,
    DriftFound,
    Pool,
    UnitCounter,
    UnitCounts,
    told_before,
    without_reference,
)
from modelward_batch.errors import Incurable
from modelward_batch.layout import Layout, layout_of
from modelward_batch.plan import DRIFT, MANIFEST, PLAN, UNITS, Plan, Unit
from modelward_batch.planning import Sizes, plan_of
from modelward_batch.progress import Told
from modelward_batch.scoring import Scorer
from modelward_batch.spec import PARQUET, Spec
from modelward_batch.stores import Found, Input, Output, check_apart
from modelward_drift.errors import ProfileError
from modelward_drift.profiles.reference import FILE, Reference
from modelward_inference.artifact.bundle import Manifest
from modelward_inference.artifact.consent import Allowed
from modelward_inference.parity import golden
from modelward_inference.runtimes.base import Model
from modelward_inference.serve import admission

log = logging.getLogger(__name__)

AT_A_TIME: Final = 8
"""Receipts that are read beside each other."""

POOLED: Final = 4 * AT_A_TIME
"""Units whose counts are in memory together: of ten thousand features each has a megabyte."""

Clock = Callable[[], datetime]


def now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True)
class Bundle:
    """Where the model is: as for a server (`serve.process.Settings`)."""

    folder: Path
    artifact: Path | None = None
    allowed: Allowed = None
    cores: int = 1


@dataclass(frozen=True)
class Loaded:
    """The model of a run; `reference`: which knows the names of its columns, and what its rows were like at training,
    where the bundle has one; `unreferenced`: why it has none."""

    manifest: Manifest
    model: Model
    reference: Reference | None
    unreferenced: str = NO_REFERENCE


def loaded(bundle: Bundle, spec: Spec) -> Loaded:
    """Raises ModelError, and Incurable where it is another model than the run's."""
    found = verified(bundle)
    spec.model.of(found.manifest.digest)
    return found


def verified(bundle: Bundle) -> Loaded:
    """The model, which answers its golden rows as it did. Raises ModelError."""
    manifest, model = admission.load(bundle.folder, bundle.artifact, bundle.allowed, bundle.cores)
    golden.verify(model, bundle.folder, manifest)
    return Loaded(manifest, model, *_reference(bundle.folder))


def reference_of(folder: Path) -> Reference | None:
    """None where the bundle has none: names of columns are then the signature's."""
    return _reference(folder)[0]


def _reference(folder: Path) -> tuple[Reference | None, str]:
    """The bundle's; or why there is none that can be used."""
    try:
        return Reference.from_dict(orjson.loads((folder / FILE).read_bytes())), ""
    except FileNotFoundError:
        return None, NO_REFERENCE
    except (ProfileError, ValueError) as error:
        return None, f"the reference of the model's bundle can't be used: {error}"


class Run:
    """One pod's. `source`, `output`: of the same addresses in all pods; `told` is true at any time."""

    def __init__(
        self, spec: Spec, source: Input, output: Output, load: Callable[[], Loaded], sizes: Sizes | None = None,
        clock: Clock = now,
    ) -> None:  # fmt: skip
        self._spec, self._source, self._output, self._load = spec, source, output, load
        self._sizes, self._clock = sizes or Sizes(), clock
        self.told = Told()

    def run(self) -> Told:
        """Raises Incurable, Passing, ModelError."""
        check_apart(self._source, self._output)
        known = self._known_plan()
        model = None
        if known is None:
            model = self._load()
            known = self._new_plan(model)
        mine = known.of_pod(self._spec.index, self._spec.pods)
        receipts = self._receipts(known, mine)
        self._tell(receipts)
        if self._is_complete(known):
            return self.told
        left = [unit for unit in mine if unit.number not in receipts]
        if left:
            model = model or self._load()
            known.model.of(model.manifest.digest)  # a pod that came later, where the run's digest was not known before
            units = _Units(known, model, self._spec, self._source, self._output, self._sizes)
            self._check_share(receipts, known)
            for unit in left:
                receipts[unit.number] = units.score(unit, self._clock)
                self._tell(receipts)
                log.info("%d of %d units are done, %d rows", len(receipts), len(mine), self.told.rows)
                self._check_share(receipts, known)
        self._finish(known, receipts, model)
        return self.told

    def _known_plan(self) -> Plan | None:
        content = self._output.get(PLAN)
        if content is None:
            return None
        found = Plan.parse(content)
        plan.check(found, self._spec)
        return found

    def _new_plan(self, model: Loaded) -> Plan:
        spec = replace(self._spec, model=self._spec.model.of(model.manifest.digest))
        made = plan_of(self._source, spec, model.manifest, self._sizes)
        outputs_of(model.manifest, model.reference, self._spec.keys)
        if self._output.create(PLAN, made.content):
            log.info("planned %d units of %d files", len(made.units), len(made.files))
        # Whatever is there counts, whoever wrote it.
        found = self._known_plan()
        if found is None:
            raise Incurable(f"{self._output.uri}{PLAN} was written and is not there; check who deletes from the output")
        return found

    def _receipts(self, known: Plan, units: Sequence[Unit]) -> dict[int, Receipt]:
        """Of those that have one."""
        there = self._output.names(UNITS)
        asked = [unit for unit in units if unit.receipt in there]
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            contents = list(pool.map(lambda unit: self._output.get(unit.receipt), asked))
        found = (
            Receipt.parse(content, known, unit)
            for unit, content in zip(asked, contents, strict=True)
            if content is not None
        )
        return {each.unit: each for each in found if each is not None}

    def _is_complete(self, known: Plan) -> bool:
        content = self._output.get(MANIFEST)
        if content is None:
            return False
        with suppress(ValueError, TypeError, KeyError):
            document = orjson.loads(content)
            if document["plan"] == known.digest:
                self.told = replace(self.told, complete=True, drift=told_before(document.get("drift")))
                return True
        raise Incurable(
            f"{self._output.uri}{MANIFEST} is of another run; give the run another name, or delete that folder"
        )

    def _check_share(self, receipts: dict[int, Receipt], known: Plan) -> None:
        """Raises Incurable as soon as nothing that is to come can make the share small enough."""
        if known.rows is not None:
            rejected = Sums.of(list(receipts.values())).rejected
            if why := accounts.too_many(rejected, known.rows, self._spec.max_rejected_share):
                raise Incurable(why)

    def _finish(self, known: Plan, mine: dict[int, Receipt], model: Loaded | None) -> None:
        others = [unit for unit in known.units if unit.number not in mine]
        receipts = mine | self._receipts(known, others)
        if len(receipts) < len(known.units):
            log.info("%d of the run's %d units are done; another pod ends it", len(receipts), len(known.units))
            return
        sums = Sums.of(list(receipts.values()))
        if why := accounts.too_many(sums.rejected, sums.rows, self._spec.max_rejected_share):
            raise Incurable(why)
        if not sums.rows:
            raise Incurable(f"the input {self._spec.input} is empty: its files have no row; check what writes it")
        drift = None if self._spec.drift is None else self._drift(known, receipts, model or self._load())
        if drift is not None:
            self._output.put_bytes(DRIFT, drift.content)
        told = None if drift is None else drift.told
        finished = self._clock().astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        if self._output.create(MANIFEST, accounts.manifest(known, receipts, finished, told)):
            log.info("the run is complete: %d rows, %d of them rejected", sums.rows, sums.rejected)
        self._is_complete(known)

    def _drift(self, known: Plan, receipts: dict[int, Receipt], model: Loaded) -> DriftFound:
        """What the counts of all units say."""
        rows = Sums.of(list(receipts.values()))
        if model.reference is None:
            return without_reference(model.unreferenced, rows.rows - rows.rejected)
        pool = Pool(model.reference)
        with ThreadPoolExecutor(AT_A_TIME) as threads:
            for first in range(0, len(known.units), POOLED):
                units = known.units[first : first + POOLED]
                contents = threads.map(lambda unit: self._output.get(unit.counts), units)
                for unit, content in zip(units, contents, strict=True):
                    pool.add(UnitCounts.parse(content, known, receipts[unit.number], model.reference))
        found = pool.judged(self._spec.drift or {})
        log.info("drift: %s (%s): %s", found.verdict, found.reason, found.message)
        return found

    def _tell(self, receipts: dict[int, Receipt]) -> None:
        sums = Sums.of(list(receipts.values()))
        self.told = replace(self.told, rows=sums.rows, rejected=sums.rejected, units=sums.units)


class _Units:
    """Scores one after another."""

    def __init__(
        self, known: Plan, model: Loaded, spec: Spec, source: Input, output: Output, sizes: Sizes
    ) -> None:  # fmt: skip
        self._plan, self._spec, self._source, self._output, self._sizes = known, spec, source, output, sizes
        self._manifest = model.manifest
        self._scorer = Scorer(model.manifest, model.model)
        self._outputs = outputs_of(model.manifest, model.reference, spec.keys)
        self._reference = None if spec.drift is None else model.reference

    def score(self, unit: Unit, clock: Clock) -> Receipt:
        """Afterwards all of it is in the output."""
        begun = time.monotonic()
        file = self._plan.files[unit.file]
        found = Found(file.name, file.size, file.tag)
        with tempfile.TemporaryDirectory() as temporary, self._source.open(found) as opened:
            part, rejects = Path(temporary) / "part", Path(temporary) / "rejects"
            answers = None
            counter = None if self._reference is None else UnitCounter(self._reference)
            with closing(self._batches(opened, unit)) as batches:
                for batch, layout in batches:
                    if answers is None:
                        keys = [batch.schema.field(key) for key in layout.keys]
                        answers = Answers(self._plan, keys, self._outputs, part, rejects)
                    scored = self._scorer.score(batch, layout)
                    answers.add(batch, scored, clock())
                    if counter is not None:
                        counter.add(scored.inputs, scored.outputs, len(scored.answered))
            self._source.check(found)
            if answers is None:  # nothing but blank lines
                nothing = [pa.field(key, pa.string()) for key in self._plan.keys]
                answers = Answers(self._plan, nothing, self._outputs, part, rejects)
            answers.close()
            self._output.put(unit.part, part)
            if answers.rejected:
                self._output.put(unit.rejects, rejects)
        if counter is not None:
            self._output.put_bytes(unit.counts, counter.counted(unit.number, self._plan).content)
        seconds = round(time.monotonic() - begun, 3)
        receipt = Receipt(unit.number, answers.rows, answers.rejected, seconds, self._plan.digest)
        self._output.put_bytes(unit.receipt, receipt.content)
        return receipt

    def _batches(self, opened: BinaryIO, unit: Unit) -> Generator[tuple[pa.RecordBatch, Layout], None, None]:
        file = self._plan.files[unit.file]
        if file.format == PARQUET:
            fields = parquetfile.schema_of(opened, file)
            layout = layout_of(self._manifest, fields.names, self._spec, file.name)
            layout.check_types(fields, file.name)
            made = parquetfile.batches(opened, file, unit, layout, self._sizes.rows)
        else:
            layout = layout_of(self._manifest, file.header, self._spec, file.name, texts=True)
            made = csvfile.batches(
                opened, file, unit.begin, unit.end, layout, self._sizes.rows, self._sizes.piece
            )  # fmt: skip
        yield from ((batch, layout) for batch in made)
