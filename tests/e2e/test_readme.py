"""Every command that the README shows is run, as a reader would run it."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from examples.demo.registry import commit

from localcluster import binaries
from localcluster.clients import kubectl

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```console\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
COMMANDS = [re.sub(r"\s+#.*", "", line) for block in BLOCKS for line in block.splitlines()]

NOT_HERE = {
    "make demo": "test_make_demo runs it and reads what it prints",
    "make test": "this is a part of it",
    "make demo-down": "it would take away the cluster that runs this test",
}
OF_ONES_OWN_IMAGES = [line for line in COMMANDS if "REGISTRY/" in line or "dist/pinned" in line]
"""tests/unit/manifests/test_pin.py has them, with references of its own."""
LOOKING_AROUND = [
    line for line in COMMANDS if line not in (*NOT_HERE, *OF_ONES_OWN_IMAGES) and "manifests/base" not in line
]
OF_A_CLUSTER_OF_ONES_OWN = [
    line for line in COMMANDS if line.startswith("kubectl apply") and line not in OF_ONES_OWN_IMAGES
]


def run(script: str) -> str:
    """The output of a shell that has a kubectl of the cluster's version."""
    # A make that finds these thinks that it is part of another one, and says so after the last line.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    environment["PATH"] = f"{binaries.kubernetes()}:{environment['PATH']}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=environment, text=True, capture_output=True,
        check=False, timeout=600,
    )  # fmt: skip
    assert result.returncode == 0, f"{script}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def demo(namespace: str) -> Iterator[str]:
    """What `make demo` prints, on the cluster that is up already."""
    yield run("make demo")
    kubectl("delete", "namespace", "modelward-demo", "--wait=false")


@pytest.mark.quiet  # its deadlines are for a machine that does nothing else, as its reader's
def test_make_demo_ends_with_its_figures(demo: str) -> None:
    figures = json.loads(demo.splitlines()[-1])
    assert figures.keys() >= {"rows", "accuracy", "agreement", "seconds_to_ready", "requests", "bad_answers"}
    assert (figures["canary_promoted"], figures["bad_version_rolled_back"]) == (True, True)
    assert (figures["retraining_jobs"], figures["retrained_promoted"], figures["spec_writes"]) == (1, True, 0)
    assert figures["lost_requests"] == 0
    assert (figures["registry"], figures["lineage"]["version"]) == ("mlflow", "4")
    assert re.fullmatch("[0-9a-f]{32}", figures["lineage"]["digest"])
    assert figures["lineage"].get("commit") == commit(), "GIT_COMMIT of the training Job's environment"
    assert figures["alias_to_candidate_s"] > 0
    assert figures["downloads"] == 4, "one of each version, however many pods it has"
    assert figures["cached_start_ratio"] > 0
    assert figures["accuracy_before"] > 0.95
    assert figures["accuracy_drifted"] < 0.5
    assert figures["accuracy_after"] > 0.9
    assert figures["accuracy_by_outcomes"] == pytest.approx(figures["accuracy_known"], abs=1e-3)
    assert figures["accuracy_after_concept_drift"] < 0.85
    assert figures["verdict_by_inputs"] != "Drifted", "the same inputs as before"
    assert figures["rows"] == 450
    assert figures["accuracy"] > 0.95
    assert figures["agreement"] > 0.99


@pytest.mark.quiet  # in the demo's namespace
def test_the_commands_that_look_around(demo: str) -> None:
    assert demo
    lines = [line for line in LOOKING_AROUND if not line.startswith("kubectl apply")]
    assert len(lines) >= 5
    # A port-forward in the background answers a moment later, and must not outlive the shell.
    wait = " >/dev/null &\ntrap 'kill %1' EXIT\nuntil curl -s localhost:8080/v2; do sleep 0.2; done\n"
    shown = run("\n".join(lines).replace(" &\n", wait))
    assert "digits" in shown
    assert '"outputs"' in shown


def test_the_commands_for_a_cluster_of_ones_own_are_taken_by_the_api_server(namespace: str) -> None:
    """A dry run: the images that they name exist only where the reader has built and pushed them."""
    assert namespace
    assert len(OF_A_CLUSTER_OF_ONES_OWN) == 2
    for line in OF_A_CLUSTER_OF_ONES_OWN:
        shown = run(f"export KUBECONFIG=$(make -s kubeconfig)\n{line} --dry-run=server")
        assert "(server dry run)" in shown
