"""The least that predicting a file takes: ONNX Runtime alone, the same rows from the same Parquet, as many in a run.

`python -m benchmarks.batch_raw MODEL.onnx FILE.parquet ROWS_IN_A_RUN` prints rows, seconds and processor seconds as
JSON. Loading libraries and model is not counted; results go nowhere.
"""

from __future__ import annotations

import json
import sys
import time

import numpy as np
import onnxruntime as ort
import pyarrow as pa
import pyarrow.parquet as pq


def main(model: str, path: str, together: int) -> None:
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    given = session.get_inputs()[0]
    shape = list(given.shape[1:])
    pa.set_cpu_count(1)
    wall, processor, rows = time.perf_counter(), time.process_time(), 0
    for batch in pq.ParquetFile(path).iter_batches(batch_size=together):
        column = batch.column(0)
        while pa.types.is_list(column.type):
            column = column.flatten()
        tensor = np.asarray(column, dtype=np.float32).reshape(len(batch), *shape)
        rows += len(session.run(None, {given.name: tensor})[0])
    print(
        json.dumps(
            {
                "rows": rows,
                "seconds": time.perf_counter() - wall,
                "core_seconds": time.process_time() - processor,
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
