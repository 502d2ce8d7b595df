"""Expressions that people write in SQL: one value of a row each, of columns that are there."""

import re
from collections.abc import Mapping
from typing import Final

import sqlglot
from ibis.expr.types import Table
from sqlglot import expressions as sql

from modelward_evaluate.columns import listed
from modelward_evaluate.errors import EvaluationError, first_line

DIALECT = "duckdb"

_REFUSED = (sql.Query, sql.AggFunc, sql.Window, sql.Star, sql.Columns, sql.UDTF, sql.Placeholder, sql.Command)
"""What is no value of a single row."""

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_ROUNDS: Final = 4
"""In which an expression reads as it is written."""


def parse(text: str, what: str) -> sql.Expression:
    """As an engine will read it. Raises EvaluationError where it is no expression of a single row."""
    said = text
    for _ in range(_ROUNDS):
        made = _parsed(said, what)
        written = made.sql(DIALECT, comments=False)
        if written == said:
            return made
        said = written
    raise EvaluationError(f"{what}: {text[:300]!r} reads otherwise each time that it is written; write it plainly")


def _parsed(text: str, what: str) -> sql.Expression:
    try:
        found = sqlglot.parse(f"select {text}", dialect=DIALECT)
    except RecursionError as error:
        raise EvaluationError(f"{what}: {text[:50]!r}… is nested too deeply; write it shorter") from error
    except sqlglot.errors.SqlglotError as error:
        raise EvaluationError(f"{what}: {text!r} is no expression in SQL: {first_line(error)[:300]}") from error
    query = found[0] if len(found) == 1 else None
    if not isinstance(query, sql.Select) or len(query.expressions) != 1:
        raise EvaluationError(f"{what}: {text!r} is not one expression")
    made: sql.Expression = query.expressions[0]
    if isinstance(made, sql.Alias):
        made = made.this
    if any(value for name, value in query.args.items() if name not in ("expressions", "kind") and value):
        raise EvaluationError(f"{what}: {text!r} is more than an expression")
    refused = next(made.find_all(*_REFUSED), None)
    if refused is not None:
        raise EvaluationError(f"{what}: {refused.sql(DIALECT)!r} is no value of a single row")
    if (word := next((each for each in map(_unquoted, made.walk()) if not _WORD.fullmatch(each)), None)) is not None:
        raise EvaluationError(f"{what}: {word[:300]!r} is no name of a type, a function or a part of a time")
    return made


def _unquoted(node: sql.Expr) -> str:
    """What sqlglot writes as it is, whatever quotes it had, so that there could be any SQL in it; else a word."""
    if isinstance(node, sql.DataType) and node.args.get("kind") is not None:
        kind = node.args["kind"]
        return kind if isinstance(kind, str) else str(kind.name)
    return node.name if isinstance(node, sql.Var | sql.Anonymous) else "_"


def columns_of(made: sql.Expression) -> set[str]:
    """A column with a point may be written with quotes (`"input.age"`) or without (`input.age`)."""
    return {".".join(part.name for part in each.parts) for each in made.find_all(sql.Column)}


def with_value(table: Table, name: str, text: str, what: str, columns: Mapping[str, str] | None = None) -> Table:
    """`table` with a further column. `columns`: what the expression may name, and the column of each; without it those
    of the table. Raises EvaluationError."""
    made = parse(text, what)
    engine = table.get_backend().name
    if engine != DIALECT and (unknown := next(made.find_all(sql.Anonymous), None)) is not None:
        # Of what nobody knows nobody knows what it means elsewhere; and Spark's reflect() calls any code.
        raise EvaluationError(f"{what}: {unknown.name} is a function of DuckDB alone, and not of {engine}")
    known = {each: each for each in table.columns} if columns is None else columns
    missing = columns_of(made) - set(known)
    if missing:
        raise EvaluationError(f"{what}: there is no column {listed(missing)}, but {listed(known)}")
    for each in list(made.find_all(sql.Column)):
        said = ".".join(part.name for part in each.parts)
        whole = sql.Column(this=sql.to_identifier(known[said], quoted=True))
        if each is made:
            made = whole
        else:
            each.replace(whole)
    added = sql.alias_(made, name, quoted=True)
    try:
        rows = f"rows{len(table.columns)}"  # not as that of an expression before
        query = sql.select("*", added).from_(rows).sql(DIALECT)
        result = table.alias(rows).sql(query, dialect=DIALECT)
        result.schema()
    except Exception as error:  # of the engine, of which there are many
        raise EvaluationError(f"{what}: {text!r} can't be computed: {first_line(error)[:300]}") from error
    return result
