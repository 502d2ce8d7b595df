"""The project's own wheels, built as a release builds them. uv brings hatchling, from its cache or a registry."""

import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).parent / "uv"
PROJECTS = {"modelward": ROOT, "modelward-inference": ROOT / "inference_image", "modelward-operator": ROOT / "operator"}


def build(name: str, folder: Path) -> Path:
    """The wheel of a distribution, in `folder`: of its sdist, as `uv build` does, so that this one is whole, too."""
    subprocess.run([UV, "build", "--quiet", "--out-dir", folder, PROJECTS[name]], check=True, timeout=280)
    (wheel,) = folder.glob(f"{name.replace('-', '_')}-*.whl")
    return wheel


def files_of(wheel: Path) -> set[str]:
    """What is installed of it, without what describes it."""
    with zipfile.ZipFile(wheel) as opened:
        return {name for name in opened.namelist() if ".dist-info/" not in name}


def unpacked(wheel: Path, folder: Path) -> Path:
    """A folder for PYTHONPATH."""
    with zipfile.ZipFile(wheel) as opened:
        opened.extractall(folder)
    return folder
