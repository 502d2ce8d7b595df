"""What may become of an artifact, in the words of MODEL_OPTIMISE and of manifests."""

from typing import Final

COMPILED: Final = "compiled"
ORIGINAL: Final = "original"

AUTO: Final = "Auto"
OFF: Final = "Off"
