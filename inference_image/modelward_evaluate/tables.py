"""Tables of a team's database or warehouse, read through Ibis: the columns and times that are asked for.

What is read becomes a table of the engine, so that all that follows is the same as for files. Numbers, truths and texts
come as they are, everything else (times, UUIDs, enumerations, exact numbers) as the text that the database makes of it:
a value that no other system can hold is then one unreadable row and not the end of the evaluation.
Failure: EvaluationError, without credentials.
"""

import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import ibis
import pyarrow
from ibis.backends.duckdb import Backend
from ibis.common.exceptions import TableNotFound
from ibis.expr.types import BooleanValue, Table, Value

from modelward_evaluate.columns import as_exact
from modelward_evaluate.errors import EvaluationError, Unreachable, first_line
from modelward_evaluate.outcomes import check_columns
from modelward_evaluate.spec import SPARK, DatabaseTable, Spec

USER: Final = "OUTCOMES_TABLE_USER"
PASSWORD: Final = "OUTCOMES_TABLE_PASSWORD"  # noqa: S105  the variable's name
"""Variables with credentials. PostgreSQL's own (PGPASSWORD, PGPASSFILE, …), Google's and others count as well."""


@dataclass(frozen=True)
class Place:
    """Whose table it is. `name`: of the table that is made of it; `field`: of the specification, for messages; `user`,
    `password`: variables with its login."""

    name: str
    field: str
    user: str
    password: str


OUTCOMES: Final = Place("outcomes", "outcomes.table", USER, PASSWORD)
FEATURES: Final = Place("features", "features.table", "FEATURES_TABLE_USER", "FEATURES_TABLE_PASSWORD")
INPUT: Final = Place("rows", "input.table", "INPUT_TABLE_USER", "INPUT_TABLE_PASSWORD")

CHUNK: Final = 10_000
"""Rows that are fetched at a time."""

CONNECTS: Final = 10
"""Seconds that a connection may take."""

MARGIN: Final = timedelta(days=1)
"""Around the time that is asked for: an outcome's time may be a date, or of another clock."""

MEANINGS: Final = ("value", "request_id", "key", "row", "time", "arrived", "weight")
"""Columns, as the specification names them."""


def read(con: Backend, spec: Spec) -> Table:
    """The outcomes, in `con`. Raises EvaluationError."""
    asked = spec.outcomes.table
    assert asked is not None, "the specification names a table"

    ids = {spec.outcomes.request_id, spec.outcomes.key}
    return copied(con, asked, OUTCOMES, ids, lambda found: narrowed(found, spec))


def narrowed(found: Table, spec: Spec) -> Table:
    """The columns and times that are asked for. Raises EvaluationError."""
    check_columns(found.columns, spec.outcomes)
    names = [name for each in MEANINGS if (name := getattr(spec.outcomes, each)) in found.columns]
    return found.filter(_is_asked_for(found, spec)).select(*dict.fromkeys(names))


def copied(
    con: Backend, asked: DatabaseTable, place: Place, ids: Collection[str], narrowed: Callable[[Table], Table]
) -> Table:
    """A table of `con` with what `narrowed` leaves of the remote one. `ids`: columns that are padded with spaces where
    they have a fixed length. Raises EvaluationError."""
    with opened(asked, place) as (remote, found):
        wanted = narrowed(found)
        exact = [name for name, kind in wanted.schema().items() if kind.is_decimal()]
        plain = wanted.select(**{name: _plain(wanted[name], name in ids) for name in wanted.columns})
        made = _copied(con, remote, plain, asked, place)
        return made.mutate(**{name: as_exact(made[name]) for name in exact}) if exact else made


@contextlib.contextmanager
def opened(asked: DatabaseTable, place: Place) -> Iterator[tuple[Any, Table]]:
    """A connection, and the table of it. Raises EvaluationError; Unreachable where that may pass."""
    remote = _connected(asked, place)
    try:
        yield remote, _table(remote, asked, place)
    finally:
        with contextlib.suppress(Exception):  # it was of use before
            remote.disconnect()


def _connected(asked: DatabaseTable, place: Place) -> Any:
    if asked.kind == SPARK:
        raise EvaluationError(
            f"{place.field}: a table of {SPARK}:// is there for an evaluation by Spark alone (python -m "
            "modelward_evaluate --spark)"
        )
    options: dict[str, Any] = {}
    user, password = os.environ.get(place.user), os.environ.get(place.password)
    if asked.kind == "duckdb":
        # A view in it must not read other files.
        options = {"read_only": True, "enable_external_access": "false"}
    else:
        options |= {"user": user} if user else {}
        options |= {"auth" if asked.kind == "trino" else "password": password} if password else {}
    if asked.kind == "postgres":
        options["connect_timeout"] = CONNECTS
    try:
        con = ibis.connect(asked.url, **options)
        if asked.kind == "postgres":
            con.raw_sql("SET default_transaction_read_only = on").close()
        if asked.kind == "duckdb":
            con.raw_sql("SET TimeZone = 'UTC'")
        return con
    except ImportError as error:
        raise EvaluationError(
            f"{place.field}: {asked.kind} needs a driver that is not installed ({error.name}); "
            f"pip install 'ibis-framework[{asked.kind}]'"
        ) from error
    except Exception as error:  # of a driver, of which there are many
        raise Unreachable(
            f"{place.field}: {asked.url} can't be reached: {_words(error)}; check the address, and {place.user} and "
            f"{place.password} of the environment"
        ) from error


def _table(remote: Any, asked: DatabaseTable, place: Place) -> Table:
    where = asked.name if asked.database is None else f"{asked.database}.{asked.name}"
    try:
        found: Table = remote.table(asked.name, database=asked.database)
        return found
    except TableNotFound as error:
        raise EvaluationError(
            f"{place.field}: there is no table {where!r} at {asked.url}; write its name as the database has it (a "
            "schema goes into `schema`)"
        ) from error
    except Exception as error:
        raise EvaluationError(f"{place.field}: {where!r} can't be looked at: {_words(error)}") from error


def _is_asked_for(found: Table, spec: Spec) -> BooleanValue:
    """Whether a row can be of a prediction that is evaluated, by when it arrived; a row that does not say can."""
    low = spec.begin - MARGIN if spec.begin is not None else None
    high = None
    if spec.end is not None and spec.label_window_seconds is not None:
        high = spec.end + timedelta(seconds=spec.label_window_seconds) + MARGIN
    always: BooleanValue = ibis.literal(True)
    within = always
    for name in (spec.outcomes.time, spec.outcomes.arrived):  # the second decides where it is there
        if name in found.columns:
            each = found[name]
            within = each.isnull().ifelse(within, is_between(each, low, high))
    return within


def is_between(when: Value, low: datetime | None, high: datetime | None) -> BooleanValue:
    """Of a column that has times; what has texts is read as a whole. None: there is no such end."""
    kind = when.type()
    if not kind.is_timestamp() and not kind.is_date():
        return ibis.literal(True)

    def literal(moment: datetime) -> Value:
        # Without a zone it is UTC on both sides.
        moment = moment.astimezone(UTC)
        if kind.is_date():
            return ibis.literal(moment.date())
        return ibis.literal(moment if kind.timezone is not None else moment.replace(tzinfo=None), kind)

    found: BooleanValue = ibis.literal(True)
    if low is not None:
        found = when >= literal(low)
    if high is not None:
        found = found & (when <= literal(high))
    return found


def _plain(value: Value, is_id: bool) -> Value:
    """As something that every driver hands over alike."""
    kind = value.type()
    if kind.is_string():
        # Columns of a fixed length are padded.
        return value.rstrip() if is_id else value
    if kind.is_boolean() or kind.is_integer() or kind.is_floating():
        return value
    return value.cast("string")


def _copied(con: Backend, remote: Any, plain: Table, asked: DatabaseTable, place: Place) -> Table:
    """What is read, a chunk at a time: nothing of it has to fit into memory."""
    failed: list[Exception] = []

    def told() -> Iterator[Any]:
        try:
            yield from batches(remote, plain, asked)
        except Exception as error:
            failed.append(error)  # the engine would only say that there was one
            raise

    schema = plain.schema().to_pyarrow()
    try:
        con.con.register("arriving", pyarrow.RecordBatchReader.from_batches(schema, told()))
        con.con.execute(f"CREATE TEMP TABLE {place.name} AS SELECT * FROM arriving")  # noqa: S608  a name of ours
        con.con.unregister("arriving")
        return con.table(place.name)
    except Exception as error:
        raise unread(failed[0] if failed else error, asked, place) from error


def unread(error: Exception, asked: DatabaseTable, place: Place) -> EvaluationError:
    """What is told of a driver's error; Unreachable but where a right is missing."""
    denied = "permission denied" in str(error).lower()
    told = f"{place.field}: {asked.name!r} can't be read: {_words(error)}"
    return EvaluationError(f"{told}; grant SELECT on it") if denied else Unreachable(told)


def batches(remote: Any, plain: Table, asked: DatabaseTable, chunk: int = CHUNK) -> Iterator[Any]:
    """Record batches of up to `chunk` rows, of one statement: what others write meanwhile is not among them. Raises
    whatever the driver does."""
    if asked.kind != "postgres":
        yield from remote.to_pyarrow_batches(plain, chunk_size=chunk)
        return
    # Its driver would else hold all rows before the first is handed out.
    kind = plain.schema().as_struct().to_pyarrow()
    with remote.con.transaction(), remote.con.cursor(name="rows") as cursor:
        cursor.execute(remote.compile(plain))
        while rows := cursor.fetchmany(chunk):
            yield pyarrow.RecordBatch.from_struct_array(pyarrow.array(map(tuple, rows), kind))


def _words(error: Exception, environment: Mapping[str, str] = os.environ) -> str:
    """What a driver says, without a password."""
    said = first_line(error)[:500]
    for name in (OUTCOMES.password, FEATURES.password, INPUT.password, "PGPASSWORD"):
        if secret := environment.get(name):
            said = said.replace(secret, "…")
    return said
