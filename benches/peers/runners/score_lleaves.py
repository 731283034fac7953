"""Scores by lleaves: trees compiled by LLVM. The compiled function is called from a C loop and by lleaves."""

import ctypes
import time
from pathlib import Path

import lleaves
import numpy as np

from meter import answer, task, us_per_row, write_scores
from native import load as load_loops
from tables import Table

work = task()
rows, singles, warm = (Table(work[key]).as_rows() for key in ("rows", "singles", "warm"))


def compiled(suffix, **flags):
    """The model, and the seconds of compiling if no earlier round has done it."""
    model, cache = lleaves.Model(model_file=work["model"] + ".txt"), Path(work["model"] + suffix)
    known = cache.exists()
    start = time.perf_counter()
    model.compile(cache=cache, fcodemodel="small", **flags)
    return model, {} if known else {"load_s": time.perf_counter() - start}


native = load_loops(work["native"])
model, load = compiled(".blocks.o")
# blocks of trees help batches and cost single rows (its own advice)
unblocked, _ = compiled(".one.o", fblocksize=model.num_trees())
call = ctypes.cast(unblocked._c_entry_func, ctypes.c_void_p)
single = np.empty(len(singles))
native.lleaves_rows(call, warm, len(warm), rows.shape[1], np.empty(len(warm)))
seconds = native.lleaves_rows(call, singles, len(singles), rows.shape[1], single)

model.predict(warm, n_jobs=1)
batch_us, scores = us_per_row(lambda: model.predict(rows, n_jobs=1), len(rows))
write_scores(work["scores"], scores)
answer(
    {
        "single_us": seconds * 1e6 / len(singles),
        "batch_us": batch_us,
        "single_differs": float(np.abs(single - model.predict(singles, n_jobs=1)).max()),
    }
    | load
)
