"""Order of the tiers, one marker for each (the folder that a test lies in), and the figures that tests measured."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest

pytest_plugins = ["nodeless.fixtures"]

TIERS = ("unit", "property", "api", "e2e", "gateway", "chaos", "scale")
HERE = Path(__file__).parent
MEASURED = pytest.StashKey[list[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEASURED] = []


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, and run the fast tiers first."""

    def tier(item: pytest.Item) -> str:
        return item.path.relative_to(HERE).parts[0]

    for item in items:
        item.add_marker(tier(item))
    items.sort(key=lambda item: TIERS.index(tier(item)))


@pytest.fixture(scope="session")
def in_sight(request: pytest.FixtureRequest) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """`with in_sight():` shows what is written meanwhile: on a fresh machine things are built for minutes."""
    manager = request.config.pluginmanager.getplugin("capturemanager")
    return manager.global_and_fixture_disabled if manager else contextlib.nullcontext


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a figure that is shown at the end of the run; nothing is asserted about it."""
    return request.config.stash[MEASURED].append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if config.stash[MEASURED]:
        terminalreporter.section("measured")
        for line in config.stash[MEASURED]:
            terminalreporter.line(line)
