"""What the Dockerfiles copy is all that a program needs, and what the local cluster builds its images anew for."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from localcluster.images import IMAGES

pytestmark = pytest.mark.unit

ROOT = Path(__file__).parents[3]
STARTS = {
    "operator": "import modelward.app",
    "inference": "import modelward, modelward_inference.serve.process, modelward_inference.fetch.obtain, "
    "modelward_inference.compile.build, modelward_monitor.run, modelward_batch.__main__, modelward_batch.run, "
    "modelward_batch.s3; modelward.save_bundle, modelward.log_model",
    "evaluate": "import modelward_evaluate.job",
}


def copied(role: str) -> dict[str, str]:
    """Of the checkout, by where it is in the image."""
    text = (ROOT / IMAGES[role].dockerfile).read_text()
    return {place: source for source, place in re.findall(r"^COPY (\w\S+) (/opt/\S+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("role", STARTS)
def test_a_change_of_what_is_copied_makes_a_new_image(role: str) -> None:
    assert set(copied(role).values()) <= set(IMAGES[role].inputs)


@pytest.mark.parametrize("role", STARTS)
def test_what_is_copied_is_enough(role: str, tmp_path: Path) -> None:
    for place, source in copied(role).items():
        (tmp_path / Path(place).name).symlink_to(ROOT / source)
    done = subprocess.run(
        [sys.executable, "-c", STARTS[role]], env={**os.environ, "PYTHONPATH": str(tmp_path)}, cwd=tmp_path,
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
