"""MLflow itself, and whether there is a server to log to: known at once, and not after minutes of its retries.

Failure: InvalidConfiguration, with what to install or to set.
"""

import socket
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from modelward_inference.errors import InvalidConfiguration

_OLDEST: Final = 3
"""MLflow's first release in which a model has a folder of its own, registered or not."""

_SECONDS: Final = 10.0
"""In which the server has to take a connection."""

_PORTS: Final = {"http": 80, "https": 443}


def connected() -> Any:
    """The module, of a release that serves, whose tracking server is named and takes connections."""
    try:
        import mlflow
    except ImportError:
        raise InvalidConfiguration(
            "log_model needs MLflow, which is not installed: pip install 'mlflow>=3'; or write a bundle with "
            "save_bundle, which needs none"
        ) from None
    if int(mlflow.__version__.partition(".")[0]) < _OLDEST:
        raise InvalidConfiguration(
            f"log_model needs MLflow {_OLDEST} or newer, and {mlflow.__version__} is installed: pip install "
            f"'mlflow>={_OLDEST}'"
        )
    if not mlflow.is_tracking_uri_set():
        raise InvalidConfiguration(
            "no tracking server is named, and MLflow would keep the model on this machine, where no cluster finds it: "
            "set MLFLOW_TRACKING_URI, or call mlflow.set_tracking_uri('https://…')"
        )
    _check(mlflow.get_tracking_uri())
    return mlflow


def _check(uri: str) -> None:
    """Of servers that are spoken to directly: who goes by a proxy, or writes to a database, is MLflow's to find."""
    parts = urlsplit(uri)
    host = parts.hostname
    if parts.scheme not in _PORTS or not host:
        return
    if parts.scheme in getproxies() and not proxy_bypass(host):
        return
    try:
        socket.create_connection((host, parts.port or _PORTS[parts.scheme]), _SECONDS).close()
    except (OSError, ValueError) as error:
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        raise InvalidConfiguration(
            f"MLflow's server {shown} can't be reached: {error}; check MLFLOW_TRACKING_URI, or what "
            "mlflow.set_tracking_uri was given"
        ) from None
