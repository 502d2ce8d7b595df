"""Whose certificates are trusted: the public authorities, and those of the installation and of a model's registry.

Failure: InvalidConfiguration.
"""

import os
import ssl
from pathlib import Path

from modelward_inference.errors import InvalidConfiguration

CA_VARIABLE = "CA_BUNDLE"
"""Of the installation."""

MODEL_CA_VARIABLE = "MODEL_CA_FILE"
"""Of the model's own registry."""


def private_authorities() -> list[Path]:
    """The files of CA_BUNDLE, where the namespace has it, and of MODEL_CA_FILE. Raises InvalidConfiguration."""
    found = [path for path in (Path(os.environ.get(CA_VARIABLE, "")),) if path.is_file()]
    own = os.environ.get(MODEL_CA_VARIABLE, "")
    if own and not Path(own).is_file():
        raise InvalidConfiguration(f"{MODEL_CA_VARIABLE} names {own}, which is no file; mount the certificates there")
    return [*found, *([Path(own)] if own else [])]


def trust() -> ssl.SSLContext:
    """The public authorities, and the installation's and the model's own. Raises InvalidConfiguration."""
    context = ssl.create_default_context()
    for path in private_authorities():
        try:
            context.load_verify_locations(path)
        except ssl.SSLError as error:
            raise InvalidConfiguration(f"{path} holds no certificates in PEM ({error}); correct the file") from error
    return context
