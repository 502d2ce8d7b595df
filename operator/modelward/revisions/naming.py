"""Revisions: immutable, and named by what they are.

A revision is what the user wrote of the model and its pods. The same has the same name for ever, so a crash in the
middle of a rollout can't make a second one, going back finds the old one again, and another operator makes none.
"""

import re
from collections.abc import Mapping
from typing import Any

from modelward.values.hashing import HASH_LENGTH, content_hash


def is_revision_of(owner: str, name: str) -> bool:
    """Whether `name` is one that `revision_name` gives, to the model of `owner` or to a variant."""
    return re.fullmatch(rf"{re.escape(owner)}(-[a-z0-9-]+)?-[0-9a-f]{{{HASH_LENGTH}}}", name) is not None


def revision_name(owner: str, asked: Mapping[str, Any]) -> str:
    """The name of the revision of `owner` that `asked` is: `<owner>-<10 hex digits>`."""
    return f"{owner}-{content_hash(asked)}"
