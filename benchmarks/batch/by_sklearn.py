"""The same by hand: a row group at a time to pandas, scikit-learn's predict_proba, labels from it, and Parquet again.

`python -m benchmarks.batch.by_sklearn MODEL.joblib IN OUT` prints seconds of the processor, without those of the start.
The labels are made of the probabilities, so that the model is asked once for both, as it is by us.
"""

import json
import sys
import time
from pathlib import Path

import joblib
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.batch.data import FEATURES, KEY


def main(model_path: str, source: str, target: str) -> None:
    model = joblib.load(model_path)
    begun = time.process_time()
    writer = None
    for path in sorted(Path(source).glob("*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            data = file.read_row_group(group).to_pandas()
            probabilities = model.predict_proba(data[FEATURES])
            labels = model.classes_[np.argmax(probabilities, axis=1)]
            answers = {KEY: data[KEY], "predict": labels, "p0": probabilities[:, 0], "p1": probabilities[:, 1]}
            table = pa.table(answers)
            writer = writer or pq.ParquetWriter(target, table.schema, compression="zstd")
            writer.write_table(table)
    assert writer is not None
    writer.close()
    print(json.dumps({"seconds": time.process_time() - begun}))


if __name__ == "__main__":
    main(*sys.argv[1:])
