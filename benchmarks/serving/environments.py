"""A virtual environment for each server, made once from pinned versions and kept in the cache by their digest."""

import shutil
import sys
from pathlib import Path

from localcluster import settings
from localcluster.commands import locked, run
from localcluster.digest import digest_of
from localcluster.progress import step


def python_for(name: str, requirements: Path) -> Path:
    """The interpreter of an environment with these requirements. Raises SetupError where it can't be made."""
    home = settings.cache_dir() / "serving-benchmark"
    home.mkdir(exist_ok=True)
    digest = digest_of([requirements], extra=[sys.version])
    folder = home / f"{name}-{digest}"
    python, complete = folder / "bin/python", folder / ".complete"
    if complete.exists():
        return python
    with locked(f"environment-{name}"):
        if complete.exists():
            return python
        # Scripts of an environment hold its path: it can't be made elsewhere and moved here.
        for old in home.glob(f"{name}-*"):
            shutil.rmtree(old)
        with step(f"making the environment of {name}, once"):
            run([sys.executable, "-m", "venv", folder])
            # The files list all that is needed; looking for more would only find other versions.
            run(
                [
                    python,
                    "-m",
                    "pip",
                    "install",
                    "--quiet",
                    "--no-deps",
                    "--disable-pip-version-check",
                    "-r",
                    requirements,
                ]
            )
        complete.touch()
    return python
