"""Order of the tiers, one marker for each (the folder that a test lies in), and the figures that tests measured."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
import threadpoolctl

from tiers.plan import ASKED_FOR
from tiers.tally import Tally

pytest_plugins = ["nodeless.fixtures"]

collect_ignore = [Path(folder).name for folder in ASKED_FOR]
"""A bare `pytest` begins no long build; a folder that is named on the command line is collected all the same."""

TIERS = ("unit", "property", "chaos", "scale", "api", "integration", "e2e", "gateway", "flux")
LONG = (
    "api/test_rollouts.py", "api/test_namespaced.py", "api/test_helm.py", "api/test_enforced.py",
    "api/test_prediction_log.py", "api/test_quality.py", "api/test_quality_gates.py", "api/test_lineage_command.py",
    "e2e/test_rollouts.py", "e2e/test_readme.py", "e2e/test_loop.py", "e2e/test_registry.py", "e2e/test_under_load.py",
    "e2e/test_presets.py",
    "unit/attack/test_attacks.py", "unit/monitor/predictionlog/test_outcomes.py", "unit/batch/test_kills.py",
    "unit/benchmarks/test_rollout.py", "unit/inference/test_containment.py", "unit/inference/test_adversarial.py",
)  # fmt: skip
"""Files that begin in their tier: where tests run beside each other, the short ones fill what is left."""

HERE = Path(__file__).parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--tally", type=Path, help="where to write what came of the tests, for tests/tiers")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with its tier, and run the fast tiers first, and of a tier the long files."""

    def tier(item: pytest.Item) -> str:
        return item.path.relative_to(HERE).parts[0]

    for item in items:
        item.add_marker(tier(item))
    items.sort(key=lambda item: (TIERS.index(tier(item)), str(item.path.relative_to(HERE)) not in LONG))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Where workers share the processor, a library that starts a thread for each core only waits for the others."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        threadpoolctl.threadpool_limits(1)


@pytest.fixture(autouse=True)
def environment_as_before() -> Iterator[None]:
    """What a test runs here and not in a pod may set variables for its libraries: they are no later test's."""
    with mock.patch.dict(os.environ):
        yield


@pytest.fixture(scope="session")
def in_sight(request: pytest.FixtureRequest) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """`with in_sight():` shows what is written meanwhile: on a fresh machine things are built for minutes."""
    manager = request.config.pluginmanager.getplugin("capturemanager")
    return manager.global_and_fixture_disabled if manager else contextlib.nullcontext


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Takes a figure that is shown at the end of the run; nothing is asserted about it."""
    return lambda text: request.node.user_properties.append(("measured", text))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tally = Tally.of(terminalreporter.stats)
    if tally.measured:
        terminalreporter.section("measured")
        for line in tally.measured:
            terminalreporter.line(line)
    if config.option.tally:
        tally.write(config.option.tally)
