"""A short hash of contents, the same wherever and whenever it is made. Pure."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

HASH_LENGTH = 10
"""Hex digits: 40 bits; two revisions of one ModelDeployment share a name with a chance of 1 in 10^12 a pair."""


def content_hash(content: Mapping[str, Any]) -> str:
    """A short name for a JSON-like value that does not depend on the order of its keys."""
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:HASH_LENGTH]
