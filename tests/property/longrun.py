"""The model-based tests of rollouts and retraining for many steps: `python -m property.longrun [STEPS] [SEED]`.

A step is one action (of the operator, of time, of a person, of foreign hands) and the check of every invariant after
it. What breaks is printed as it was drawn, and the run goes on elsewhere. The last line is JSON; exit code 1 where an
invariant was broken. The short form of the same machines is part of `make test`.
"""

import json
import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from .test_foreign_hands_anytime import ForeignHands
from .test_retraining import Retraining
from .test_rollout import RolloutMachine

STEPS = 10_000

MACHINES: dict[str, type[RuleBasedStateMachine]] = {
    "rollouts": RolloutMachine, "foreign hands": ForeignHands, "retraining": Retraining,
}  # fmt: skip
"""Each gets the same share of the steps."""

BATCH = 10
"""Examples between two looks at the count."""

EACH = 50
"""Steps of an example, at most."""

RUN = settings(
    max_examples=BATCH, stateful_step_count=EACH, deadline=None, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck), report_multiple_bugs=False,
)  # fmt: skip
"""Nothing is made smaller: that may take longer than all the rest, and the short form does it."""


class Count:
    """Steps that one machine has taken."""

    def __init__(self) -> None:
        self.steps = 0


@contextmanager
def counted(machine: type[RuleBasedStateMachine], count: Count) -> Iterator[type[RuleBasedStateMachine]]:
    """The machine, as it counts its steps."""

    class Counted(machine):  # type: ignore[misc, valid-type]
        def check_invariants(self, *arguments: Any, **options: Any) -> None:
            super().check_invariants(*arguments, **options)
            count.steps += 1

    Counted.__name__ = Counted.__qualname__ = machine.__name__
    yield Counted


def walk(machine: type[RuleBasedStateMachine], steps: int, seed: int) -> tuple[int, int]:
    """Steps that were taken, and how often an invariant was broken."""
    count, broken, batch = Count(), 0, 0
    with counted(machine, count) as made:
        while count.steps < steps:
            # hypothesis reads the seed of a function from here; its own option is one for a whole pytest.
            made._hypothesis_internal_use_seed = seed * 1_000_000 + batch  # type: ignore[attr-defined]
            batch += 1
            try:
                run_state_machine_as_test(made, settings=RUN)
            except Exception:  # noqa: BLE001 whatever it is, it is told, and the others go on
                broken += 1
                print(f"{machine.__name__}, seed {seed}, batch {batch}:", file=sys.stderr)
                traceback.print_exc()
    return count.steps, broken


def main(steps: int, seed: int) -> int:
    """Run, tell, and return the exit code."""
    logging.disable(logging.CRITICAL)
    began, taken, broken = time.monotonic(), {}, 0
    for name, machine in MACHINES.items():
        taken[name], failed = walk(machine, -(-steps // len(MACHINES)), seed)
        broken += failed
        print(f"{name}: {taken[name]} steps, {failed} broken, {time.monotonic() - began:.0f} s", flush=True)
    told = {
        "steps": sum(taken.values()), "invariants_broken": broken, "seed": seed, "by_machine": taken,
        "seconds": round(time.monotonic() - began, 1),
    }  # fmt: skip
    print(json.dumps(told))
    return 1 if broken else 0


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    sys.exit(main(given[0] if given else STEPS, given[1] if len(given) > 1 else time.time_ns() % 1_000_000))
