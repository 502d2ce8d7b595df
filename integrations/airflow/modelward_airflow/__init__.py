"""Airflow around modelward_cli.pipeline: operators, sensors, and a connection."""

from typing import Any

__version__ = "0.1.0"


def provider_info() -> dict[str, Any]:
    """What Airflow asks a provider for."""
    return {
        "package-name": "modelward-airflow",
        "name": "Modelward",
        "description": "Models served in Kubernetes: deployed, rolled out on evidence, watched.",
        "versions": [__version__],
        "connection-types": [
            {"connection-type": "modelward", "hook-class-name": "modelward_airflow.hook.ModelwardHook"},
        ],
    }
