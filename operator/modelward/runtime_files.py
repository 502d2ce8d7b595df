"""The runtimes of an installation: presets that come with the operator, and those of its administrator.

The administrator's are files of a mounted folder (the ConfigMap modelward-runtimes), read once, at the start; one takes
the place of ours of the same name. Failure: a SettingsError that names the file, so that a wrong one ends the operator
at its start, and not the first model that asks for it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from modelward.runtimes.preset import MOST_BYTES, Preset, PresetError, read
from modelward.setting_values import SettingsError

OURS: Final = Path(__file__).parent / "runtimes" / "presets"

VARIABLE: Final = "MODELWARD_RUNTIMES_DIR"

SUFFIXES: Final = (".yaml", ".yml")


def presets(folder: Path | None) -> tuple[Preset, ...]:
    """All, by name. `folder`: the administrator's, None, or one that is not there: there are none of his. Raises
    SettingsError."""
    found = {preset.name: preset for _, preset in _of(OURS)}
    own: dict[str, Path] = {}
    for path, preset in _of(folder) if folder is not None and folder.is_dir() else ():
        if preset.name in own:
            raise SettingsError(
                f"{VARIABLE}: {path} and {own[preset.name]} are both of the name {preset.name}; take one away"
            )
        own[preset.name] = path
        found[preset.name] = preset
    return tuple(found[name] for name in sorted(found))


def _of(folder: Path) -> Iterator[tuple[Path, Preset]]:
    for path in sorted(folder.iterdir()):
        # Names with a dot first are those by which the kubelet changes a mounted ConfigMap at once.
        if path.suffix not in SUFFIXES or path.name.startswith("."):
            continue
        try:
            with path.open("rb") as handle:
                yield path, read(handle.read(MOST_BYTES + 1))
        except (OSError, PresetError) as error:
            raise SettingsError(f"{VARIABLE}: {path}: {error}") from error
