"""Scores by ONNX Runtime, one thread. It has no header in its package, so single rows go through Python."""

import time

import lightgbm
import numpy as np
import onnxmltools
import onnxruntime
from onnxmltools.convert.common.data_types import FloatTensorType

from meter import answer, task, us_per_row, write_scores
from tables import Table

work = task()
rows, singles, warm = (Table(work[key]).as_rows(np.float32) for key in ("rows", "singles", "warm"))
booster = lightgbm.Booster(model_file=work["model"] + ".txt")
start = time.perf_counter()
model = onnxmltools.convert_lightgbm(
    booster, initial_types=[("rows", FloatTensorType([None, rows.shape[1]]))], zipmap=False
)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
options.inter_op_num_threads = 1
session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
load_s = time.perf_counter() - start


def probabilities(values):
    return session.run(["probabilities"], {"rows": values})[0]


probabilities(warm)
batch_us, scores = us_per_row(lambda: probabilities(rows), len(rows))
few = singles[:20_000]
python_us, _ = us_per_row(lambda: [probabilities(few[i : i + 1]) for i in range(len(few))], len(few))
write_scores(work["scores"], scores[:, 1])
answer({"batch_us": batch_us, "python_us": python_us, "load_s": load_s})
