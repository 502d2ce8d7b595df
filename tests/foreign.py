"""Programs of others that tests ask, each in an environment of its own that is made once from its lock file.

Our own environment has none of their packages: MLflow's alone are 850 MB, and would decide versions of ours.
`python -m foreign NAME LOCK` prints where one lies.
"""

import shutil
import sys
from pathlib import Path

from localcluster import settings
from localcluster.commands import locked, run
from localcluster.digest import digest_of
from localcluster.progress import step


def environment(name: str, requirements: Path) -> Path:
    """The `bin` folder of an environment with these requirements. Raises SetupError where it can't be made."""
    home = settings.cache_dir() / "foreign"
    home.mkdir(exist_ok=True)
    folder = home / f"{name}-{digest_of([requirements], extra=[sys.version])}"
    complete = folder / ".complete"
    if complete.exists():
        return folder / "bin"
    with locked(f"foreign-{name}"):
        if complete.exists():
            return folder / "bin"
        # Scripts of an environment hold its path: it can't be made elsewhere and moved here.
        for old in home.glob(f"{name}-*"):
            shutil.rmtree(old)
        uv = Path(sys.executable).parent / "uv"
        with step(f"making the environment of {name}, once"):
            run([uv, "venv", "--quiet", "--python", sys.executable, folder])
            python = folder / "bin/python"
            # With bytecode: they import for half a minute without it, each time.
            options = ["--quiet", "--require-hashes", "--compile-bytecode"]
            run([uv, "pip", "install", "--python", python, *options, "-r", requirements])
        complete.touch()
    return folder / "bin"


if __name__ == "__main__":
    print(environment(sys.argv[1], Path(sys.argv[2])))
