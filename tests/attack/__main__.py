"""`make attack`: every attack, a table of what each came to, and one line of JSON at the end.

Arguments: parts of names; without any, all attacks and the hostile neighbours' figure. Exit code 1 where one succeeded.
"""

import json
import logging
import sys
import time

from attack import (  # they register
    bodies,  # noqa: F401
    clients,  # noqa: F401
    files,  # noqa: F401
    impostors,  # noqa: F401
    latency,
    pods,  # noqa: F401
    programs,  # noqa: F401
    store,  # noqa: F401
    surroundings,  # noqa: F401
    tenants,  # noqa: F401
)
from attack.attack import ATTACKS, Attack, tried


def main(parts: list[str]) -> int:
    logging.disable(logging.WARNING)  # of the product's own, which would stand between the table's rows
    chosen = [one for name, one in ATTACKS.items() if not parts or any(part in name for part in parts)]
    count = succeeded = 0
    for one in chosen:
        done, harms = _run(one)
        count, succeeded = count + done, succeeded + len(harms)
    ratio = latency.ratio() if not parts else None
    print(json.dumps({"tried": count, "succeeded": succeeded, "hostile_p99_ratio": ratio}))
    return 1 if succeeded else 0


def _run(one: Attack) -> tuple[int, list[str]]:
    """How many attempts there were, and what harm was done; prints a row, and one more for each harm."""
    if one.needs:
        print(f"{one.name:44} not tried here: needs {one.needs}", flush=True)
        return 0, []
    began = time.monotonic()
    found = list(tried(one))
    harms = [f"{each.sibling}: {each.harm}" for each in found if each.harm]
    verdict = f"harm: {len(harms)}" if harms else "harmless"
    print(
        f"{one.name:44} {verdict:12} {len(found):4} tried {time.monotonic() - began:5.0f} s  {one.promise}", flush=True
    )
    for harm in harms:
        print(f"    HARM {harm}", flush=True)
    return len(found), harms


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
