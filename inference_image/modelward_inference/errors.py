"""Failures that a user can mend: each has a reason, and a message that names the cause and the cure.

They leave the container as one JSON object in the termination log, which the operator shows as a condition.
"""

import json
import logging
import os
from pathlib import Path

log = logging.getLogger(__name__)

MAX_REPORT = 3500
"""Bytes; the kubelet keeps 4096 of a termination log."""


class ModelError(Exception):
    """A model that can't be fetched or served. The subclass's name is the condition's reason."""

    @property
    def reason(self) -> str:
        return type(self).__name__


class ArtifactNotFound(ModelError):  # noqa: N818  names are the reasons that users read
    """There is nothing at the address."""


class ArtifactUnreachable(ModelError):  # noqa: N818
    """The store did not answer, or failed, again and again."""


class ArtifactTooLarge(ModelError):  # noqa: N818
    """It has more bytes than a model may have here, or unpacks to more."""


class AccessDenied(ModelError):  # noqa: N818
    """The store refuses these credentials, or asks for some."""


class DigestMismatch(ModelError):  # noqa: N818
    """The artifact is another one than spec.model.digest pins."""


class SignatureMissing(ModelError):  # noqa: N818
    """spec.model.signature asks for a signature, and there is none beside the artifact."""


class SignatureInvalid(ModelError):  # noqa: N818
    """The artifact is not what the holder of spec.model.signature's key signed."""


class ArtifactChanged(ModelError):  # noqa: N818
    """It is another one than the first pod of the same revision fetched, or changes while it is read."""


class ArtifactCorrupt(ModelError):  # noqa: N818
    """It is of the right format, but can't be read."""


class FormatMismatch(ModelError):  # noqa: N818
    """It is something else than spec.model.format says."""


class FormatUnknown(ModelError):  # noqa: N818
    """Its format can't be told."""


class FormatNotAllowed(ModelError):  # noqa: N818
    """Its format runs code when it is loaded, and nobody has vouched for it."""


class CompileTimedOut(ModelError):  # noqa: N818
    """Loading, compiling and comparing took longer than it may."""


class ModelUnsupported(ModelError):  # noqa: N818
    """It can be read, but not be served."""


class UnsupportedScheme(ModelError):  # noqa: N818
    """No provider knows this kind of address."""


class InvalidConfiguration(ModelError):  # noqa: N818
    """An environment variable is missing or wrong."""


class BundleInvalid(ModelError):  # noqa: N818
    """The bundle is missing or of another version."""


class GoldenRowsDiffer(ModelError):  # noqa: N818
    """The model does not give the answers that it gave when it was trained, or when it was fetched."""


class StorageFull(ModelError):  # noqa: N818
    """The volume of the bundle has no room left."""


class OutOfMemory(ModelError):  # noqa: N818
    """The model does not fit into the container's memory."""


def report(error: BaseException) -> None:
    """Write the failure where the operator and people find it: into the termination log, and the container's."""
    if isinstance(error, ModelError):
        reason, message = error.reason, str(error)
    elif isinstance(error, MemoryError):
        reason, message = "OutOfMemory", "The model does not fit into memory. Raise spec.resources.limits.memory"
    else:
        reason, message = "InternalError", f"{type(error).__name__}: {error}. See the container's log"
    log.error("%s: %s", reason, message, exc_info=None if isinstance(error, ModelError) else error)
    text = json.dumps({"reason": reason, "message": message})
    while len(text.encode()) > MAX_REPORT:
        message = message[: len(message) - 200] + "…"
        text = json.dumps({"reason": reason, "message": message})
    _tell(text)


def write_report(text: str) -> None:
    """Write a report of success, at most MAX_REPORT bytes, to the termination log, and to the container's."""
    log.info("done, and reported: %s", text)
    _tell(text)


def _tell(text: str) -> None:
    path = Path(os.environ.get("TERMINATION_LOG", "/dev/termination-log"))
    try:
        path.write_text(text)
    except OSError as failure:
        log.error("%s can't be written, and the operator is not told %s: %s", path, text, failure)
