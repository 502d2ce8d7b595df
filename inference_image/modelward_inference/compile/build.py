"""From a checked artifact to what is served: golden rows, the compiled form, the choice, and a last comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from modelward_inference import runtimes
from modelward_inference.artifact import formats
from modelward_inference.artifact.arrays import Array
from modelward_inference.artifact.bundle import Compilation, Joining, Refusal, Signature
from modelward_inference.artifact.description import Description
from modelward_inference.compile import choose, described, joining, scores
from modelward_inference.parity import adversarial, golden
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.runtimes.base import Model
from modelward_inference.runtimes.estimators import rows as generated


@dataclass(frozen=True)
class Built:
    """What is served, and what became known on the way. `format` and `file`: of the served form."""

    format: str
    file: str
    signature: Signature
    libraries: dict[str, str]
    warnings: tuple[str, ...]
    classes: tuple[Any, ...]
    golden_rows: int
    compilation: Compilation
    joining: Joining
    refusals: tuple[Refusal, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Known:
    """What a saved bundle tells of its model, or whoever logged it (`described`); empty for a bare artifact."""

    signature: Signature | None = None
    classes: tuple[Any, ...] = ()
    trained_with: Mapping[str, str] | None = None
    golden_rows: int = 0
    described: Description | None = None


def build(source: Path, folder: Path, kind: str, known: Known, optimise: str) -> Built:
    """Make the artifact in the folder `source` ready to be served; what is new is written to `folder`.

    Raises ArtifactCorrupt, ModelUnsupported, FormatMismatch, or GoldenRowsDiffer.
    """
    signature = known.signature or described.signature_of(kind, known.described)
    original = runtimes.load(kind, source / formats.FILES[kind], signature=signature)
    trained_with = dict(known.trained_with or {})
    columns, disagreeing = described.columns_of(known.described, original)
    warnings = [*original.warnings, *_skew(trained_with, original.libraries), *disagreeing]
    if known.golden_rows:
        rows: GoldenRows | None = GoldenRows.read(source)
        assert rows is not None
        golden.check(original, rows, trained_with)
    else:
        warnings += described.skew(known.described, original, kind)
        examples, unfit = described.example_of(known.described, original, columns)
        rows, trouble = _made(original, examples)
        warnings += [*unfit, *trouble]
    shown = scores.shown(original, rows) if rows is not None else original
    probes = adversarial.make(shown, rows) if rows is not None else None
    choice = choose.choose(shown, kind, rows, optimise, probes=probes)
    if rows is not None:
        rows.write(folder)
    served: Model = original
    served_kind = kind
    if choice.compiled is not None:
        content, served = choice.compiled
        served_kind = formats.ONNX
        (folder / formats.FILES[formats.ONNX]).write_bytes(content)
    return Built(
        served_kind,
        formats.FILES[served_kind],
        original.signature,
        dict(served.libraries),
        tuple(warnings),
        known.classes or tuple(getattr(original, "classes", ())),
        rows.count if rows is not None else 0,
        choice.compilation,
        joining.prove(served, rows.inputs if rows is not None else None),
        probes.refusals if probes is not None else (),
        columns,
    )


def _made(model: Model, examples: dict[str, Array] | None) -> tuple[GoldenRows | None, list[str]]:
    """Golden rows with the original's own answers: the examples that were logged with it, and generated ones, with
    missing values among them where it takes these."""
    estimator = getattr(model, "estimator", None) or getattr(model, "booster", None)
    candidates: list[tuple[dict[str, Array], str]] = []
    if estimator is not None:
        plain = generated.generate(estimator, model.signature.inputs)
        candidates = [(_beside(examples, each), golden.GENERATED) for each in (generated.with_gaps(plain), plain)]
    if examples is not None:
        candidates.append((examples, golden.EXAMPLE))
    if not candidates:
        return None, []
    outputs = [tensor.name for tensor in model.signature.outputs]
    failure: Exception | None = None
    for candidate, origin in candidates:
        try:
            return GoldenRows(candidate, model.predict(candidate, outputs), origin), []
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a model may raise anything
            failure = error
    which = "generated rows" if estimator is not None else "the example rows beside it"
    return None, [
        f"no golden rows: the model refuses {which} ({type(failure).__name__}: {str(failure)[:200]}); write a "
        "bundle with modelward.save_bundle, so that it has rows of training"
    ]


def _beside(examples: dict[str, Array] | None, rows: dict[str, Array]) -> dict[str, Array]:
    return rows if examples is None else {name: np.concatenate([examples[name], rows[name]]) for name in rows}


def _skew(trained_with: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    return [
        f"trained with {name} {version}, read with {here[name]}: its golden rows reproduce, other rows may differ"
        for name, version in trained_with.items()
        if name in here and here[name] != version
    ]
