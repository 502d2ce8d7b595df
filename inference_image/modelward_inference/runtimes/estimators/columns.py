"""What a fitted scikit-learn estimator takes: one tensor of numbers, one of texts, or a tensor for each column.

An estimator that selects columns by name, or that has columns of strings or categories, takes a tensor of shape [-1, 1]
for each column that it uses. Columns of other estimators come in one tensor, in the order of training; where they had
names, the data plane takes them by these, too (`names_of`).
"""

import contextlib
import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Tensor
from modelward_inference.errors import ModelUnsupported
from modelward_inference.runtimes.base import PREDICT
from modelward_inference.runtimes.estimators import categories

INPUT = "input"
"""The one tensor's name where columns have none."""


_WIDTH = "modelward_width_"
"""Where the number of columns is kept of an estimator that does not know it."""

_NAMES = "modelward_names_"
"""Where the names of a transformer are kept that has been made to select by position."""


def unwrapped(step: Any) -> Any:
    """The estimator inside a finished search over parameters."""
    return getattr(step, "best_estimator_", step)


def steps_of(step: Any) -> list[Any]:
    """The steps of a pipeline, nested ones too; an estimator is a pipeline of one."""
    step = unwrapped(step)
    if not _is_pipeline(step):
        return [step]
    return [inner for _, each in step.steps if each not in (None, "passthrough") for inner in steps_of(each)]


def members_of(step: Any) -> list[Any]:
    """What a step hands its rows to as they came: the members of a vote, a stack or a union, the model inside of a
    calibration or a transformed target. Empty where none of them tells its columns apart."""
    step = unwrapped(step)
    if _is_pipeline(step) or is_column_transformer(step) or hasattr(step, "estimators_features_"):
        return []
    held = getattr(step, "estimators_", None)
    found = list(held) if isinstance(held, list) else []
    found += [each.estimator for each in getattr(step, "calibrated_classifiers_", None) or ()]
    found += [inner for _, inner in getattr(step, "transformer_list", None) or () if not isinstance(inner, str)]
    if not found and hasattr(step, PREDICT):
        # Elsewhere these are templates, or see some of the columns only.
        found = [inner for name in ("regressor_", "estimator_") if (inner := getattr(step, name, None)) is not None]
    if type(step).__name__ == "FrozenEstimator":
        found = [step.estimator]
    width = _own_width(step)
    found = [each for each in found if width is None or _own_width(each) in (width, None)]
    return found if any(map(_tells_columns, found)) else []


def _tells_columns(step: Any) -> bool:
    step = unwrapped(step)
    coded = hasattr(step, "get_booster") or hasattr(step, "booster_") or hasattr(step, "_predictors")
    return coded or _is_pipeline(step) or is_column_transformer(step) or bool(members_of(step))


def entries(estimator: Any) -> list[Any]:
    """The steps that take the rows: one, or of an ensemble that of each member."""
    first = first_of(estimator)
    return [each for member in members_of(first) for each in entries(member)] or [first]


def categories_of(estimator: Any) -> categories.Categories:
    """Those that a library learned from the frame's dtype. Raises ModelUnsupported where nobody can tell them."""
    taken = entries(estimator)
    found = [categories.of(each) for each in taken]
    if any(each != found[0] for each in found):
        raise ModelUnsupported(
            f"The members of the {type(unwrapped(estimator)).__name__} learned other categories from the same columns "
            "of category dtype; give each a pipeline with an encoder, such as OrdinalEncoder"
        )
    for step in all_steps(estimator):
        # What codes by itself behind another step would take values for codes.
        if not hasattr(step, "_predictors") and all(step is not each for each in taken) and categories.of(step):
            raise ModelUnsupported(
                f"The {type(step).__name__} learned categories from a frame's dtype, but other steps stand before it "
                "that can't be given such a frame here; put an encoder into the pipeline, such as OrdinalEncoder"
            )
    return found[0]


def all_steps(step: Any) -> Iterator[Any]:
    """The steps of a pipeline, and those inside its column transformers and ensembles."""
    for each in steps_of(step):
        yield each
        for member in members_of(each):
            yield from all_steps(member)
        if is_column_transformer(each):
            for inner, _, _ in selections(each):
                if not isinstance(inner, str):
                    yield from all_steps(inner)


def is_column_transformer(step: Any) -> bool:
    return hasattr(step, "transformers_") and hasattr(step, "_transformer_to_input_indices")


def is_vectorizer(step: Any) -> bool:
    """Whether a step takes a list of texts."""
    return hasattr(step, "build_analyzer")


def selections(transformer: Any) -> Iterator[tuple[Any, list[int], bool]]:
    """Of a ColumnTransformer: each transformer, its columns' positions, and whether it takes one column as a vector."""
    for name, inner, columns in transformer.transformers_:
        positions = [int(position) for position in transformer._transformer_to_input_indices.get(name, ())]
        if positions and not (isinstance(inner, str) and inner == "drop"):
            yield inner, positions, np.isscalar(columns)


def inputs_of(estimator: Any) -> tuple[Tensor, ...]:
    """The input tensors. What can't be told is one tensor of numbers. Raises ModelUnsupported."""
    width = width_of(estimator)
    if width is None:
        if any(map(is_vectorizer, steps_of(estimator))) or _takes(estimator, np.array(["text"], object)):
            return (Tensor(INPUT, "BYTES", (-1,)),)
        raise ModelUnsupported(
            f"The {type(unwrapped(estimator)).__name__} does not tell how many columns it takes, and neither a table "
            "of one column nor a text passes it; write a bundle with modelward.save_bundle, whose data tell "
            "it, or set n_features_in_ in fit()"
        )
    own = categories_of(estimator)
    kinds: list[str | None] = list(_datatypes(unwrapped(estimator), width) or ["FP64"] * width)
    for place, values in own.items():
        kinds[place] = "BYTES" if categories.are_texts(values) else "FP64"
    for place, known in learned_categories(estimator):
        if kinds[place] == "FP64":  # for its missing values, or for another step that takes it, too
            categories.check_exact("An encoder", known)
    named = bool(own) or _is_named(estimator)
    if not named and set(kinds) <= {"FP64", None}:
        single = not _takes(estimator, np.zeros((1, width))) and _takes(estimator, np.zeros((1, width), np.float32))
        return (Tensor(INPUT, "FP32" if single else "FP64", (-1, width)),)
    if _has_single_centres(estimator):
        kinds = ["FP32" if kind == "FP64" else kind for kind in kinds]
    return tuple(
        Tensor(name, kind, (-1, 1)) for name, kind in zip(all_names(estimator), kinds, strict=True) if kind is not None
    )


def by_column(estimator: Any, inputs: Sequence[Tensor]) -> bool:
    """Whether the tensors are columns, one each, as `inputs_of` made them: a single one may be called anything."""
    if len(inputs) != 1:
        return True
    return inputs[0].name != INPUT or (inputs[0].shape == (-1, 1) and inputs_of(estimator)[:1] == (inputs[0],)
                                       and _has_columns(estimator))  # fmt: skip


def _has_columns(estimator: Any) -> bool:
    is_told_apart = _is_named(estimator) or bool(categories_of(estimator))
    return is_told_apart or inputs_of(estimator)[0].datatype not in ("FP64", "FP32")


def _has_single_centres(estimator: Any) -> bool:
    """Whether it clusters, and learned its centres from single precision: then it refuses any other (KMeans and its
    kin)."""
    centres = (getattr(unwrapped(each), "cluster_centers_", None) for each in all_steps(estimator))
    return any(getattr(each, "dtype", None) == np.float32 for each in centres)


def _is_named(estimator: Any) -> bool:
    return any(is_column_transformer(each) and _selects_by_name(each) for each in entries(estimator))


def takers(step: Any, places: Sequence[int]) -> Iterator[tuple[Any, Sequence[int]]]:
    """Each step that takes columns of training as they came, or as a step of as many columns made them, and their
    places. `places`: those of the columns that `step` takes."""
    if isinstance(step, str):
        return
    step = unwrapped(step)
    if _is_pipeline(step):
        inner = [(each, places) for each in steps_of(step)]
    elif is_column_transformer(step):
        inner = [(each, [places[position] for position in found]) for each, found, _ in selections(step)]
    else:
        union = [each for _, each in getattr(step, "transformer_list", None) or ()]
        inner = [(each, places) for each in members_of(step) or union]
    if not inner:
        yield step, places
    for each, found in inner:
        yield from takers(each, found)


def learned_categories(estimator: Any) -> Iterator[tuple[int, Sequence[Any]]]:
    """Of a column's place: the categories that encoders learned, in the order of steps; None, where that is what an
    imputer takes for missing."""
    for step, places in takers(estimator, range(len(all_names(estimator)))):
        known = getattr(step, "categories_", None)
        if isinstance(known, list) and len(known) == len(places):
            yield from zip(places, known, strict=True)
        elif hasattr(step, "statistics_") and getattr(step, "missing_values", 0) is None:
            yield from ((place, (None,)) for place in places)


def first_of(estimator: Any) -> Any:
    """The step that takes the rows."""
    steps = steps_of(estimator)
    return steps[0] if steps else unwrapped(estimator)


def width_of(estimator: Any) -> int | None:
    """How many columns it takes; None for texts. A first step of one's own may not tell: then the model is asked."""
    steps = steps_of(estimator)
    for each in (*steps[:1], unwrapped(estimator), estimator):
        found = _own_width(each)
        if found is not None:
            return found
    if any(is_vectorizer(each) for each in steps):
        return None
    later = [width for each in steps[1:] if (width := _own_width(each)) is not None]
    return next((width for width in (*later, 1) if _takes(estimator, np.zeros((1, width)))), None)


def tell_width(estimator: Any, width: int) -> None:
    """What the data, or a bundle's signature, say of an estimator that does not know it itself."""
    inner = unwrapped(estimator)
    if all(_own_width(each) is None for each in (*steps_of(estimator)[:1], inner)):
        with contextlib.suppress(AttributeError):  # a class with slots has no room for it
            setattr(inner, _WIDTH, width)


def _own_width(step: Any) -> int | None:
    told: int | None = getattr(step, _WIDTH, None)
    if told is not None:
        return told
    try:
        return int(step.n_features_in_)
    except (AttributeError, TypeError):  # a pipeline asks its first step, which may not know
        return None


def _takes(estimator: Any, row: Array) -> bool:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names that a matrix does not have
            (estimator.predict if hasattr(estimator, PREDICT) else estimator.transform)(row)
    except Exception:  # noqa: BLE001  a model may raise anything
        return False
    return True


def names_of(estimator: Any) -> tuple[str, ...]:
    """The columns' names at training; empty where they had none."""
    for each in (first_of(estimator), unwrapped(estimator), *entries(estimator)):
        found = getattr(each, _NAMES, getattr(each, "feature_names_in_", None))
        if found is not None:
            return tuple(map(str, found))
    return ()


def all_names(estimator: Any) -> tuple[str, ...]:
    """A name for each column of training, in that order."""
    return names_of(estimator) or tuple(f"x{index}" for index in range(width_of(estimator) or 0))


def first_takers(step: Any, places: Sequence[int]) -> Iterator[tuple[Any, Sequence[int]]]:
    """The steps that are given columns as they came, and their places."""
    first = step if isinstance(step, str) else first_of(step)
    inner: list[tuple[Any, Sequence[int]]]
    if is_column_transformer(first):
        inner = [(each, [places[position] for position in found]) for each, found, _ in selections(first)]
    else:
        union = [(each, places) for _, each in getattr(first, "transformer_list", None) or ()]
        inner = union or [(each, places) for each in members_of(first)]
    for each, found in inner:
        yield from first_takers(each, found)
    if not inner:
        yield first, places


def select_by_position(estimator: Any) -> None:
    """Let column transformers take arrays: rewrite their selections from names to the positions these had in training.

    Changes the estimator, which is ours alone.
    """
    for step in steps_of(estimator):
        for member in members_of(step):
            select_by_position(member)
        if is_column_transformer(step):
            for inner, _, _ in selections(step):
                if not isinstance(inner, str):
                    select_by_position(inner)
            step.transformers_ = _by_position(step)
            if hasattr(step, "feature_names_in_"):
                setattr(step, _NAMES, step.feature_names_in_)
                del step.feature_names_in_


def selecting_by_position(estimator: Any) -> Any:
    """The same as a copy, of the pipelines and column transformers alone."""
    step = unwrapped(estimator)
    if _is_pipeline(step):
        copied = copy.copy(step)
        copied.steps = [(name, selecting_by_position(inner)) for name, inner in step.steps]
        return copied
    if is_column_transformer(step):
        copied = copy.copy(step)
        copied.transformers_ = [
            (name, inner if isinstance(inner, str) else selecting_by_position(inner), positions)
            for name, inner, positions in _by_position(step)
        ]
        copied.__dict__.pop("feature_names_in_", None)
        return copied
    return step


def _by_position(transformer: Any) -> list[tuple[str, Any, Any]]:
    positions = transformer._transformer_to_input_indices
    return [
        (name, inner, int(positions[name][0]) if np.isscalar(columns) else [int(each) for each in positions[name]])
        for name, inner, columns in transformer.transformers_
        if name in positions
    ]


def _is_pipeline(step: Any) -> bool:
    return isinstance(getattr(step, "steps", None), list)


def _selects_by_name(transformer: Any) -> bool:
    return any(
        isinstance(column, str)
        for _, _, columns in transformer.transformers_
        for column in ([columns] if np.isscalar(columns) else list(columns) if not isinstance(columns, slice) else [])
    )


_WIDER: Sequence[str | None] = (None, "INT64", "FP64", "BYTES")
"""Of a column that several take, each in its way: the one that all can be given."""


def _datatypes(step: Any, width: int) -> Sequence[str | None] | None:
    """The datatype of each column, by the first step that knows it; None for one that is dropped."""
    if _is_pipeline(step):
        found = (_datatypes(unwrapped(each), width) for each in steps_of(step))
        return next((kinds for kinds in found if kinds), None)
    if is_column_transformer(step):
        return _of_column_transformer(step, width)
    members = members_of(step) or [
        inner for _, inner in getattr(step, "transformer_list", None) or () if not isinstance(inner, str)
    ]
    if members:
        told = [kinds for each in members if (kinds := _datatypes(unwrapped(each), width))]
        return [max(each, key=_WIDER.index) for each in zip(*told, strict=True)] if told else None
    if is_vectorizer(step):
        return ["BYTES"] * width
    categories = getattr(step, "categories_", None)
    if isinstance(categories, list) and len(categories) == width:
        return [_of_values(each) for each in categories]
    statistics = getattr(step, "statistics_", None)
    if isinstance(statistics, np.ndarray) and statistics.dtype.kind == "O" and len(statistics) == width:
        return ["BYTES" if isinstance(each, str) else "FP64" for each in statistics]
    return None


def _of_column_transformer(transformer: Any, width: int) -> list[str | None]:
    kinds: list[str | None] = [None] * width
    for inner, positions, _ in selections(transformer):
        found = None if isinstance(inner, str) else _datatypes(unwrapped(inner), len(positions))
        for position, kind in zip(positions, found or ["FP64"] * len(positions), strict=True):
            # A column may be used twice: who needs texts decides.
            kinds[position] = "BYTES" if "BYTES" in (kind, kinds[position]) else kind
    return kinds


_CARRIED = (str, int, float, np.number, np.bool_, type(None))
"""Types of categories that a request can name."""


def _of_values(values: Sequence[Any]) -> str:
    array = np.asarray(values)
    odd = next((each for each in array.flat if not isinstance(each, _CARRIED)), None)
    if odd is not None:
        raise ModelUnsupported(
            f"An encoder learned categories of type {type(odd).__name__} ({odd!s:.100}), which no tensor carries; "
            "make texts of that column before it is trained, such as X[column].astype(str)"
        )
    if array.dtype.kind in "US" or any(isinstance(each, str) for each in array.flat):
        return "BYTES"
    return "INT64" if array.dtype.kind in "iu" else "FP64"
