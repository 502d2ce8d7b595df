"""The commit of the code that trains: what MLflow notes of a script in a Git checkout, also for notebooks and CI."""

import os
import subprocess
from collections.abc import Mapping
from typing import Final

TAG: Final = "mlflow.source.git.commit"
"""Of a run."""

_VARIABLES: Final = ("GIT_COMMIT", "GITHUB_SHA", "CI_COMMIT_SHA")
"""Where CI systems tell it to jobs that have no checkout: Jenkins, GitHub, GitLab."""


def current(environment: Mapping[str, str] = os.environ) -> str | None:
    """Of the working directory's checkout, else what the environment says; None where nobody knows."""
    try:
        told = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10, check=False)
        if told.returncode == 0 and told.stdout.strip():
            return told.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass  # no git here
    return next((environment[name] for name in _VARIABLES if environment.get(name)), None)
