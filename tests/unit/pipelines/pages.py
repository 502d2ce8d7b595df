"""Blocks of code of a page, by their language."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def blocks(page: str, language: str) -> list[str]:
    """`page`: a path below the repository's root."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
