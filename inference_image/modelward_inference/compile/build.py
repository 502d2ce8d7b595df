"""From a checked artifact to what is served: golden rows, the compiled form, the choice, and a last comparison."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modelward_inference import runtimes
from modelward_inference.artifact import formats
from modelward_inference.artifact.bundle import Compilation, Joining, Refusal, Signature
from modelward_inference.compile import choose, joining
from modelward_inference.parity import adversarial, golden
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.runtimes import rows as generated
from modelward_inference.runtimes.base import Model


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
    """What a saved bundle tells of its model; empty for a bare artifact."""

    signature: Signature | None = None
    classes: tuple[Any, ...] = ()
    trained_with: Mapping[str, str] | None = None
    golden_rows: int = 0


def build(source: Path, folder: Path, kind: str, known: Known, optimise: str) -> Built:
    """Make the artifact in the folder `source` ready to be served; what is new is written to `folder`.

    Raises ArtifactCorrupt, ModelUnsupported, FormatMismatch, or GoldenRowsDiffer.
    """
    original = runtimes.load(kind, source / formats.FILES[kind], signature=known.signature)
    trained_with = dict(known.trained_with or {})
    warnings = [*original.warnings, *_skew(trained_with, original.libraries)]
    if known.golden_rows:
        rows: GoldenRows | None = GoldenRows.read(source)
        assert rows is not None
        golden.check(original, rows, trained_with)
    else:
        rows, trouble = _generated(original)
        warnings += trouble
    probes = adversarial.make(original, rows) if rows is not None else None
    choice = choose.choose(original, kind, rows, optimise, probes=probes)
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
        tuple(getattr(original, "columns", ())),
    )


def _generated(model: Model) -> tuple[GoldenRows | None, list[str]]:
    """Golden rows with the original's own answers, with missing values among them where it takes these."""
    estimator = getattr(model, "estimator", None) or getattr(model, "booster", None)
    if estimator is None:
        return None, []
    plain = generated.generate(estimator, model.signature.inputs)
    outputs = [tensor.name for tensor in model.signature.outputs]
    failure: Exception | None = None
    for candidate in (generated.with_gaps(plain), plain):
        try:
            return GoldenRows(candidate, model.predict(candidate, outputs), golden.GENERATED), []
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  a model may raise anything
            failure = error
    return None, [
        f"no golden rows: the model refuses generated rows ({type(failure).__name__}: {str(failure)[:200]}); write a "
        "bundle with modelward_inference.save_bundle, so that it has rows of training"
    ]


def _skew(trained_with: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    return [
        f"trained with {name} {version}, read with {here[name]}: its golden rows reproduce, other rows may differ"
        for name, version in trained_with.items()
        if name in here and here[name] != version
    ]
