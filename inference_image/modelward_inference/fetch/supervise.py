"""Runs what loads a model in a child process, and ends it where it takes too long.

Invariant: the time-out does not depend on the child's good will. What has fled into a session of its own comes back to
this process as its parent's heir, and is ended, too; in a container the kernel ends the rest with its first process.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from modelward_inference.errors import ArtifactCorrupt, CompileTimedOut, InvalidConfiguration, OutOfMemory

_PR_SET_CHILD_SUBREAPER = 36

_ROUNDS = 1000
"""How often what is left is looked for: each round ends a generation."""

SECONDS = 840
"""By default; less than the 900 after which a Deployment says that it makes no progress."""

ENVIRONMENT = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE", "PYTHONWARNINGS", "OMP_NUM_THREADS", "TERMINATION_LOG", "BUNDLE_DIR", "ARTIFACT_DIR",
    "MODEL_NAME", "MODEL_OPTIMISE", "MODEL_ALLOWED_FORMATS",
)  # fmt: skip
"""Variables that the child gets. What an admission webhook or a Service puts beside them is none of its business."""


def seconds() -> int:
    """COMPILE_TIMEOUT_SECONDS. Raises InvalidConfiguration."""
    text = os.environ.get("COMPILE_TIMEOUT_SECONDS", str(SECONDS))
    if not text.isdecimal() or int(text) == 0:
        raise InvalidConfiguration(f"COMPILE_TIMEOUT_SECONDS is {text!r}; set it to a whole number, 1 or more")
    return int(text)


def run(arguments: Sequence[str], timeout: float) -> int:
    """The child's exit code. Raises CompileTimedOut; OutOfMemory where it was killed, ArtifactCorrupt after a crash."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, ctypes.c_ulong(1), *(ctypes.c_ulong(0),) * 3)
    environment = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
    child = subprocess.Popen(arguments, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)

    def end(number: int, _frame: FrameType | None) -> None:
        _kill(child)
        sys.exit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        code = child.wait(timeout)
    except subprocess.TimeoutExpired:
        raise too_slow(timeout) from None
    finally:
        _kill(child)
        signal.signal(signal.SIGTERM, before)
    check(code)
    return code


def too_slow(timeout: float) -> CompileTimedOut:
    """`timeout`: seconds."""
    return CompileTimedOut(
        f"Loading, compiling and comparing the model took longer than {timeout:.0f} s, and was ended. Give it more "
        "CPU in spec.resources, set spec.model.optimise to Off, or publish the model as ONNX"
    )


def check(code: int) -> None:
    """Raises OutOfMemory or ArtifactCorrupt where a child ended by a signal; `code` is negative then."""
    if code == -signal.SIGKILL:
        raise OutOfMemory(
            "The process that loads the model was killed: it needs more memory than its limit. Raise "
            "spec.resources.limits.memory"
        )
    if code < 0:
        raise ArtifactCorrupt(
            f"The process that loads the model crashed ({signal.strsignal(-code)}): the artifact is damaged, or made "
            "to do so. Upload it again, or publish the model as ONNX"
        )


def _kill(child: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    for _ in range(_ROUNDS):
        heirs = _children()
        if not heirs:
            return
        for heir in heirs:
            with contextlib.suppress(ProcessLookupError):
                os.kill(heir, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(heir, 0)


def _children() -> list[int]:
    """Processes whose parent is this one."""
    try:
        return [int(each) for each in Path("/proc/thread-self/children").read_text().split()]
    except OSError:
        return []
