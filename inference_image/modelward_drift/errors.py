"""What can be wrong with what the kernel is given. Values of a column are never wrong: they are counted."""


class DriftError(ValueError):
    """Of this package. The message names cause and cure."""


class ProfileError(DriftError):
    """A profile, or counts, that can't be read or built."""


class MismatchError(DriftError):
    """Counts that were made against different profiles, or that do not follow one another."""


class SettingError(DriftError):
    """A budget, threshold or metric that makes no sense."""
