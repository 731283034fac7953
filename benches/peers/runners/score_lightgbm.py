"""Scores by LightGBM itself: its single-row C function called from a C loop, and all rows at once."""

import ctypes

import lightgbm
import numpy as np

from meter import answer, task, us_per_row, write_scores
from native import load
from tables import Table

F64, NORMAL = 1, 0  # of the C interface

work = task()
rows, singles, warm = (Table(work[key]).as_rows() for key in ("rows", "singles", "warm"))
booster = lightgbm.Booster(model_file=work["model"] + ".txt")

library = lightgbm.basic._LIB
fast = ctypes.c_void_p()
code = library.LGBM_BoosterPredictForMatSingleRowFastInit(
    booster._handle,
    NORMAL,
    0,
    -1,
    F64,
    ctypes.c_int32(rows.shape[1]),
    ctypes.c_char_p(b"num_threads=1"),
    ctypes.byref(fast),
)
if code != 0:
    raise RuntimeError("LightGBM refuses the single-row configuration")
native = load(work["native"])
call = ctypes.cast(library.LGBM_BoosterPredictForMatSingleRowFast, ctypes.c_void_p)
single = np.empty(len(singles))
native.lightgbm_rows(call, fast, warm, len(warm), rows.shape[1], np.empty(len(warm)))
seconds = native.lightgbm_rows(call, fast, singles, len(singles), rows.shape[1], single)

booster.predict(warm, num_threads=1)
batch_us, scores = us_per_row(lambda: booster.predict(rows, num_threads=1), len(rows))
write_scores(work["scores"], scores)
answer(
    {
        "single_us": seconds * 1e6 / len(singles),
        "batch_us": batch_us,
        "single_differs": float(np.abs(single - booster.predict(singles, num_threads=1)).max()),
    }
)
