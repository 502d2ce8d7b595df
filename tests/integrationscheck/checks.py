"""What there is to check, whether a real system takes part, and how it is run.

Each check is a program; its exit code says whether it passed. docs/integrations tells users the same.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from foreign import environment
from integrationscheck import parity
from prefectserver.server import QUIET

ROOT: Final = Path(__file__).parents[2]
CONTRACT: Final = "tests/unit/retraining/contract"

_PYTEST: Final = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=0", "--durations-min=60")
_FOREIGN: Final = ("-m", "pytest", "-c", "/dev/null", "-p", "no:cacheprovider", "-q")


@dataclass(frozen=True)
class Check:
    """`real`: the system that takes part, None: a stand-in by its protocol; `variables`: of its environment; `before`:
    a program that has to have run."""

    name: str
    command: Sequence[str]
    real: str | None = None
    variables: tuple[tuple[str, str], ...] = ()
    before: Sequence[str] = ()


def contract(tally: Path) -> Check:
    """The suite that every trigger passes. `tally`: where it leaves its counts."""
    return Check("triggers: the contract suite", [*_PYTEST, f"--tally={tally}", CONTRACT])


def package(name: str, real: str) -> Check:
    """The package for a system, in that system, in an environment of its own."""
    lock = ROOT / f"integrations/{name}/requirements.lock"
    bin_folder = environment(name, lock)
    home = str(bin_folder.parent / "home")
    tests = f"integrations/{name}/tests"
    return Check(
        f"{name}: deploy, wait, read, score",
        [str(bin_folder / "python"), *_FOREIGN, "--rootdir", f"integrations/{name}", tests],
        real,
        (
            ("PYTHONPATH", f"integrations/cli:integrations/{name}:tests"), ("AIRFLOW_HOME", home),
            ("PREFECT_HOME", home), *QUIET.items(),
        ),
        [
            str(Path(sys.executable).parent / "uv"), "pip", "install", "-q", "--python", str(bin_folder / "python"),
            "--no-deps", "--reinstall", "./integrations/cli", f"./integrations/{name}",
        ],
    )  # fmt: skip


def workflows() -> Check:
    """The action and the templates, by act on this machine, and read by actionlint."""
    act = environment("act", ROOT / "integrations/github-action/requirements.lock") / "act"
    loop = "asyncio_default_fixture_loop_scope=function"
    folder = "integrations/github-action"
    return Check(
        "GitHub: the action and the workflows, by act and actionlint",
        [sys.executable, *_FOREIGN, "-o", loop, "--rootdir", folder, f"{folder}/tests"],
        "act, actionlint", (("ACT", str(act)),),
    )  # fmt: skip


def everything(tally: Path) -> list[Check]:
    """In the order in which they are run."""
    return [
        contract(tally),
        Check("Jenkins: the shared library's step, by its script", [*_PYTEST, "tests/unit/pipelines"]),
        Check("Argo CD and Flux: health by their engines", [*_PYTEST, "tests/unit/manifests/test_argocd.py"],
              "Argo CD's Lua engine and Flux's kstatus"),
        Check("Argo Workflows, Jobs: objects in an API server", [*_PYTEST, "tests/api/test_retraining_pipelines.py"],
              "a Kubernetes API server"),
        workflows(),
        package("prefect", "Prefect 3"),
        package("airflow", "Airflow 3"),
        Check("Prefect: drift starts a flow run in its worker", [*_PYTEST, "tests/integration/test_prefect.py"],
              "a Prefect 3 server and its worker"),
        Check("Feast: keys, what is missing or stale, answers as of get_historical_features",
              [*_PYTEST, "tests/integration/test_feast.py"], "Feast and its feature server"),
        Check(parity.NAME, [sys.executable, "-m", "integrationscheck.parity"]),
    ]  # fmt: skip


def short() -> list[Check]:
    """Those that `make test` has room for, beside the tests that it runs anyway."""
    return [workflows(), package("prefect", "Prefect 3"), package("airflow", "Airflow 3")]
