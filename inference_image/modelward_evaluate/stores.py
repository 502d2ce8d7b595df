"""An S3-compatible store by its credentials: of the environment, or of a folder with files named as its variables.

Two stores with keys of their own may be read at once, which variables of one process can't tell apart.
"""

import os
import ssl
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

from pyarrow import fs

from modelward_evaluate.errors import EvaluationError

NAMES: Final = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3",
    "AWS_REGION", "AWS_DEFAULT_REGION",
)  # fmt: skip
"""What a folder of credentials may have; all else in it is left alone."""

CA_VARIABLE: Final = "CA_BUNDLE"
"""A file with certificates that are trusted beside the public ones."""


def s3(credentials: str | None) -> Any:
    """`credentials`: the folder; None: the environment alone. Raises EvaluationError."""
    settings = os.environ if credentials is None else _read(Path(credentials))
    endpoint = settings.get("AWS_ENDPOINT_URL_S3") or settings.get("AWS_ENDPOINT_URL")
    region = settings.get("AWS_REGION") or settings.get("AWS_DEFAULT_REGION") or "us-east-1"
    options: dict[str, Any] = {"region": region}
    if credentials is not None:
        options |= {
            "access_key": settings["AWS_ACCESS_KEY_ID"],
            "secret_key": settings["AWS_SECRET_ACCESS_KEY"],
            "session_token": settings.get("AWS_SESSION_TOKEN"),
        }
    parts = urlsplit(endpoint or f"https://s3.{region}.amazonaws.com")
    if endpoint:
        options |= {"endpoint_override": parts.netloc, "scheme": parts.scheme or "https"}
    proxy = os.environ.get("HTTPS_PROXY")
    if proxy and parts.scheme == "https" and not proxy_bypass(parts.hostname or ""):
        options["proxy_options"] = proxy
    if bundle := _authorities():
        options["tls_ca_file_path"] = bundle
    return fs.S3FileSystem(connect_timeout=10, request_timeout=60, **options)


def _read(folder: Path) -> Mapping[str, str]:
    found = {name: (folder / name).read_text().strip() for name in NAMES if (folder / name).is_file()}
    lacking = [name for name in NAMES[:2] if not found.get(name)]
    if lacking:
        raise EvaluationError(
            f"the store's Secret is not there or has no {' and no '.join(lacking)}: create it with both entries, and "
            "AWS_ENDPOINT_URL where the store is not AWS' own"
        )
    return found


def _authorities() -> str | None:
    """Public authorities and ours in one file, since an engine takes one alone; None: its own are enough."""
    ours = Path(os.environ.get(CA_VARIABLE) or "/nowhere")
    if not ours.is_file():
        return None
    public = Path(ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt")
    texts = [each.read_text() for each in (public, ours) if each.is_file()]
    with tempfile.NamedTemporaryFile("w", suffix=".crt", delete=False) as made:
        made.write("\n".join(texts))
    return made.name
