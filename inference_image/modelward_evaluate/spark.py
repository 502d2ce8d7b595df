"""The same evaluation by a team's Spark, for logs that are more than one machine's: the expressions are those that
DuckDB has, compiled by Ibis to Spark's SQL, and the sums are the same.

Which files count is found out by this process; Spark reads them, by its own rights. Numbers of rows are random there,
so what has them is a checkpoint: where one is lost the evaluation fails, and no row is counted twice. Needs pyspark 4.
Failure: EvaluationError.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any, Final

import ibis
import pyarrow
from ibis.backends.pyspark import Backend
from ibis.common.exceptions import IbisError
from ibis.expr.types import Table
from pyarrow import dataset, fs, parquet
from pyspark.errors import PySparkException
from pyspark.sql import SparkSession, functions
from pyspark.sql.utils import is_remote

from modelward_evaluate import evaluate as evaluator
from modelward_evaluate import sources, tables
from modelward_evaluate.cohorts import Keep
from modelward_evaluate.errors import EvaluationError, first_line
from modelward_evaluate.evaluate import Evaluation
from modelward_evaluate.inputs import WHAT, Engine, Opened, inputs, outcomes_of
from modelward_evaluate.sources import Listing, alike
from modelward_evaluate.spec import SPARK, Spec

SETTINGS: Final = {
    "spark.sql.ansi.enabled": "true",
    "spark.sql.caseSensitive": "true",
    "spark.sql.files.ignoreCorruptFiles": "false",
    "spark.sql.files.ignoreMissingFiles": "false",
    # Times of pandas are such.
    "spark.sql.legacy.parquet.nanosAsLong": "true",
    "spark.sql.parser.escapedStringLiterals": "false",
    # A revision 0017 is no number.
    "spark.sql.sources.partitionColumnTypeInference.enabled": "false",
    # ${env:…} and ${spark.…} in a text of somebody's expression would be what the server keeps secret.
    "spark.sql.variable.substitute": "false",
}
"""Of the session in which it is evaluated."""

CHANGED: Final = ("spark.sql.session.timeZone", "spark.sql.mapKeyDedupPolicy")
"""What Ibis sets besides."""

CHECKPOINTS: Final = "spark.checkpoint.dir"

GLOB: Final = frozenset("*?[]{}\\")
"""Characters that Spark takes for a pattern of paths."""

VIEW: Final = "modelward_"
"""What views of the session begin with."""

Named = tuple[tuple[str, Any], ...]
"""Columns that the names of a file's folders say, and their values."""

Views = dict[str, Any]
"""With their data frames: a server forgets one that nobody has any more."""


def evaluate(session: SparkSession, spec: Spec) -> Evaluation:
    """As evaluate.evaluate says. `session`: its settings and views are left as they are. Raises EvaluationError."""
    return evaluator.evaluate(spec, on(session))


def connected() -> Engine:
    """The Spark that the environment names: spark-submit's, SPARK_REMOTE, or what spark-defaults.conf says. Raises
    EvaluationError."""
    try:
        return on(SparkSession.builder.appName("modelward-evaluate").getOrCreate())
    except Exception as error:  # of the JVM, of gRPC, of missing packages
        where = os.environ.get("SPARK_REMOTE")
        raise EvaluationError(
            f"Spark{f' at {where}' if where else ''} can't be reached: {first_line(error)}; check SPARK_REMOTE, or "
            "what spark-submit was given"
        ) from error


def on(session: SparkSession) -> Engine:
    """The evaluator's engine: a session of its own beside the one that is given, in the same application. Of a server
    it is the one that is given, with its settings as before afterwards: PySpark 4.3 loses checkpoints of others."""

    @contextmanager
    def opened(spec: Spec) -> Iterator[Opened]:
        given = inputs(spec)
        views: Views = {}
        with _failing(), _set(session if is_remote() else session.newSession()) as own:
            if getattr(ibis.options, _Spark.name, None) is None:
                _Spark.register_options()
            con = _Spark().connect(own)
            keep = _keeping(own, con, views)
            try:
                predictions = _read(own, given.log, "predictions", given.folders)
                yield Opened(
                    _viewed(predictions, "predictions", con, views), _outcomes(own, con, given.told, spec, views), keep
                )
            finally:
                for each in views:
                    with contextlib.suppress(Exception):  # the session may be gone
                        own.catalog.dropTempView(each)

    return opened


@contextmanager
def _set(own: SparkSession) -> Iterator[SparkSession]:
    """With SETTINGS while it is asked."""
    before = {name: own.conf.get(name, None) for name in (*SETTINGS, *CHANGED)}
    try:
        for name, value in SETTINGS.items():
            own.conf.set(name, value)
        yield own
    finally:
        with contextlib.suppress(Exception):  # the session may be gone
            for name, value in before.items():
                if value is None:
                    own.conf.unset(name)
                else:
                    own.conf.set(name, value)


@contextmanager
def _failing() -> Iterator[None]:
    """Raises EvaluationError for what Spark says."""
    failures: tuple[type[Exception], ...] = (PySparkException, pyarrow.ArrowException, IbisError, OSError)
    with contextlib.suppress(ImportError):  # a client of Spark Connect has none
        from py4j.protocol import Py4JError

        failures = (*failures, Py4JError)
    try:
        yield
    except failures as error:
        raise EvaluationError(f"the {WHAT} failed: {first_line(error)[:500]}") from error


class _Spark(Backend):  # type: ignore[misc]  # Ibis' own types are not asked
    """Ibis goes by way of pandas, where whole numbers with gaps are floats, and by one answer as a whole."""

    def to_pyarrow(self, expr: Any, /, *, params: Any = None, limit: Any = None, **_: Any) -> Any:
        said = self._asked(expr, params, limit).toArrow()
        return expr.__pyarrow_result__(said.cast(expr.as_table().schema().to_pyarrow()))

    def to_pyarrow_batches(
        self, expr: Any, /, *, params: Any = None, limit: Any = None, chunk_size: int = 10_000, **_: Any
    ) -> Any:
        schema = expr.as_table().schema().to_pyarrow()
        rows = self._asked(expr, params, limit).toLocalIterator()

        def batches() -> Iterator[Any]:
            while some := [each.asDict() for _, each in zip(range(chunk_size), rows, strict=False)]:
                yield pyarrow.RecordBatch.from_pylist(some, schema)

        return pyarrow.RecordBatchReader.from_batches(schema, batches())

    def _asked(self, expr: Any, params: Any, limit: Any) -> Any:
        self._run_pre_execute_hooks(expr)
        return self._session.sql(self.compile(expr.as_table(), params=params, limit=limit))


def _keeping(own: SparkSession, con: Backend, views: Views) -> Keep:
    durable = own.conf.get(CHECKPOINTS, None) is not None

    def keep(name: str, table: Table, number: str | None = None) -> Table:
        frame = own.sql(con.compile(table))
        if number is not None:
            frame = frame.withColumn(number, functions.monotonically_increasing_id())
        return _viewed(frame.checkpoint() if durable else frame.localCheckpoint(), name, con, views)

    return keep


def _viewed(frame: Any, name: str, con: Backend, views: Views) -> Table:
    view = VIEW + name
    frame.createOrReplaceTempView(view)
    views[view] = frame
    return con.table(view)


def _outcomes(own: SparkSession, con: Backend, told: Listing | None, spec: Spec, views: Views) -> Table:
    table = spec.outcomes.table
    if table is not None and table.kind == SPARK:
        parts = [*(table.database.split(".") if table.database else ()), table.name]
        whole = own.table(".".join(f"`{each.replace('`', '``')}`" for each in parts))
        return tables.narrowed(_viewed(whole, "outcomes", con, views), spec)
    if told is not None and all(each.endswith(".parquet") for each in told.paths):
        asked = {getattr(spec.outcomes, each) for each in tables.MEANINGS}
        return _viewed(_read(own, told, "outcomes", asked=asked), "outcomes", con, views)
    # What Spark reads otherwise than DuckDB, or from elsewhere.
    with sources.engine(spec, WHAT) as here:
        arrived = outcomes_of(here, told, spec).to_pyarrow()
    return _viewed(own.createDataFrame(arrived), "outcomes", con, views)


def _read(
    own: SparkSession, files: Listing, what: str, folders: pyarrow.Schema | None = None,
    asked: Collection[str] | None = None,
) -> Any:  # fmt: skip
    """A data frame of all rows of Parquet files; columns that some have are null in the others. `folders`: the schema
    of those that are columns, None: their names tell, of columns that are `asked` (None: of all). Raises
    EvaluationError."""
    if not files.paths:
        raise EvaluationError(f"{what}: there are no files")
    if other := next((each for each in files.paths if not each.endswith(".parquet")), None):
        raise EvaluationError(f"{what}: {other} is not Parquet, which Spark is asked to read; write it as Parquet")
    known: dict[str, pyarrow.Schema] = {}
    same: dict[tuple[pyarrow.Schema, Named], list[str]] = {}
    try:
        named = _named(files, asked) if folders is None else {}
        for path in files.paths:
            kind = alike(path) if files.typical is None else path
            if kind not in known:
                known[kind] = parquet.read_schema(path, filesystem=files.store).remove_metadata()
            same.setdefault((known[kind], named.get(path, ())), []).append(path)
        pyarrow.unify_schemas([schema for schema, _ in same], promote_options="permissive")
    except (OSError, pyarrow.ArrowException) as error:
        raise EvaluationError(f"{what} can't be read: {first_line(error)}") from error
    address = _addresses(files, what)
    base = None if not folders else _before(files.paths[0], folders.names)
    frames = [
        _one(own, [address(each) for each in paths], schema, None if base is None else address(base), said)
        for (schema, said), paths in same.items()
    ]
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)


def _named(files: Listing, asked: Collection[str] | None) -> dict[str, Named]:
    """What folders as `day=2026-01-31` say of each file, as sources.table has it."""
    options = dataset.FileSystemFactoryOptions(partitioning=dataset.HivePartitioning.discover())
    found = dataset.FileSystemDatasetFactory(files.store, list(files.paths), dataset.ParquetFileFormat(), options)
    keys = (
        (each.path, dataset.get_partition_keys(each.partition_expression)) for each in found.finish().get_fragments()
    )
    return {
        path: tuple(sorted((name, value) for name, value in said.items() if asked is None or name in asked))
        for path, said in keys
    }


def _one(own: SparkSession, addresses: Sequence[str], schema: pyarrow.Schema, base: str | None, named: Named) -> Any:
    """Of files with the same columns, and with those of their folders' names."""
    frame = (own.read if base is None else own.read.option("basePath", base)).parquet(*addresses)
    if len(there := frame.inputFiles()) != len(addresses):
        raise EvaluationError(
            f"Spark reads {len(there)} of {len(addresses)} files, such as {addresses[0]}: it leaves out names that "
            "begin with _ or a point; rename them"
        )
    for each in schema:
        if pyarrow.types.is_null(each.type):
            # Nothing was ever in it: to Spark it is one of whole numbers.
            frame = frame.withColumn(each.name, functions.lit(None))
    whole = {name for name, kind in frame.dtypes if kind == "bigint"}
    nanos = [each.name for each in schema if pyarrow.types.is_timestamp(each.type) and each.name in whole]
    for name in nanos:
        quoted = f"`{name.replace('`', '``')}`"
        # By whole numbers: a float has not all digits of them.
        micros = functions.expr(f"({quoted} - pmod({quoted}, 1000L)) div 1000L")
        frame = frame.withColumn(name, functions.timestamp_micros(micros))
    for name, value in named:
        if name not in schema.names:
            frame = frame.withColumn(name, functions.lit(value))
    return frame


def _addresses(files: Listing, what: str) -> Callable[[str], str]:
    """What Spark calls a path. Raises EvaluationError."""
    scheme = "file://" if isinstance(files.store, fs.LocalFileSystem) else "s3a://"

    def address(path: str) -> str:
        if GLOB & set(path):
            raise EvaluationError(f"{what}: {path} has one of {''.join(sorted(GLOB))}, which Spark takes for a pattern")
        return scheme + path

    return address


def _before(path: str, names: Sequence[str]) -> str:
    """The folder in which those begin that are columns."""
    parts = path.split("/")
    first = next((place for place, each in enumerate(parts) if each.partition("=")[0] in names), len(parts) - 1)
    return "/".join(parts[:first])
