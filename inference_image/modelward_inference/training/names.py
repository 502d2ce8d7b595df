"""What MLflow would refuse only once half of it is logged: names, the alias, options, the data set. All raise
InvalidConfiguration."""

import difflib
import inspect
import re
from collections.abc import Callable, Collection
from typing import Any, Final

from modelward_inference.errors import InvalidConfiguration

_MODEL: Final = re.compile(r"[^/:.%\"']+")
_REGISTERED: Final = re.compile(r"[^/:]+")
_ALIAS: Final = re.compile(r"[\w-]{1,255}")
_RESERVED: Final = re.compile(r"v\d+|latest", re.IGNORECASE)
"""As MLflow's own client and server have them."""


def check(name: str, registered: str | None, alias: str | None) -> None:
    if not _MODEL.fullmatch(name):
        raise InvalidConfiguration(f"name={name!r}: a model's name is not empty, and has none of / : . % \" '")
    if registered is not None and not _REGISTERED.fullmatch(registered):
        raise InvalidConfiguration(f"registered_model_name={registered!r}: it is not empty, and has neither / nor :")
    if alias is None:
        return
    if registered is None:
        raise InvalidConfiguration(f"alias={alias!r} is of a registered model; pass registered_model_name, too")
    if _RESERVED.fullmatch(alias):
        raise InvalidConfiguration(
            f"alias={alias!r} means a version to MLflow; choose another word, such as 'champion'"
        )
    if not _ALIAS.fullmatch(alias):
        raise InvalidConfiguration(f"alias={alias!r}: an alias is of letters, digits, _ and -")


def check_options(options: Collection[str], log_model: Callable[..., Any], own: Callable[..., Any], of: str) -> None:
    """`own`: our log_model, whose parameters may have been meant; `of`: MLflow's module, for the message."""
    known = {
        name
        for name, each in inspect.signature(log_model).parameters.items()
        if each.kind in (each.KEYWORD_ONLY, each.POSITIONAL_OR_KEYWORD)
    }
    for option in options:
        if option not in known:
            meant = difflib.get_close_matches(option, sorted(known | set(inspect.signature(own).parameters)), 1)
            hint = f"; {meant[0]} is one" if meant else ""
            raise InvalidConfiguration(f"{option!r} is no option of log_model, nor of {of}.log_model{hint}")


def check_dataset(dataset: Any) -> None:
    if dataset is None or (isinstance(dataset, str) and 0 < len(dataset) <= 500):
        return
    if isinstance(dataset, str) or not all(hasattr(dataset, each) for each in ("digest", "to_dict", "name")):
        raise InvalidConfiguration(
            f"dataset={dataset!r:.200}: pass what the data are called, in at most 500 characters, or a Dataset of "
            "mlflow.data"
        )
