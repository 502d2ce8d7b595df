"""What the router tells the pods of a request's arm, for the prediction log and for their memory of who answered: pure,
and only where there is a monitor, which has both.

A header says the whole split, and who answers finds itself in it: so it is right, too, where the stable stands in for
an arm that can't be reached. Copies are told apart by a value of their own, where the router can change them.
"""

from typing import Final

from modelward.api.traffic import CANDIDATE
from modelward.facts import Arm, RouteTable

HEADER: Final = "x-modelward-arms"
"""See the server's protocol/origin.py. What a client sends of that name is overwritten."""

STABLE: Final = "stable"
VARIANT: Final = "variant"
SHADOW: Final = "shadow"
"""The whole value, of a copy; or an arm's."""


def told(routes: RouteTable, *, marks_copies: bool) -> str:
    """The header's value. `marks_copies`: the router says of a copy that it is one; where it can't, an arm that gets
    nothing but copies is known by that."""
    arms = {routes.stable: STABLE}
    matched = {match.revision for match in routes.matches}
    for arm in routes.arms:
        only_copies = arm.mirror > 0 and arm.weight == 0 and arm.revision not in matched
        arms.setdefault(arm.revision, SHADOW if only_copies and not marks_copies else _kind(arm))
    return ",".join(f"{revision}={arm}" for revision, arm in arms.items())


def _kind(arm: Arm) -> str:
    return CANDIDATE if arm.name == CANDIDATE else VARIANT
