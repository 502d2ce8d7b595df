"""What `make test` says at its end: the figures, what failed, how long each part took, and one line for all tests."""

from collections.abc import Sequence

from tiers.lanes import Ended
from tiers.tally import WIDTH, Tally


def report(ended: Sequence[Ended], tally: Tally, seconds: float) -> tuple[list[str], int]:
    """Lines, of which the last is the summary, and the exit code."""
    lines = []
    for title, told in (("measured", tally.measured), ("what is not as it should be", tally.bad)):
        if told:
            lines += ["", f" {title} ".center(WIDTH, "="), *told]
    lines += ["", " how long each took ".center(WIDTH, "=")]
    for each in ended:
        lines.append(f"{each.seconds:7.1f}s  {each.step.name}{f': exit code {each.code}' if each.code else ''}")
    code = 1 if any(each.code for each in ended) else 0
    total = Tally()
    total += tally
    if code and not tally.bad:
        total.counts["error"] += 1  # a program ended before it could tell of a test
    return [*lines, "", total.line(seconds)], code
