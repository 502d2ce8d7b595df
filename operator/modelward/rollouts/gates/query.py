"""A user's PromQL query as a gate: which query is asked, and what its answers say about the candidate."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Template
from typing import Final, Literal

Verdict = Literal["Pass", "Fail", "Inconclusive"]

_KUBERNETES_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
"""An RFC 1123 label: it means itself in a PromQL string as in a regular expression."""


class QueryError(ValueError):
    """The query can't be asked; the message names the cause and the cure."""


@dataclass(frozen=True)
class Threshold:
    """The values that are good, bounds included. None: no bound on that side."""

    max: float | None = None
    min: float | None = None

    def holds(self, value: float) -> bool:
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)


@dataclass(frozen=True)
class Reading:
    """One answer: a value, or `error` why there is none. Neither: the query selected no data."""

    value: float | None = None
    error: str | None = None


def render(template: str, values: Mapping[str, str]) -> str:
    """The query with `$name` or `${name}` replaced by the value of that name, and `$$` by a dollar sign.

    `values`: Kubernetes names, so that nothing needs escaping. Raises QueryError for a variable that is not among them.
    """
    for name, value in values.items():
        if not _KUBERNETES_NAME.fullmatch(value):
            raise QueryError(f"{value!r}, the value of ${name}, is no Kubernetes name and may not stand in a query")
    known = ", ".join(f"${name}" for name in sorted(values))
    try:
        return Template(template).substitute(values)
    except KeyError as error:
        unknown = f"${error.args[0]} in the query means nothing"
    except ValueError:
        unknown = "A $ in the query begins no variable"
    raise QueryError(
        f"{unknown}; the variables are {known}. Write $$ for a dollar sign, and ${{…}} where a letter, digit "
        "or _ follows a variable"
    )


def judge(threshold: Threshold, failures_so_far: int, reading: Reading, failure_limit: int) -> tuple[Verdict, int]:
    """The verdict after one more reading, and the count of bad values in a row to go on with.

    A good value passes and resets the count. A bad one raises it, and fails when it reaches `failure_limit`. No data
    and errors say nothing about the candidate: they leave the count as it is.
    """
    if reading.error is not None or reading.value is None or math.isnan(reading.value):
        return "Inconclusive", failures_so_far
    if threshold.holds(reading.value):
        return "Pass", 0
    failures = failures_so_far + 1
    return ("Fail" if failures >= failure_limit else "Inconclusive"), failures
