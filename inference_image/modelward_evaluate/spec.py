"""What is to be evaluated, as JSON has it. Unknown names are refused."""

from datetime import datetime, timedelta
from math import isfinite
from typing import Annotated, Final, Literal, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from modelward_evaluate.errors import EvaluationError

Column = Annotated[str, Field(min_length=1, max_length=200)]
Expression = Annotated[str, Field(min_length=1, max_length=2000)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Files(Strict):
    """Parquet or CSV files below a folder or `s3://bucket/prefix`. Keys and endpoint come from the environment
    (AWS_…), or from files of these names in the folder `credentials`."""

    path: Annotated[str, Field(min_length=1, max_length=2000)]
    credentials: Annotated[str, Field(min_length=1, max_length=2000)] | None = None


class BatchOutput(Strict):
    """The folder has what batches wrote (docs/batch-output.md). `key`: which of their keys outcomes are told by;
    `of`: the BatchInference whose runs count, None: all that are there."""

    key: Annotated[str, Field(min_length=1, max_length=256)]
    of: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$")] | None = None


class Predictions(Files):
    """The folder of a prediction log, or with `batch` of what batches have written."""

    batch: BatchOutput | None = None


KINDS: Final = {"postgres": "postgres", "postgresql": "postgres"} | {
    each: each for each in ("duckdb", "snowflake", "bigquery", "trino", "spark")
}
"""Engines of tables by the schemes of their addresses, as Ibis calls them."""

SPARK: Final = "spark"
"""Of the Spark that evaluates (spark.py), which has no further address."""


class DatabaseTable(Strict):
    """A table or view of a database. `url`: as Ibis reads it, such as postgres://host:5432/database, without a
    password: credentials come from the environment (tables.py). `schema`: where it is not the connection's own."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    name: Annotated[str, Field(min_length=1, max_length=200)]
    database: Annotated[str | None, Field(min_length=1, max_length=200, alias="schema")] = None

    @property
    def kind(self) -> str:
        """The engine."""
        return KINDS[self.url.partition("://")[0]]

    @model_validator(mode="after")
    def _is_reachable(self) -> Self:
        scheme, found, _ = self.url.partition("://")
        if not found or scheme not in KINDS:
            raise ValueError(f"url: an address that begins with one of {', '.join(f'{each}://' for each in KINDS)}")
        if scheme == SPARK and self.url != f"{SPARK}://":
            raise ValueError(f"url: {SPARK}:// alone: it is a table of the Spark that evaluates")
        try:
            parts = urlsplit(self.url)
            named = parts.password is not None
        except ValueError:
            raise ValueError("url: it can't be read as an address") from None
        if named or {name.lower() for name, _ in parse_qsl(parts.query)} & SECRETS:
            raise ValueError(
                "url: it has a password, which would stand in files and logs; leave it out, and set "
                "OUTCOMES_TABLE_USER and OUTCOMES_TABLE_PASSWORD (of features: FEATURES_TABLE_…) in the environment"
            )
        return self


SECRETS: Final = {"password", "passwd", "sslpassword", "token", "auth", "private_key"}
"""Parameters of an address that have no place in a file."""


class Source(Strict):
    """Where rows of a team's own are: files (`path`, with `credentials` as those of predictions) or a `table`."""

    path: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    credentials: Annotated[str, Field(min_length=1, max_length=2000)] | None = None
    table: DatabaseTable | None = None

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if (self.path is None) == (self.table is None):
            raise ValueError("write either `path` (files) or `table` (of a database)")
        return self

    @property
    def files(self) -> Files | None:
        return None if self.path is None else Files(path=self.path, credentials=self.credentials)


class Outcomes(Source):
    """Columns by what they mean; either `request_id` or `key` has to be there in the data.

    `absent`: the outcome of rows that have none when their window is over (no chargeback came: "0").
    """

    value: Column = "value"
    request_id: Column = "request_id"
    key: Column = "key"
    row: Column = "row"
    time: Column = "time"
    arrived: Column = "arrived"
    weight: Column = "weight"
    absent: str | FiniteFloat | bool | None = None


class Classes(Strict):
    """A class is foretold. `label`: the column with it, or `score`: that with the probability of `positive`, which is
    foretold from `threshold` on. With `positive` and a score there are curves, losses and calibration."""

    task: Literal["classes"] = "classes"
    label: Column | None = None
    score: Column | None = None
    positive: str | None = None
    threshold: Annotated[float, Field(ge=0, le=1)] = 0.5

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.label is None and self.score is None:
            raise ValueError("a classification needs `label` or `score`")
        if self.score is not None and self.positive is None:
            raise ValueError("`score` needs `positive`: the label that it is the probability of")
        return self


class Numbers(Strict):
    """A number is foretold."""

    task: Literal["numbers"] = "numbers"
    value: Column


REQUEST: Final = "request_id"


class Ranking(Strict):
    """The rows of a request (or those that share `group`) are ranked by `score`; outcomes are their relevance. `k`:
    places that count."""

    task: Literal["ranking"] = "ranking"
    score: Column
    group: Column = REQUEST
    k: Annotated[int, Field(ge=1, le=10_000)] | None = None


class Segment(Strict):
    """Rows by the values of a column, or of an SQL expression over the columns (as DuckDB writes it)."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,63}$")]
    column: Column | None = None
    sql: Expression | None = None
    values: Annotated[int, Field(ge=1, le=200)] = 50
    """The most frequent ones have statistics, the others are one: `(others)`."""

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.column is None) == (self.sql is None):
            raise ValueError(f"segment {self.name}: write either `column` or `sql`")
        return self


class Concept(Strict):
    """Whether the loss has risen, by day and revision, in all and in each segment. `reference_days`: a revision's first
    days with matured rows, which the later ones are held against; `budget`: false alarms in 30 days of one revision and
    arm, in all segments together; `margin`: a rise of the mean loss that does not matter."""

    reference_days: Annotated[int, Field(ge=3, le=366)] = 14
    budget: Annotated[float, Field(gt=0, le=10)] = 0.05
    margin: Annotated[float, Field(ge=0, le=1e12)] = 0.0


class Run(Strict):
    """`begin`, `end`: which predictions, by their time; `memory_mb`, `threads`: of the engine."""

    begin: AwareDatetime | None = None
    end: AwareDatetime | None = None
    memory_mb: Annotated[int, Field(ge=256)] = 1024
    threads: Annotated[int, Field(ge=1, le=256)] = 1


class Spec(Run):
    """`label_window_seconds`: how long outcomes are waited for; a row counts when that is over, by what is known then.
    Without it every outcome counts as soon as it is there, which is biased where those of one kind come sooner.
    `now`: the time of the evaluation."""

    predictions: Predictions
    outcomes: Outcomes
    task: Annotated[Classes | Numbers | Ranking, Field(discriminator="task")]
    label_window_seconds: Annotated[float, Field(ge=0, le=10 * 366 * 86400)] | None = None
    now: AwareDatetime
    segments: Annotated[tuple[Segment, ...], Field(max_length=50)] = ()
    fairness: Segment | None = None
    """The segment whose groups are held against one another."""
    business: Expression | None = None
    """An SQL expression of a row's worth; `outcome` is its outcome."""
    concept: Concept | None = None
    hourly: bool = False
    """Whether sums are of each hour, and not of each day."""
    unit: Column | None = None
    """The log's column that says whose a row is, where rows of one user are not independent."""

    @property
    def all_segments(self) -> tuple[Segment, ...]:
        return (*self.segments, *([self.fairness] if self.fairness else []))

    @property
    def matured(self) -> datetime:
        """Predictions from before have outcomes, or never will."""
        return self.now - timedelta(seconds=self.label_window_seconds or 0.0)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [each.name.lower() for each in self.all_segments]
        if len(set(names)) != len(names):
            raise ValueError("two segments have the same name, but for upper and lower case")
        return self

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if not 1970 <= self.now.year <= 2200:
            raise ValueError("now: a time from 1970 to 2200")
        absent = self.outcomes.absent
        if absent is not None and not isinstance(self.task, Classes) and not _is_number(absent):
            raise ValueError(f"outcomes.absent: {absent!r} is no number, but the task is {self.task.task}")
        if self.predictions.batch is not None:
            self._is_possible_of_batches()
        return self

    def _is_possible_of_batches(self) -> None:
        if isinstance(self.task, Ranking) and self.task.group == REQUEST:
            raise ValueError("task.group: rows of a batch are of no request; name a column that they are ranked within")
        if self.concept is not None:
            raise ValueError("concept: a batch scores the same keys day after day; leave it out")


def _is_number(value: str | float | bool) -> bool:
    try:
        return isfinite(float(value))
    except ValueError:
        return False


def load(text: str | bytes) -> Spec:
    """Raises EvaluationError, naming each field that is wrong."""
    try:
        return Spec.model_validate_json(text)
    except ValidationError as error:
        raise EvaluationError(explained(error)) from error


def explained(error: ValidationError) -> str:
    """Each field that is wrong, and why."""
    wrong = "; ".join(
        f"{'.'.join(map(str, each['loc'])) or 'the whole'}: {each['msg']}" for each in error.errors(include_url=False)
    )
    return f"the evaluation can't be read: {wrong}"
