"""Which formats may be loaded: some run code of their author's choice, so somebody has to vouch for the file.

`MODEL_ALLOWED_FORMATS` names them; the operator always sets it, for the download, for what loads and for the server.
Where it is not set, a person runs the program on files of his own, and every format is allowed.
"""

import os
from collections.abc import Mapping

from modelward_inference.artifact import formats
from modelward_inference.errors import FormatNotAllowed, InvalidConfiguration

VARIABLE = "MODEL_ALLOWED_FORMATS"

Allowed = frozenset[str] | None
"""Names of formats; None: all."""

_LOADABLE = (*(each for each in formats.FORMATS if each != formats.BUNDLE), formats.FILES_OF_OTHERS)


def from_environment(environment: Mapping[str, str] = os.environ) -> Allowed:
    """Raises InvalidConfiguration for a name that is no format: a slip of the pen must not allow more than meant."""
    text = environment.get(VARIABLE)
    if text is None:
        return None
    found = frozenset(text.replace(",", " ").split())
    unknown = sorted(found.difference(_LOADABLE))
    if unknown:
        raise InvalidConfiguration(f"{VARIABLE} names {', '.join(unknown)}; the formats are {', '.join(_LOADABLE)}")
    return found


def check(kind: str, allowed: Allowed, what: str, digest: str) -> None:
    """Raises FormatNotAllowed. `what`: the artifact's address; `digest`: its own, for whoever decides to pin it."""
    if allowed is None or kind in allowed:
        return
    if kind in formats.RUN_CODE:
        raise FormatNotAllowed(
            f"{what} is {formats.RUN_CODE[kind]}, which runs code of its author's choice when it is loaded, and nobody "
            f"has vouched for it. Publish the model as ONNX or skops; or check it and pin spec.model.digest: {digest}; "
            f"or let an administrator allow it for the namespace with the label modelward.io/allowed-formats={kind}"
        )
    if kind == formats.FILES_OF_OTHERS:
        raise FormatNotAllowed(
            f"{what} is for another server than Modelward's own, which may run code of its author's choice when it "
            f"loads it, and nobody has vouched for it. Check it and pin spec.model.digest: {digest}; or let an "
            f"administrator allow it for the namespace with the label modelward.io/allowed-formats={kind}"
        )
    raise FormatNotAllowed(
        f"{what} is of the format {kind}; this installation allows {', '.join(sorted(allowed)) or 'none'}. Publish the "
        "model in one of those, or let an administrator add it to MODELWARD_ALLOWED_FORMATS"
    )
