"""What came of several runs of pytest, put together: counts, what failed, and the figures that tests measured."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

ORDER = ("failed", "passed", "skipped", "xfailed", "xpassed", "error")
"""As pytest orders them."""

MAX_CAUSE = 700
"""Characters of why a test failed: what a program said last is at the end."""

WIDTH = 80


@dataclass
class Tally:
    """`counts`: tests by outcome, as pytest's own summary counts them; `bad`: outcome, name and cause of those that are
    not as they should be; `measured`: figures that tests told of.
    """

    counts: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    measured: list[str] = field(default_factory=list)

    def __iadd__(self, other: Self) -> Self:
        self.counts += other.counts
        self.bad += other.bad
        self.measured += other.measured
        return self

    @classmethod
    def of(cls, stats: dict[str, list[Any]]) -> Self:
        """From the reports of pytest's terminal, by outcome."""
        made = cls()
        for outcome in ORDER:
            reports = [each for each in stats.get(outcome, ()) if getattr(each, "count_towards_summary", True)]
            made.counts[outcome] += len(reports)
            if outcome in ("failed", "error", "xpassed"):
                made.bad += [f"{outcome.upper()} {each.nodeid}{_cause(each)}" for each in reports]
            made.measured += _measured(reports)
        return made

    def write(self, path: Path) -> None:
        path.write_text(json.dumps({"counts": self.counts, "bad": self.bad, "measured": self.measured}))

    @classmethod
    def read(cls, path: Path) -> Self:
        found = json.loads(path.read_text())
        return cls(Counter(found["counts"]), found["bad"], found["measured"])

    def line(self, seconds: float) -> str:
        """pytest's last line for all of them."""
        parts = [
            f"{self.counts[outcome]} {outcome + 's' * (outcome == 'error' and self.counts[outcome] > 1)}"
            for outcome in ORDER
            if self.counts[outcome]
        ]
        minutes, rest = divmod(int(seconds), 60)
        took = f"{seconds:.2f}s ({minutes // 60}:{minutes % 60:02}:{rest:02})"
        return f" {', '.join(parts) or 'no tests ran'} in {took} ".center(WIDTH, "=")


def _cause(report: Any) -> str:
    """The last words of an error, indented below its test's name."""
    crash = getattr(getattr(report, "longrepr", None), "reprcrash", None)
    if crash is None:
        return ""
    said = crash.message if len(crash.message) <= MAX_CAUSE else f"… {crash.message[-MAX_CAUSE:]}"
    return "".join(f"\n    {line}" for line in said.splitlines())


def _measured(reports: Iterable[Any]) -> list[str]:
    return [
        str(text)
        for each in reports
        if getattr(each, "when", "") == "call"
        for name, text in each.user_properties
        if name == "measured"
    ]
