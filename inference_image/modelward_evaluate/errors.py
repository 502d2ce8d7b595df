"""What is wrong with what the evaluator was given."""

from pydantic import ValidationError


class EvaluationError(ValueError):
    """Says what is wrong, where, and what to do about it."""


class Unreachable(EvaluationError):  # noqa: N818
    """It may pass: a database that is away, or ends a connection."""


def first_line(error: Exception) -> str:
    """Of what an engine says: it goes on for many."""
    return str(error).strip().split("\n")[0]


def first_wrong(error: ValidationError, whole: str = "") -> str:
    """The first field that is wrong, and why. `whole`: what it is called where no field is."""
    first = error.errors(include_url=False)[0]
    where = ".".join(map(str, first["loc"])) or whole
    return f"{where}: {first['msg']}" if where else str(first["msg"])
