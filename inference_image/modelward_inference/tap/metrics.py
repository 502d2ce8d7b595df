"""Metrics of the tap, in base units. One process has one model, so there are few labels."""

from typing import Final

from prometheus_client import Counter, Gauge

REASONS: Final = ("unreadable", "too_large", "busy", "unfinished", "other_model", "other_method")
"""Why an answered request was passed on and not captured: its tensors, or those of its answer, can't be read; one of
both is larger than what is kept; too much is kept already; it or its answer broke off; it was of another model of the
same server, or of a gRPC method that may predict and is not known here."""

CAPTURED: Final = Counter("modelward_tap_captured_requests", "Answered requests whose tensors were read.")
SKIPPED: Final = Counter(
    "modelward_tap_skipped_requests", "Requests passed on like all others, of which nothing was captured, by why.",
    ["reason"],
)  # fmt: skip
UNREACHABLE: Final = Counter(
    "modelward_tap_unreachable", "Connections ended because the server behind the tap took none."
)
BLIND: Final = Counter(
    "modelward_tap_blind_connections",
    "Connections that were not understood, and from then on passed on without being looked at.",
)
CONNECTIONS: Final = Gauge("modelward_tap_connections", "Connections of clients that are open.")
HELD: Final = Gauge("modelward_tap_held_bytes", "Copies of bodies that wait to be read.")

for each in REASONS:  # so that a rate over them is 0, and not missing, before there is one
    SKIPPED.labels(each)
