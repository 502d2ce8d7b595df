"""Which form of a model is served: the compiled one where it is right, unless the original is faster at both sizes.

The policy, in order:
1. `MODEL_OPTIMISE=Off`, or a model that is ONNX already, or a module that can't be converted: the original.
2. A compiled form must reproduce the original's answers, and its refusals, on the golden rows and on rows that
   training never held (`adversarial`), within golden.Tolerance; where these are labels alone, its `scores`, too. If
   none does, the original is served and the reason stands in the manifest.
3. A right compiled form is served where it is faster at one row or at a thousand. It wins a split decision because a
   server that has it never unpickles, imports no training library, and takes less memory.
4. Only where the original is faster at both sizes is it served: then compiling gained nothing that users feel.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from modelward_inference import runtimes
from modelward_inference.artifact import formats
from modelward_inference.artifact.bundle import Compilation
from modelward_inference.artifact.forms import AUTO, COMPILED, OFF, ORIGINAL
from modelward_inference.compile import scores, timing
from modelward_inference.parity import golden
from modelward_inference.parity.adversarial import Probes
from modelward_inference.parity.golden import GoldenRows
from modelward_inference.runtimes.base import Model

_MAX_REASON = 400
"""Characters of a converter's message that are kept."""


@dataclass(frozen=True)
class Choice:
    """The decision; `compiled`: the ONNX file's bytes and the loaded model, where that form was chosen."""

    compilation: Compilation
    compiled: tuple[bytes, Model] | None = None


def choose(
    model: Model,
    kind: str,
    rows: GoldenRows | None,
    optimise: str = AUTO,
    threads: int = 1,
    probes: Probes | None = None,
) -> Choice:
    """Compile, compare, time. `model`: as `scores.shown` gives it. `probes`: rows that training never held, where there
    are some.

    Raises only MemoryError: whatever else fails is a reason to serve the original.
    """
    if kind in (formats.ONNX, formats.TORCHSCRIPT):
        return _original(kind, "ONNX is served as it is" if kind == formats.ONNX else "TorchScript is not converted")
    if optimise == OFF:
        return _original(kind, "optimise is Off")
    if rows is None:
        return _original(kind, "there are no golden rows to compare a compiled form with", fell_back=True)
    # Seconds of imports, which a model that is ONNX has no use for.
    from modelward_inference.compile import convert, graph

    try:
        proof = scores.proof(model, rows)
    except ValueError as error:
        return _original(kind, f"can't be compiled: {error}", fell_back=True)
    failures = []
    for name, attempt in convert.attempts(model):
        try:
            content = attempt()
            candidate = _loaded(content, threads)
            answers = candidate.predict(proof.inputs, list(proof.expected))
            found = golden.difference(proof.expected, answers, rows.tolerance)
            unusual = probes.difference(candidate, rows.tolerance) if probes is not None and not found else ""
            ties = golden.near_ties(rows.expected, rows.tolerance.margin)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001  converters raise anything
            failures.append(f"{name}: {_shown(error)}")
            continue
        if found:
            failures.append(f"{name}: the answers differ: {found}")
        elif unusual:
            failures.append(f"{name}: {unusual}")
        elif ties is not None and ties.mean() > golden.MOST_TIES:
            failures.append(f"{name}: more than half of the golden rows are ties between classes and prove nothing")
        else:
            parity = {
                "rows": rows.count, "origin": rows.origin, "precision": name, **vars(rows.tolerance),
                "unusual_rows": 0 if probes is None else len(probes.changes),
                "near_ties": 0 if ties is None else int(ties.sum()),
            }  # fmt: skip
            original = scores.hidden(model)
            if original is not model:
                content = graph.without_scores(content)
                candidate = _loaded(content, threads)
            return _faster(original, candidate, content, kind, rows, parity)
    why = "; ".join(failures) or "it has categories of its own, for which there is no converter"
    return _original(kind, f"can't be compiled: {why}", fell_back=True)


def _faster(
    model: Model, candidate: Model, content: bytes, kind: str, rows: GoldenRows, parity: dict[str, object]
) -> Choice:
    timings = {ORIGINAL: timing.measure(model, rows), COMPILED: timing.measure(candidate, rows)}
    original_wins = [timings[ORIGINAL][size] < timings[COMPILED][size] for size in timings[ORIGINAL]]
    if all(original_wins):
        reason = "the original is faster at one row and at a thousand"
        return Choice(Compilation(ORIGINAL, kind, reason, None, parity, timings))
    where = " and ".join(
        f"at {size} rows" if size != "1" else "at one row"
        for size, lost in zip(timings[ORIGINAL], original_wins, strict=True)
        if not lost
    )
    reason = f"it reproduces the golden rows and is faster {where}"
    return Choice(Compilation(COMPILED, kind, reason, None, parity, timings), (content, candidate))


def _original(kind: str, reason: str, fell_back: bool = False) -> Choice:
    return Choice(Compilation(ORIGINAL, kind, reason, reason if fell_back else None))


def _loaded(content: bytes, threads: int) -> Model:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / formats.FILES[formats.ONNX]
        path.write_bytes(content)
        return runtimes.load(formats.ONNX, path, threads)


def _shown(error: Exception) -> str:
    lines = " ".join(str(error).split())
    return f"{type(error).__name__}: {lines}"[:_MAX_REASON]
