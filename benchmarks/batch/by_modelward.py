"""A run over a folder, by the same code as a pod's; prints seconds of the processor, without those of the start.

`python -m benchmarks.batch.by_modelward BUNDLE IN OUT`: the model is loaded before, as it is by by_sklearn.
"""

import json
import sys
import time
from pathlib import Path

from benchmarks.batch.data import KEY
from modelward_batch import spec, stores
from modelward_batch.run import Bundle, Run, loaded
from modelward_inference.artifact.bundle import Manifest


def main(bundle: str, source: str, target: str) -> None:
    digest = Manifest.read(Path(bundle)).digest
    asked = spec.load(
        {
            spec.VARIABLE: json.dumps(
                {
                    "run": "r", "input": {"uri": source}, "output": {"uri": target}, "keys": [KEY],
                    "model": {"name": "m", "digest": digest},
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
    print(json.dumps({"seconds": time.process_time() - begun}))


if __name__ == "__main__":
    main(*sys.argv[1:])
