"""Order of the tiers, and one marker for each: the folder that a test lies in."""

from pathlib import Path

import pytest

pytest_plugins = ["nodeless.fixtures"]

TIERS = ("unit", "property", "api", "e2e", "chaos", "scale")
HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, and run the fast tiers first."""

    def tier(item: pytest.Item) -> str:
        return item.path.relative_to(HERE).parts[0]

    for item in items:
        item.add_marker(tier(item))
    items.sort(key=lambda item: TIERS.index(tier(item)))
