"""`python -m modelward_batch`: what a pod of a batch runs, once the model was downloaded and compiled beside it.

MODELWARD_BATCH says what (spec.py); the container's message ends with what became of it (progress.py). Exit codes: 0,
the pod's own units are done; 3, nothing but people can mend what is wrong; 1, another attempt may help.
"""

import argparse
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from modelward_inference import cpu

if TYPE_CHECKING:
    from modelward_batch.run import Run


def main(arguments: Sequence[str] | None = None, environment: Mapping[str, str] = os.environ) -> int:
    # Libraries count their threads when they are imported.
    cores = cpu.limit_library_threads(cpu.WITHOUT_LIMIT)
    from modelward_batch import progress
    from modelward_batch.errors import Incurable, Passing, Stopped
    from modelward_inference.errors import ArtifactUnreachable, ModelError
    from modelward_telemetry import logs

    parser = argparse.ArgumentParser(prog="modelward_batch", description=__doc__)
    parser.add_argument(
        "--allow", type=Path, action="append", default=[], metavar="FOLDER",
        help="a local folder that input and output may lie in, beside /input and /output; may be repeated",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    level = environment.get("LOG_LEVEL", "INFO").upper()
    known = level in logging.getLevelNamesMapping()
    logs.configure(level if known else "INFO", "batch", revision=environment.get("MODEL_REVISION", ""))
    log = logging.getLogger("modelward_batch")
    begun = time.monotonic()
    told, code, problem = progress.Told(), progress.DONE, ""
    run = None
    signal.signal(signal.SIGTERM, _stop)
    try:
        run = _made(environment, options.allow, cores)
        run.run()
    except (Incurable, ModelError) as error:
        code = progress.AGAIN if isinstance(error, ArtifactUnreachable) else progress.INCURABLE
        problem = str(error)
    except (Passing, Stopped, OSError) as error:
        code, problem = progress.AGAIN, str(error)
    except MemoryError:
        code = progress.INCURABLE
        problem = "the model and a batch of rows don't fit into memory; raise the memory limit of the run's pods"
    except Exception as error:  # noqa: BLE001  whatever it is, the operator has to be able to show it
        traceback.print_exc()
        code, problem = progress.AGAIN, f"{type(error).__name__}: {error}. See the container's log"
    told = run.told if run is not None else told
    if problem:
        log.error("%s", problem)
    try:
        progress.write(
            progress.message(told, time.monotonic() - begun, code, problem), environment.get(progress.VARIABLE)
        )
    except OSError as error:
        log.error("the container's message can't be written: %s", error)
    return code


def _made(environment: Mapping[str, str], allowed: Sequence[Path], cores: int) -> "Run":
    from modelward_batch import spec, stores, tables
    from modelward_batch.run import Bundle, Run, loaded
    from modelward_inference.artifact import consent

    asked = spec.load(environment)
    artifact = environment.get("ARTIFACT_DIR")
    bundle = Bundle(
        Path(environment.get("BUNDLE_DIR", "/bundle")), Path(artifact) if artifact else None,
        consent.from_environment(environment), cores,
    )  # fmt: skip
    output = stores.output_of(asked.output, asked.run, allowed)
    if asked.of_table:
        there = tables.rows_of(output, Path(environment.get("TABLE_DIR", "/etc/modelward/table")), asked.index)
        source = tables.opened(output, there, (stores.OUTPUT_MOUNT, *allowed))
    else:
        source = stores.input_of(asked.input, allowed)
    return Run(asked, source, output, lambda: loaded(bundle, asked))


def _stop(_: int, __: FrameType | None) -> NoReturn:
    from modelward_batch.errors import Stopped

    raise Stopped("the pod was told to end; what it had done is kept, and another one goes on")


if __name__ == "__main__":
    sys.exit(main())
