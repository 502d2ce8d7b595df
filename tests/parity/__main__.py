"""`make parity`: draws models for as long as it takes, prints what is wrong, and ends with one line of JSON."""

import contextlib
import io
import json
import sys
import time
from collections import Counter

import hypothesis
from hypothesis import HealthCheck, Phase, given, settings

from .drawn import Drawn, models
from .judged import judge

MODELS = 500


def main(count: int = MODELS, seed: int = 0) -> int:
    """`count`: models that could be fitted, the same ones of a `seed`. Returns 0 where no answer was wrong."""
    found: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    began = time.monotonic()

    @hypothesis.seed(seed)
    @settings(
        max_examples=20 * count, deadline=None, database=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(models())
    def draw(drawn: Drawn | None) -> None:
        if drawn is None or found["models"] >= count:
            return
        with contextlib.redirect_stderr(io.StringIO()):
            judged = judge(drawn)
        found["models"] += 1
        found["compiled"] += judged.compiled
        found["fallback"] += not judged.compiled and not judged.refused
        found["refused"] += bool(judged.refused)
        found["wrong"] += bool(judged.wrong)
        if judged.refused:
            reasons[judged.refused.partition(";")[0][:100]] += 1
        if judged.wrong:
            print(
                f"WRONG {'compiled' if judged.compiled else 'original'} {drawn.name}\n      {judged.wrong}", flush=True
            )

    draw()
    for reason, times in reasons.most_common(10):
        print(f"not served, {times} times: {reason}")
    print(json.dumps({name: found[name] for name in ("models", "compiled", "fallback", "refused", "wrong")}
                     | {"seconds": round(time.monotonic() - began)}))  # fmt: skip
    return 1 if found["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main(*(int(each) for each in sys.argv[1:])))
