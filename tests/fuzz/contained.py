"""Files for native libraries, loaded as the product loads them: in a process that may crash. `make fuzz`.

A fuzzer in one process would end with the first crash. So each file goes through the steps of a pod, `download` and
`load`, in a child that was forked when all libraries were there, and what became of it is judged as `compile` does. A
failure is told where it has a reason and a sentence for people: also a crash, more memory than there is, and a time
that is over. Anything else is a finding: InternalError, an exit code without a report, a report without a cause.
Arguments: -max_total_time=SECONDS (60), or files of the corpus.
"""

import collections
import gzip
import importlib.util
import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from fuzz.changes import (
    Change,
    changed_bundle,
    changed_numbers,
    changed_onnx,
    changed_packed,
    changed_ubjson,
    changed_xgboost_json,
    changed_zip_directory,
    tarred,
)
from fuzz.loaders import bundle, changed_tar, changed_zip
from modelward_inference import cli, errors
from modelward_inference.errors import MAX_REPORT, ModelError
from modelward_inference.fetch import supervise
from unit.inference.artifacts import lightgbm_file, onnx, skops_file, xgboost_file, zipped

CORPUS = Path(__file__).with_name("corpus")
PREFIX = "native-"
"""Of the folders of the corpus that are for here."""

SECONDS = 20.0
"""That a step may take; a pod has a quarter of an hour."""

MEMORY = 4 << 30
"""Bytes of address space; a container has its limit."""

SUCCEEDED = {"Downloaded", "Compiled"}
REASONS = {kind.__name__ for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ModelError)}


class Finding(Exception):  # noqa: N818  it is none of an error's
    """What no file may bring about."""


@dataclass(frozen=True)
class Kind:
    """`name`: of the file; `seed`: a good one; `change`: makes bad ones of it."""

    name: str
    seed: Callable[[], bytes]
    change: Change


KINDS = {
    "onnx": Kind("m.onnx", onnx, changed_onnx),
    "xgboost": Kind("m.ubj", xgboost_file, changed_ubjson),
    "xgboost-json": Kind("m.json", lambda: xgboost_file("json"), changed_xgboost_json),
    "lightgbm": Kind("m.txt", lightgbm_file, changed_numbers),
    "skops": Kind("m.skops", skops_file, changed_zip),
    "bundle": Kind("m.tar", bundle, changed_bundle),
    "zip": Kind("m.zip", lambda: zipped({"model.onnx": onnx(), "README.md": b"x"}), changed_zip_directory),
    "tar": Kind("m.tar", lambda: tarred({"model.onnx": onnx(), "README.md": b"x"}), changed_tar),
    "tar.gz": Kind("m.tar.gz", lambda: gzip.compress(tarred({"model.onnx": onnx()})), changed_packed),
}


def _torchscript() -> bytes:
    import io

    import torch

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.ReLU())), buffer)
    return buffer.getvalue()


if importlib.util.find_spec("torch"):  # an extra of the image
    KINDS["torchscript"] = Kind("m.pt", _torchscript, changed_zip)


def warm_up() -> None:
    """Import what the steps import: the forked children have it then. Nothing is computed here, for libraries start
    threads when they do, which a forked child does not have."""
    import modelward_inference.compile.sandbox
    import modelward_inference.fetch.compiling
    import modelward_inference.fetch.limits
    import modelward_inference.fetch.obtain
    import modelward_inference.fetch.report
    import modelward_inference.parity.adversarial
    import modelward_inference.runtimes.lightgbm
    import modelward_inference.runtimes.onnx
    import modelward_inference.runtimes.skops
    import modelward_inference.runtimes.xgboost  # noqa: F401


def environment(path: list[str]) -> dict[str, str]:
    """Of a process that finds what lies in the folders of `path`."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path)}


def seeds() -> dict[str, bytes]:
    """A good file of each kind, made by another process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-m", "fuzz.contained", f"-seeds={folder}"]
        subprocess.run(command, check=True, env=environment(sys.path))
        return {name: (Path(folder) / name).read_bytes() for name in KINDS}


def outcome(kind: str, content: bytes) -> str:
    """The reason with which it ended. Raises Finding."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for each in ("volume", "artifact", "bundle"):
            (folder / each).mkdir()
        (folder / "volume" / KINDS[kind].name).write_bytes(content)
        reason = _step("download", folder, KINDS[kind].name)
        return reason if reason not in SUCCEEDED else _step("load", folder, KINDS[kind].name)


def _step(verb: str, folder: Path, name: str) -> str:
    log = folder / f"log-{verb}"
    log.write_text("")
    settings = {
        "BUNDLE_DIR": str(folder / "bundle"), "ARTIFACT_DIR": str(folder / "artifact"), "TERMINATION_LOG": str(log),
        "MODEL_NAME": "m", "MODEL_URI": f"pvc://c/{name}", "PVC_MOUNT": str(folder / "volume"),
        "MODEL_ALLOWED_FORMATS": "onnx,skops,xgboost,lightgbm,sklearn,torchscript",
    }  # fmt: skip
    child = os.fork()
    if child == 0:
        _be(verb, settings, folder)
    try:
        code = _ended(child)
        supervise.check(code)
    except ModelError as error:  # `compile` reports it
        return f"{error.reason}, ended"
    return reported(code, log.read_text(), verb, folder)


def _be(verb: str, settings: dict[str, str], folder: Path) -> None:
    """The child, which does not come back."""
    code = 70
    try:
        os.setsid()
        output = os.open(folder / f"output-{verb}", os.O_WRONLY | os.O_CREAT)
        os.dup2(output, 1)
        os.dup2(output, 2)
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        kept = {name: value for name, value in os.environ.items() if name in supervise.ENVIRONMENT}
        os.environ.clear()
        os.environ.update(kept | settings)
        code = cli.main([verb])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:  # noqa: BLE001  whatever it is, it is a finding
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _ended(child: int) -> int:
    """Its exit code. Raises CompileTimedOut."""
    described = os.pidfd_open(child)
    try:
        ready, _, _ = select.select([described], [], [], SECONDS)
        if not ready:
            raise supervise.too_slow(SECONDS)
    finally:
        os.close(described)
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


def reported(code: int, text: str, verb: str, folder: Path) -> str:
    """The reason that a step's termination log has. Raises Finding."""
    said = (folder / f"output-{verb}").read_text(errors="replace")[-3000:]
    try:
        told = json.loads(text)
        reason, message = told["reason"], told["message"]
    except (ValueError, KeyError, TypeError):
        raise Finding(f"exit code {code}, and no report but {text[:200]!r}:\n{said}") from None
    if len(text.encode()) > MAX_REPORT:
        raise Finding(f"a report of {len(text.encode())} bytes")
    if code == 0 and reason in SUCCEEDED:
        return str(reason)
    if code != 1 or reason not in REASONS:
        raise Finding(f"exit code {code}, {reason}: {message}\n{said}")
    if not isinstance(message, str) or len(message) < 10:
        raise Finding(f"{reason} without a sentence: {message!r}")
    return str(reason)


def fuzz(seconds: float, seed: int) -> int:
    """How many findings there were; each is left in the working folder, as crash-…."""
    known = {name: [good, *_saved(name)] for name, good in seeds().items()}
    for name, (good, *_) in known.items():
        if (reason := outcome(name, good)) != "Compiled":
            raise SystemExit(f"the good file of {name} ended with {reason}")
    found, number = 0, 0
    reasons: collections.Counter[tuple[str, str]] = collections.Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        name = list(KINDS)[number % len(KINDS)]
        chance = random.Random(f"{seed} {number}")
        number += 1
        try:
            content = KINDS[name].change(chance.choice(known[name]), chance)
        except Exception:  # noqa: BLE001  what is broken already may not be of its kind any more
            continue
        try:
            reasons[name, outcome(name, content)] += 1
        except Finding as finding:
            found += 1
            kept = Path(f"crash-{PREFIX}{name}-{sha256(content).hexdigest()[:12]}")
            kept.write_bytes(content)
            print(f"{kept}: {finding}", file=sys.stderr)
    for (name, reason), count in sorted(reasons.items()):
        print(f"{name:14} {reason:20} {count}")
    print(f"{number} files, {found} findings (seed {seed})")
    return found


def _saved(name: str) -> list[bytes]:
    return [each.read_bytes() for each in sorted((CORPUS / f"{PREFIX}{name}").glob("*"))]


def main(arguments: list[str]) -> int:
    """0 where nothing was found."""
    given = dict(each.lstrip("-").partition("=")[::2] for each in arguments if each.startswith("-"))
    if "seeds" in given:
        for name, kind in KINDS.items():
            (Path(given["seeds"]) / name).write_bytes(kind.seed())
        return 0
    warm_up()
    files = [each for each in arguments if not each.startswith("-")]
    if files:
        for each in files:
            path = Path(each)
            print(f"{path} {outcome(path.parent.name.removeprefix(PREFIX), path.read_bytes())}", flush=True)
        return 0
    return 1 if fuzz(float(given.get("max_total_time", 60)), int(given.get("seed") or time.time())) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
