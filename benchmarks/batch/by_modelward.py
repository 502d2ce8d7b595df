"""A run over a folder, by the same code as a pod's; prints seconds of the processor, without those of the start.

`python -m benchmarks.batch.by_modelward BUNDLE IN OUT [drift]`: the model is loaded before, as it is by by_sklearn;
with `drift` the rows are held against the bundle's reference, too.
"""

import json
import sys
import time
from pathlib import Path

from benchmarks.batch.data import KEY
from modelward_batch import spec, stores
from modelward_batch.run import Bundle, Run, loaded
from modelward_inference.artifact.bundle import Manifest


def main(bundle: str, source: str, target: str, drift: str = "") -> None:
    digest = Manifest.read(Path(bundle)).digest
    asked = spec.load(
        {
            spec.VARIABLE: json.dumps(
                {
                    "run": "r", "input": {"uri": source}, "output": {"uri": target}, "keys": [KEY],
                    "model": {"name": "m", "digest": digest}, **({"drift": {}} if drift else {}),
                }
            )
        }
    )  # fmt: skip
    model = loaded(Bundle(Path(bundle)), asked)
    folders = [Path(source), Path(target)]
    run = Run(
        asked, stores.input_of(source, folders), stores.output_of(target, asked.run, folders), lambda: model
    )  # fmt: skip
    begun = time.process_time()
    run.run()
    seconds = time.process_time() - begun
    if drift and run.told.drift["verdict"] != "NoDrift":
        raise RuntimeError(f"rows as in training: {run.told.drift}")
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main(*sys.argv[1:])
