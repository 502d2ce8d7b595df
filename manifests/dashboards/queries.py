"""What is asked of Prometheus, in parts that several panels share.

Labels: those of our metrics (docs/observability.md), and `namespace`, `job`, `instance` of whoever was scraped. The
operator's series have the namespace of what they tell of, so its scrape has to honour labels. Operators that stand by
tell nothing of objects, and two may be scraped while the lease moves: `max by` takes one.
"""

from typing import Final

RATE: Final = "[$__rate_interval]"
HERE: Final = 'namespace=~"$namespace"'
"""Namespaces that are chosen."""

MODEL: Final = 'namespace="$namespace", name="$model"'
"""The operator's series of the one model."""

SERVED: Final = 'namespace="$namespace", model="$model"'
"""Its servers'."""

FAILED: Final = 'code!~"[1-4]..|OK|CANCELLED|INVALID_ARGUMENT|NOT_FOUND|OUT_OF_RANGE"'
"""What is an error of the model and not of its client: as gates count (docs/rollouts.md)."""

REQUESTS: Final = "modelward_inference_request_duration_seconds"

ARMS: Final = f"max by (namespace, revision, arm, version) (modelward_traffic_revision{{{MODEL}}})"
"""Joins what knows of revisions with what they are now."""

REVISIONS: Final = 'namespace="$namespace", revision=~"$model(-.+)?-[0-9a-f]{10}"'
"""Narrows what knows of nothing but revisions; also to models whose names begin with its name, see `own`."""


def own(expr: str) -> str:
    """Of a vector with revisions those that are an arm of the one model, and no namesake's."""
    return f"({expr} and on (namespace, revision) modelward_traffic_revision{{{MODEL}}})"


def named(expr: str) -> str:
    """Of servers, with the model's name under the label that the operator's series have, and no other."""
    return f'sum by (namespace, name) (label_replace({expr}, "name", "$1", "model", "(.*)"))'


def why(expr: str, reason: str) -> str:
    """With a label that keeps it apart from other sums of the same models."""
    return f'label_replace({expr}, "why", "{reason}", "", "")'


def by_arm(expr: str) -> str:
    """A vector by (namespace, revision), with what the revision is. What is no arm now is left out."""
    return f"{expr} * on (namespace, revision) group_left (arm, version) {ARMS}"


def failed_share(selector: str, by: str = "") -> str:
    """Of the requests; 0 where none failed, since a code that never was has no series."""
    grouped = f"sum by ({by}) " if by else "sum"
    asked = f"{grouped}(rate({REQUESTS}_count{{{selector}}}{RATE}))"
    failed = f"{grouped}(rate({REQUESTS}_count{{{selector}, {FAILED}}}{RATE}))"
    return f"(({failed} or {asked} * 0) / {asked})"


def quantile(share: float, selector: str, by: str) -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({REQUESTS}_bucket{{{selector}}}{RATE})))"
